"""Views of a trust label."""
