"""Texts, splits and the teacher's answers that students learn from."""
