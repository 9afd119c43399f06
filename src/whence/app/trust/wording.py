"""What every view says of a trust label in the same words: marks, verdicts, facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from whence.app.shared.colour import State
from whence.app.shared.formatting import amount_of, cost_parts, number, reliable, visible
from whence.core.explanations import Attribution
from whence.core.measurements import Interval, Measurement
from whence.core.trust import Finding, TrustLabel

__all__ = [
    "FINDINGS",
    "NOT_A_REASON",
    "Mark",
    "Standing",
    "about",
    "faint_because",
    "interval",
    "label_facts",
    "mark_of",
    "measured",
    "standing",
]

NOT_A_REASON = "Do not use as a reason"
QUICK = "Quick check passed"
UNASKED = "not asked: fair test, idle edits, same answer again, other methods"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A verdict or a finding as it is shown: never by its colour alone."""

    state: State
    symbol: str
    word: str


FINDINGS: dict[Finding, Mark] = {
    "pass": Mark(state="usable", symbol="\u2713", word="pass"),
    "caution": Mark(state="care", symbol="!", word="caution"),
    "fail": Mark(state="never", symbol="\u2715", word="fail"),
    "not_measured": Mark(state="silent", symbol="\u2013", word="not measured"),
}


def mark_of(label: TrustLabel) -> Mark:
    """The three-state mark of a label: usable, with care, do not use.

    Grades A and B are usable, C is to be used with care; so is whatever no thresholds cover. A quick
    label is never green: what it did not ask may forbid the use.
    """
    if not label.usable:
        return Mark(state="never", symbol="\u2715", word=NOT_A_REASON)
    if label.grade in ("A", "B") and label.calibration is not None:
        if label.level == "quick":
            return Mark(state="care", symbol="!", word=QUICK)
        return Mark(state="usable", symbol="\u2713", word="Usable")
    return Mark(state="care", symbol="!", word="Use with care")


def about(label: TrustLabel) -> str:
    """The few words beside the mark: the grade, no thresholds, and what a quick label leaves open."""
    if not label.usable:
        return ""
    graded = "" if label.grade == "uncalibrated" else f"grade {label.grade}"
    uncalibrated = "uncalibrated" if label.calibration is None else ""
    quick = UNASKED if label.level == "quick" else ""
    return ", ".join(part for part in (graded, uncalibrated, quick) if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How one output of an explanation may be shown.

    Attributes:
        label: label of this output's scores; ``None`` where they were not judged.
        withheld: nothing of it is coloured.
        sure: mask of the scores that are distinguishable from zero, by the label too where there is one.
        unjudged: why there is no label; empty where there is one.
    """

    label: TrustLabel | None
    withheld: bool
    sure: Bool[np.ndarray, " n"]
    unjudged: str

    @property
    def coloured(self) -> Bool[np.ndarray, " n"]:
        """Which features get a colour."""
        return np.zeros_like(self.sure) if self.withheld else self.sure


def standing(attribution: Attribution, column: int) -> Standing:
    """How an output may be shown, by the label of the explanation.

    A label that forbids the use of one output's scores keeps the others from being coloured too.
    """
    label = attribution.trust
    sure = reliable(attribution, column)
    if label is None:
        why = "Not judged: nothing was measured of how far these scores can be trusted."
        return Standing(label=None, withheld=False, sure=sure, unjudged=why)
    names = [output.name for output in attribution.outputs]
    if names.index(label.output) != column:
        also = "" if label.usable else ", which may not be used: nothing is coloured here either"
        why = f"Not judged: the trust label is of \u201c{visible(label.output)}\u201d{also}."
        return Standing(label=None, withheld=not label.usable, sure=sure, unjudged=why)
    distinguishable = np.asarray(label.reliable, dtype=bool) & sure
    return Standing(label=label, withheld=not label.usable, sure=distinguishable, unjudged="")


def faint_because(attribution: Attribution, shown: Standing) -> str:
    """Why some scores get no colour; empty where none could be without."""
    if shown.withheld:
        return ""
    sampled = "within two standard errors of zero, or of unknown error"
    if shown.label is None:
        return sampled if attribution.std_errors is not None else ""
    masks = "not distinguishable from zero"
    return masks if attribution.std_errors is None else f"{masks}, or {sampled}"


def interval(bounds: Interval | None) -> str:
    """An interval with its level; a value without one is exact."""
    if bounds is None:
        return "exact"
    # Four digits: a level that is shared among several bounds is no round number.
    return f"{amount_of(bounds.low)} to {amount_of(bounds.high)} ({bounds.level * 100:.4g} %)"


def measured(measurement: Measurement) -> str:
    """A measurement in one line: value, unit, interval, references, observations.

    Example:
        >>> from whence.core import MethodSpec
        >>> measured(Measurement(name="gap", value=-0.25, unit="nat", n=2, direction="none",
        ...                      interval=None, specification=MethodSpec(name="Gap")))
        'gap −0.250 nat, exact, n 2'
    """
    parts = [
        f"{measurement.name} {amount_of(measurement.value)} {measurement.unit}",
        interval(measurement.interval),
    ]
    if measurement.random is not None:
        parts.append(f"random {amount_of(measurement.random)}")
    if measurement.best is not None:
        parts.append(f"best {amount_of(measurement.best)}")
    parts.append(f"n {measurement.n:,}")
    return visible(", ".join(parts))


def label_facts(label: TrustLabel) -> list[tuple[str, str]]:
    """The facts about a label that every view shows, in order.

    Reasons are among them only where they do not stand beside the mark already.
    """
    pool = label.pool
    features = len(label.reliable)
    distinguishable = sum(label.reliable)
    cost = [
        *cost_parts(label.cost),
        f"{label.explanations:,} explanations made again",
        f"{label.cost.seconds:.2f} s",
    ]
    kind = "all there are" if pool.complete else f"drawn with seed {pool.seed}"
    rows = [
        ("Judged", f"the scores of \u201c{label.output}\u201d, level {label.level}"),
        ("Grade", label.grade),
        *(
            ("Grade limited by", reason)
            for reason in label.reasons
            if mark_of(label).state == "usable"
        ),
        ("Calibration", label.calibration or UNCALIBRATED),
        ("Additive share", _share(label.additive_share)),
        ("Distinguishable from zero", f"{distinguishable} of {features} features"),
        ("Mask pool", f"{len(pool.masks):,} masks of {features} features, {kind}; {pool.masker}"),
        ("Discarded", _discarded(label.discarded)),
        ("Cost of judging", ", ".join(cost)),
        *(("Note", note) for note in label.notes),
    ]
    return [(name, visible(text)) for name, text in rows]


UNCALIBRATED = "uncalibrated: no thresholds were measured for this family of models"


def _share(share: Measurement | None) -> str:
    if share is None:
        return "none: the answers did not vary, or the masks are too few for so many features"
    around = "" if share.interval is None else f", {interval(share.interval)}"
    return (
        f"{number(share.value)} of the variance of the answers is explained by the best sum over "
        f"features{around}; n {share.n:,}"
    )


def _discarded(edits: Sequence[str]) -> str:
    if not edits:
        return "no perturbation"
    return f"{len(edits):,}, not counted because the prediction changed: " + "; ".join(edits)
