"""Every metric of faithfulness by its name."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from whence.core.errors import OptionError, unknown
from whence.evaluation.metrics.aopc import Aopc, NormalisedAopc
from whence.evaluation.metrics.base import Metric
from whence.evaluation.metrics.completeness_gap import CompletenessGap
from whence.evaluation.metrics.comprehensiveness import Comprehensiveness
from whence.evaluation.metrics.decision_flip import DecisionFlip
from whence.evaluation.metrics.deletion import Deletion
from whence.evaluation.metrics.entropy import Entropy
from whence.evaluation.metrics.gini import Gini
from whence.evaluation.metrics.infidelity import Infidelity
from whence.evaluation.metrics.insertion import Insertion
from whence.evaluation.metrics.leave_one_out_correlation import LeaveOneOutCorrelation
from whence.evaluation.metrics.pool_fidelity import PoolFidelity
from whence.evaluation.metrics.sensitivity_n import SensitivityN
from whence.evaluation.metrics.soft_comprehensiveness import SoftComprehensiveness
from whence.evaluation.metrics.soft_sufficiency import SoftSufficiency
from whence.evaluation.metrics.sufficiency import Sufficiency

__all__ = ["METRICS", "metric_by_name"]

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        PoolFidelity,
        Comprehensiveness,
        Sufficiency,
        Aopc,
        NormalisedAopc,
        Deletion,
        Insertion,
        SoftComprehensiveness,
        SoftSufficiency,
        Infidelity,
        SensitivityN,
        LeaveOneOutCorrelation,
        DecisionFlip,
        CompletenessGap,
        Entropy,
        Gini,
    )
}
"""Every metric that judges scores by a model's answers, by its name; the most telling first."""


def metric_by_name(name: str | Metric, options: dict[str, Any] | None = None) -> Metric:
    """A metric by name (``pool-fidelity``) or class name (``PoolFidelity``), with its options.

    Raises:
        OptionError: no such metric or option; the message names the nearest.

    Example:
        >>> metric_by_name("sensitivity-n", {"draws": 50})
        SensitivityN(points=4, draws=50)
    """
    if isinstance(name, Metric):
        if options:
            raise OptionError("options go with a metric's name; this metric is already made")
        return name
    by_slug = {key.replace("-", ""): value for key, value in METRICS.items()}
    found = by_slug.get(re.sub(r"[-_ ]", "", name).lower())
    if found is None:
        raise unknown("metric", name, METRICS)
    known = [field.name for field in fields(found)]
    for option in options or {}:
        if option not in known:
            if not known:
                raise OptionError(f"{found.__name__} has no options; {option!r} given")
            raise unknown(f"option of {found.__name__}", option, known)
    return found(**(options or {}))
