"""Changed copies of a model's weights."""
