"""Thresholds that were measured, not chosen: how well an explanation must do for grade A.

On tasks whose reasons are known, trained for several families of models, each explanation's pool
fidelity is set against whether it found those reasons. For each family and level the threshold is
the lowest for which P(grade A and wrong) is held at 5 % by conformal risk control. Families that
were not measured have none, and their explanations no grade.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import RecordError
from whence.core.provenance import ModelIdentity
from whence.core.trust import Level

__all__ = [
    "RISK",
    "Calibration",
    "Threshold",
    "calibration_of",
    "family_of",
    "risk_controlled",
    "table",
]

RISK = 0.05
"""The most that P(grade A and wrong) may be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """What was measured for one family at one level.

    Attributes:
        fidelity: the least pool fidelity of a grade A; ``None`` where no threshold holds the risk.
        n: explanations that it was set on; ``held_out``: that it was then tried on.
        wrong: share of held-out explanations that got grade A and were wrong.
        granted: share of held-out explanations that got grade A.
    """

    family: str
    level: Level
    fidelity: float | None
    n: int
    held_out: int
    wrong: float
    granted: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The table of thresholds, when it was measured and on what."""

    identity: str
    measured: str
    tasks: tuple[str, ...]
    thresholds: tuple[Threshold, ...]


def risk_controlled(
    fidelity: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], *, risk: float = RISK
) -> float | None:
    """The lowest threshold for which P(at or above it, and wrong) is at most ``risk``.

    Conformal risk control: the risk counted on n exchangeable cases, (n r + 1) / (n + 1), bounds
    the expected risk of the next. It falls as the threshold rises, so the lowest that keeps it is
    found by going down from the highest value. Angelopoulos et al. (2024), arXiv:2208.02814.

    Args:
        fidelity: of each explanation.
        wrong: which of them did not find the known reasons.
        risk: the most that is allowed.

    Returns:
        The threshold; ``None`` where too few cases were measured for any.

    Example:
        >>> risk_controlled(np.linspace(0, 1, 101), np.linspace(0, 1, 101) < 0.5) < 0.5
        True
    """
    n = len(fidelity)
    order = np.argsort(-fidelity, kind="stable")
    values, errors = fidelity[order], np.cumsum(wrong[order])
    # Equal values share a threshold, so a count is read at the last of them.
    last = np.append(values[:-1] != values[1:], True) if n else np.zeros(0, dtype=bool)
    allowed = last & ((errors + 1) / (n + 1) <= risk)
    kept = np.flatnonzero(allowed)
    return None if len(kept) == 0 else float(values[kept[-1]])


def calibration_of(identity: ModelIdentity, level: Level) -> tuple[Threshold, str] | None:
    """The threshold for a model's family, and the table's identity; ``None`` where none covers it."""
    found = table()
    if found is None:
        return None
    family = family_of(identity.architecture)
    for threshold in found.thresholds:
        if threshold.family == family and threshold.level == level:
            return threshold, found.identity
    return None


def family_of(architecture: str) -> str:
    """The family that a model's class belongs to.

    Example:
        >>> family_of("BertForSequenceClassification"), family_of("LlamaForCausalLM")
        ('Bert', 'Llama')
    """
    return architecture.split("For")[0].removesuffix("LMHeadModel").removesuffix("Model")


@cache
def table() -> Calibration | None:
    """The table that this version ships; ``None`` where it ships none.

    Raises:
        RecordError: the shipped file is damaged.
    """
    source = files("whence.evaluation") / "calibration.json"
    if not source.is_file():
        return None
    try:
        tree: dict[str, Any] = json.loads(source.read_text("utf-8"))
        thresholds: Sequence[dict[str, Any]] = tree["thresholds"]
        return Calibration(
            identity=tree["identity"],
            measured=tree["measured"],
            tasks=tuple(tree["tasks"]),
            thresholds=tuple(Threshold(**row) for row in thresholds),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"the table of calibrations in {source} is damaged: {error}") from error
