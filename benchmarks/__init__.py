"""Measurements beside the peers; each script answers one question and writes its table."""
