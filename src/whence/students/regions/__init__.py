"""Regions of texts where a student is not to be trusted."""
