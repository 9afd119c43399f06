"""Scores that know nothing, for honesty."""
