"""Features of a text that a person can read."""
