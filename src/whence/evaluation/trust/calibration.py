"""Thresholds that were measured, not chosen: how well an explanation must do for grade A.

On tasks whose reasons are known, trained for several families of models, each explanation's pool
fidelity is set against whether it found those reasons. For each family and level the threshold is
the lowest for which the share of wrong ones is held at 5 % by conformal risk control, among
explanations that may have grade A at all (not among all: those that may not would water it down). Families that were not measured have none, and their
explanations no grade. The promise is for tasks like those measured; what it was worth on a task
that set no threshold is in the table as ``worst``.
"""

from __future__ import annotations

import json
from collections import Counter
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
from whence.evaluation.additive_surrogate import AdditiveFit

__all__ = [
    "RISK",
    "Calibration",
    "Threshold",
    "additive_enough",
    "calibration_of",
    "family_of",
    "risk_controlled",
    "table",
]

RISK = 0.05
"""The share of wrong explanations that is allowed among those that may have grade A: the promise
of the grade, chosen when the label was designed (decision 8)."""

ADDITIVE = 0.5
"""The additive share of the answer that grade A needs. Without it 0.295 of all explanations of a
task left out were grade A and wrong at worst; with it 0.031 (benchmarks/calibration.py, decision 8)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """What was measured for one family at one level.

    Attributes:
        fidelity: least pool fidelity of a grade A; ``None`` where no threshold holds the risk.
        n: explanations that it was set on; ``held_out``: that it was then tried on.
        wrong: share of wrong ones among the held-out explanations that got grade A.
        granted: share of held-out explanations that got grade A.
        worst: largest ``wrong`` of any task for which the others set the threshold; ``None``
            for a single task.
    """

    family: str
    level: Level
    fidelity: float | None
    n: int
    held_out: int
    wrong: float
    granted: float
    worst: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The table of thresholds, when it was measured and on what."""

    identity: str
    measured: str
    tasks: tuple[str, ...]
    thresholds: tuple[Threshold, ...]


def risk_controlled(
    fidelity: Float[np.ndarray, " n"],
    wrong: Bool[np.ndarray, " n"],
    inputs: Sequence[object] | None = None,
    *,
    risk: float = RISK,
) -> float | None:
    """The lowest threshold for which P(at or above it, and wrong) is at most ``risk``.

    Conformal risk control: the risk r counted on n exchangeable inputs bounds that of the next by
    (n r + 1) / (n + 1). It falls as the threshold rises, so the lowest that keeps it is found by
    going down from the highest value. Explanations of one input rise and fall together, so an
    input counts once: its loss is the share of its explanations that pass and are wrong.
    Angelopoulos et al. (2024), arXiv:2208.02814.

    Args:
        fidelity: pool fidelity of each explanation.
        wrong: mask of those that would get the grade and did not find the known reasons.
        inputs: input that each explains; none: each another.
        risk: largest share that is allowed.

    Returns:
        The threshold; ``None`` where too few inputs were measured for any.

    Example:
        >>> risk_controlled(np.linspace(0, 1, 101), np.linspace(0, 1, 101) < 0.5) < 0.5
        True
    """
    of = list(range(len(fidelity))) if inputs is None else list(inputs)
    counts = Counter(of)
    n = len(counts)
    order = np.argsort(-fidelity, kind="stable")
    values = fidelity[order]
    # An input's loss is 1 at most, so the sum is n times the counted risk.
    losses = np.cumsum([wrong[i] / counts[of[i]] for i in order])
    # Equal values share a threshold, so a loss is read at the last of them.
    last = np.append(values[:-1] != values[1:], True) if len(values) else np.zeros(0, dtype=bool)
    # (n r + B) / (n + 1) with the largest loss B = 1: the next input is taken to be as bad as can
    # be.
    allowed = np.flatnonzero(last & ((losses + 1) / (n + 1) <= risk))
    return None if len(allowed) == 0 else float(values[allowed[-1]])


def additive_enough(fit: AdditiveFit) -> bool:
    """Whether single words carry at least half of the answer, with 95 % confidence.

    Measured to matter: where pairs of words decide, a list of words can follow the answer well and
    still miss one of the pair.
    """
    if fit.share is None:
        return False
    return (fit.share if fit.interval is None else fit.interval.low) >= ADDITIVE


def calibration_of(identity: ModelIdentity, level: Level) -> tuple[Threshold, str] | None:
    """The threshold for a model's family, and the table's identity; ``None`` where none covers it."""
    calibration = table()
    if calibration is None:
        return None
    family = family_of(identity.architecture)
    by_level = {t.level: t for t in calibration.thresholds if t.family == family}
    # An audit asks more than a default label; what is enough for that is enough for it.
    chosen = by_level.get(level) or (by_level.get("default") if level == "audit" else None)
    return None if chosen is None else (chosen, calibration.identity)


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
