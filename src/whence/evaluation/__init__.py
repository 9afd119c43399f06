"""Evaluation: metrics, the trust label, robustness, sanity checks, ground-truth tasks."""
