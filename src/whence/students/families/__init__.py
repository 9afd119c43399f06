"""Families of students, one a file."""
