"""Selective prediction: from which certainty on a student may answer alone, and how often it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import InputError
from whence.core.record import Migration, Record, Tree, Value
from whence.core.statistics.proportions import Proportion, check_shares, least_certified, proportion
from whence.students.data.split import FEWEST

__all__ = ["Scored", "SelectivePrediction", "Step", "certified_threshold", "selective_prediction"]

COVERAGES = tuple(round(1 - 0.05 * step, 2) for step in range(20))
"""Share of ``select`` that each threshold lets a student answer. Steps of 5 %: chosen by hand."""

BELOW = 1e-9
"""How far a threshold lies below the certainty it was drawn from. A student that was stored and read
back may differ by rounding (1e-12 in the tests of the runtime), and must not ask what it answered
before."""


def certified_threshold(
    certainty: Float[np.ndarray, " texts"],
    same: Bool[np.ndarray, " _"],
    *,
    thresholds: Float[np.ndarray, " steps"],
    target: float = 0.95,
    level: float = 0.95,
) -> float | None:
    """The lowest certainty from which on a student may answer alone; below it the teacher is asked.

    A fixed sequence of tests: thresholds, set beforehand on other texts, are tried from the
    highest down, and the first that fails ends the search, so no correction is needed. A threshold
    whose texts are too few to pass whatever they say is left out, which depends on the certainty
    alone. ``P(certified and true agreement above the threshold < target) <= 1 - level`` at any n.
    ``None``: nothing can be certified; always ask. Angelopoulos et al. (2021), arXiv:2110.01052.

    Args:
        certainty: highest probability of the student for each text of the holdout.
        same: marks of the texts on which student and teacher agree.
        thresholds: thresholds, in any order.
        target: agreement above the threshold.
        level: level of the guarantee.

    Example:
        >>> certainty = np.linspace(0.5, 1.0, 500)
        >>> certified_threshold(certainty, certainty > 0.6, thresholds=np.array([0.5, 0.7, 0.9]))
        0.7
    """
    if len(certainty) != len(same):
        raise InputError(
            f"expected one agreement for each certainty, got {len(same)} for {len(certainty)}"
        )
    # On fewer texts than this, agreement on all would not pass: to leave such a threshold out
    # spends nothing of the error, since the agreement was not looked at.
    needed = least_certified(target, level=level)
    passed: float | None = None
    for threshold in sorted(thresholds.tolist(), reverse=True):
        inside = certainty >= threshold
        n = int(inside.sum())
        if n < needed:
            continue
        if proportion(int(same[inside].sum()), n, level=level).lower < target:
            break
        passed = threshold
    return passed


class Scored(NamedTuple):
    """A student's certainty on held-out texts, where it agrees, and where it is asked anyway.

    ``asked`` marks texts that go to the teacher whatever the certainty: those in a region of
    distrust, or beyond what was certified.
    """

    certainty: Float[np.ndarray, " texts"]
    same: Bool[np.ndarray, " texts"]
    asked: Bool[np.ndarray, " texts"]

    @classmethod
    def of(
        cls,
        teacher: Float[np.ndarray, "texts labels"],
        student: Float[np.ndarray, "_ _"],
        asked: Bool[np.ndarray, " _"] | None = None,
    ) -> Scored:
        """From the probabilities of both; without a mask no text is asked whatever the certainty."""
        if teacher.shape != student.shape:
            raise InputError(
                f"expected probabilities of shape {teacher.shape}, got {student.shape}; give both for "
                "the same texts and labels"
            )
        same = teacher.argmax(axis=1) == student.argmax(axis=1)
        none = np.zeros(len(student), dtype=np.bool_)
        return cls(student.max(axis=1), same, none if asked is None else asked)

    def open(self) -> tuple[np.ndarray, np.ndarray]:
        """Certainty and agreement of the texts that the certainty decides on."""
        if not len(self.certainty) == len(self.same) == len(self.asked):
            raise InputError(
                f"expected one certainty, agreement and mark for each text, got {len(self.certainty)}, "
                f"{len(self.same)} and {len(self.asked)}"
            )
        return self.certainty[~self.asked], self.same[~self.asked]


@dataclass(frozen=True, slots=True, eq=False)
class Step(Value):
    """What answering from one threshold on would have meant on ``report``.

    Attributes:
        threshold: least certainty.
        coverage: share of all texts that are answered.
        agreement: agreement with the teacher on them; ``None`` where they are fewer than 30.
    """

    threshold: float
    coverage: Proportion
    agreement: Proportion | None


def _steps_by_name(tree: Tree) -> Tree:
    """Version 1 wrote a step of the curve as a list, and named neither kind nor version."""
    names = ("threshold", "coverage", "agreement")
    curve = [dict(zip(names, step, strict=True)) for step in tree["curve"]]
    return {**tree, "schema_version": 2, "curve": curve}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SelectivePrediction(Record):
    """From which certainty on a student may answer alone.

    Attributes:
        threshold: certified threshold; ``None``: nothing is certified, always ask.
        target: agreement above the threshold that was tested.
        level: level of the guarantee.
        coverage: share of ``certify`` that is answered; 0 where nothing is certified.
        agreement: agreement on them. The guarantee is ``target``: this bound was computed after
            the threshold had been chosen on the same texts, and may be too high. ``None`` where nothing is certified.
        curve: agreement on ``report`` at each threshold, from the least coverage to the greatest.
            Each bound holds by itself.
    """

    threshold: float | None
    target: float
    level: float
    coverage: Proportion
    agreement: Proportion | None
    curve: tuple[Step, ...]
    kind: Literal["selective-prediction"] = "selective-prediction"
    schema_version: Literal[2] = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: _steps_by_name}
    unmarked: ClassVar[tuple[str, ...]] = ("kind", "schema_version")

    @property
    def n(self) -> int:
        """Texts it was certified on."""
        return self.coverage.n

    def __str__(self) -> str:
        promise = f"{self.target} (level {self.level}, n={self.n})"
        if self.threshold is None:
            lines = [f"always ask: no threshold is certified to agree {promise}"]
        else:
            lines = [
                f"answers from certainty {self.threshold:.3f} on, certified to agree {promise}; that "
                f"is {self.coverage.value:.2f} of texts"
            ]
        lines.append(f"{'certainty':>9} {'answers':>8}  agreement with the teacher")
        for step in self.curve:
            agreement = "too few texts" if step.agreement is None else str(step.agreement)
            lines.append(f"{step.threshold:>9.3f} {step.coverage.value:>8.2f}  {agreement}")
        return "\n".join(lines)


def selective_prediction(
    select: Scored | Float[np.ndarray, " select"],
    certify: Scored,
    report: Scored,
    *,
    target: float = 0.95,
    level: float = 0.95,
) -> SelectivePrediction:
    """The certified threshold, and agreement against coverage at every threshold.

    The thresholds are quantiles of the student's certainty on ``select``, at which it would
    answer 5, 10, ... 100 % there. The sequence of tests on ``certify`` (:func:`certified_threshold`)
    begins at the one that ``select`` says is likeliest to pass, and goes down from there: to
    begin at the highest would be to fail on the first of the few texts above it. ``report`` shows
    them all. What decides that a text is asked anyway must not have seen ``certify``. Then, of texts like these, a threshold whose answers agree in less
    than ``target`` is certified with a probability of at most ``1 - level``. Where regions of
    distrust were kept or dropped by what ``report`` says, its curve is a little too good; the
    certified threshold is not touched by that.

    Args:
        select: scores on ``select``, where the thresholds and their order come from; for bare
            certainties the sequence begins at the highest.
        certify: scores on ``certify``, where the thresholds are tested.
        report: scores on ``report``, for the curve.
        target: agreement of the answers.
        level: level of the guarantee, and of each bound of the curve.

    Raises:
        InputError: no text in some part, or arrays of other lengths.
        OptionError: a target or level out of its range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def part(n):
        ...     certainty = rng.uniform(0.5, 1.0, n)
        ...     agrees = rng.random(n) < np.minimum(certainty + 0.2, 1.0)
        ...     return Scored(certainty, agrees, np.zeros(n, dtype=bool))
        >>> result = selective_prediction(part(300), part(600), part(300))
        >>> round(result.threshold, 2), round(result.coverage.value, 2)
        (0.7, 0.59)
    """
    check_shares(target, level)
    bare = not isinstance(select, Scored)
    seen, agreed = (select, None) if bare else select.open()
    if (
        min(
            len(select if bare else select.certainty), len(certify.certainty), len(report.certainty)
        )
        == 0
    ):
        raise InputError(
            "expected one text or more in each of select, certify and report, got none"
        )
    thresholds = np.zeros(0)
    if len(seen):
        # lower: thresholds are certainties of texts, so that the share answered on select is met
        # and not missed by one text.
        steps = np.quantile(seen, [1 - share for share in COVERAGES], method="lower")
        thresholds = np.unique(steps) - BELOW
    certainty, same = certify.open()
    tested = thresholds
    if agreed is not None:
        # np.unique gives thresholds in ascending order: those up to the likeliest are left, which
        # the sequence tries from above.
        tested = thresholds[: _likeliest(thresholds, seen, agreed, target) + 1]
    passed = certified_threshold(certainty, same, thresholds=tested, target=target, level=level)
    # Nothing is certified: no certainty reaches infinity, and the counts come out as none.
    inside = certainty >= (np.inf if passed is None else passed)
    n = int(inside.sum())
    return SelectivePrediction(
        threshold=passed,
        target=target,
        level=level,
        coverage=proportion(n, len(certify.certainty), level=level),
        agreement=None if passed is None else proportion(int(same[inside].sum()), n, level=level),
        curve=_curve(thresholds, report, level),
    )


def _likeliest(
    thresholds: np.ndarray, certainty: np.ndarray, same: np.ndarray, target: float
) -> int:
    """Place of the threshold whose agreement is most standard errors above the target."""
    scores: list[float] = []
    for threshold in thresholds.tolist():
        inside = certainty >= threshold
        # (p - target) sqrt(n) / sqrt(target (1 - target)); the last factor is the same for all
        # thresholds.
        scores.append(float(same[inside].mean() - target) * float(np.sqrt(inside.sum())))
    return int(np.argmax(scores)) if scores else -1


def _curve(thresholds: np.ndarray, report: Scored, level: float) -> tuple[Step, ...]:
    certainty, same = report.open()
    steps: list[Step] = []
    for threshold in sorted(thresholds.tolist(), reverse=True):
        inside = certainty >= threshold
        n = int(inside.sum())
        agreement = proportion(int(same[inside].sum()), n, level=level) if n >= FEWEST else None
        coverage = proportion(n, len(report.certainty), level=level)
        steps.append(Step(threshold, coverage, agreement))
    return tuple(steps)
