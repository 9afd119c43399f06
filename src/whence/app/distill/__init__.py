"""Views of a distillation."""
