"""One adapter a kind of model."""
