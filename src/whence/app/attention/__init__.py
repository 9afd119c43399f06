"""Views of attention records."""
