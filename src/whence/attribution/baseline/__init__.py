"""Scores that do not depend on the model, to compare with."""
