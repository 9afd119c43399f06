"""Solvers that several families share."""
