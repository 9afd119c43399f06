"""A small transformer trained on a teacher's answers."""
