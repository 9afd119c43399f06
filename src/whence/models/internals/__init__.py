"""Hooks into a running model, restored on exit."""
