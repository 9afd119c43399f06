"""Metrics of an explanation, one a file."""
