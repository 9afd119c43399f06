"""Views of what would change a decision, and of what fixes it."""
