"""Measurements beside other tools. Each script answers one question and writes its table."""
