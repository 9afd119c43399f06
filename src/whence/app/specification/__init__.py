"""Views of a specification curve."""
