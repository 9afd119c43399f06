"""Workflows: explain, judge, compare, select, verify and adopt, composed of the other rooms."""
