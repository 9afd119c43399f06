"""Intervals and tests that every room uses."""
