"""Every metric by its name, found in the files of two folders."""

from __future__ import annotations

from whence.core.registry import Registry
from whence.evaluation.metrics.base import Metric

__all__ = ["METRICS"]

METRICS: Registry[Metric] = Registry(
    "metric",
    Metric,  # type: ignore[type-abstract]
    ("whence.evaluation.metrics", "whence.evaluation.robustness"),
    key=lambda metric: metric.name,
)
"""Every metric by its name; the most telling first.

Example:
    >>> METRICS.make("sensitivity-n", {"draws": 50})
    SensitivityN(points=4, draws=50)
"""
