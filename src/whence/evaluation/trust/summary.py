"""The one sentence for a lay reader: what was removed, and what the answer became."""

from __future__ import annotations

import numpy as np

from whence.evaluation.instance import Instance
from whence.evaluation.robustness.stability import Stability
from whence.evaluation.trust.checks import same_top
from whence.evaluation.trust.grading import COMBINATIONS, Verdict
from whence.evaluation.trust.marked import Marked, in_probabilities

__all__ = ["others_do_as_much", "summary_sentence"]

NOTHING_FOUND = (
    "No words were found that account for this answer better than chance. Do not use the scores "
    "as reasons."
)
COMBINED = "This answer depends on combinations of words; no list of single words can carry it."
NAMED = 3
"""Words up to which the sentence names each: more cannot be read at a glance."""
LONGEST_NAME = 60
"""Characters of an output's name, such as a generated text, that the sentence gives."""
RANDOM_RANGE = (0.05, 0.95)
"""Quantiles of the answers without other words that stand in brackets: the middle 90 %."""
OVER, UNDER = 0.9995, 0.0005
"""Probabilities from which one decimal of a percent would print 100.0 % or 0.0 %."""
FOLD = 0.01
"""Probability below which a change is told by how many times less likely the answer is: percents of
whole generated texts are all zeros."""
SAME = 1.05
"""Times less likely up to which an answer is said to stay: five in a hundred, below any noise."""


def summary_sentence(
    instance: Instance,
    marked: Marked | None,
    decided: Verdict,
    steady: Stability | None = None,
) -> str:
    """What the answer is without the marked words, and without others of that number.

    Args:
        instance: input that was judged.
        marked: its marked words; ``None`` for a single feature.
        decided: verdict on them.
        steady: stability of the explanation, where it was measured and shows anything.

    Cost: none.
    """
    if marked is None:
        return "There is one feature only, so there is nothing to compare it with."
    combined = COMBINATIONS in decided.reasons
    if decided.grade == "abstain":
        if combined:
            return COMBINED
        return (
            NOTHING_FOUND
            if decided.by_chance
            else f"Do not use the scores as reasons: {decided.reasons[0]}"
        )
    text = _removal_sentence(instance, marked)
    again, runs = (0, 0) if steady is None else same_top(steady)
    if runs:
        text += f" After small edits of the text mostly the same words came top in {again} of {runs} runs."
    return f"{text} {COMBINED}" if combined else text


def others_do_as_much(marked: Marked) -> bool:
    """Whether the answer without the marked words lies among those without as many others."""
    low, high = np.quantile(marked.without.others, RANDOM_RANGE)
    # Where all sets do alike there is no range to lie in; the question above says so.
    return bool(low < high and low <= marked.without.answer <= high)


def _removal_sentence(instance: Instance, marked: Marked) -> str:
    size, gone = len(marked.features), marked.without
    unit = "word" if instance.question is None else str(instance.settings.get("unit", "word"))
    low, high = (float(edge) for edge in np.quantile(gone.others, RANDOM_RANGE))
    say = _Words(instance, marked.whole)
    # The middle one: a mean of probabilities is that of no set at all.
    others = say.number(float(np.median(gone.others)))
    ends = [say.number(low), say.number(high)]
    if ends[0] != ends[1]:
        others += f" ({ends[0]} to {ends[1]})"
    text = (
        f"When {_named(instance, marked, unit)} {'is' if size == 1 else 'are'} removed, "
        f"{say.change(gone.answer)}; removing {_other(size, unit)} {say.leaves} {others}."
    )
    return f"{text} Other {unit}s do as much." if others_do_as_much(marked) else text


def _other(count: int, unit: str) -> str:
    return f"another {unit}" if count == 1 else f"{count} other {unit}s"


def _named(instance: Instance, marked: Marked, unit: str) -> str:
    """The removed features: how many, and which where they are few."""
    size = len(marked.features)
    which = f"the {size} highest-scored {unit}s" if size > 1 else f"the highest-scored {unit}"
    if size > NAMED or not instance.texts:
        return which
    # In reading order: the sentence says which words, and their scores stand elsewhere.
    names = ", ".join(
        f"\u201c{instance.texts[i].strip()}\u201d" for i in sorted(marked.features.tolist())
    )
    return f"{which} ({names})"


class _Words:
    """How answers are told: in percent, in times less likely, or in the output's own unit."""

    def __init__(self, instance: Instance, whole: float) -> None:
        self.instance, self.whole = instance, whole
        self.folds = (
            instance.what.link == "log_probability" and in_probabilities(instance, whole) < FOLD
        )
        self.leaves = "makes it" if self.folds else "leaves"
        name = " ".join(instance.what.name.split())
        name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}\u2026"
        thing = "probability" if instance.unit == "probability" else "score"
        self.thing = f"the {thing} of \u201c{name}\u201d"

    def change(self, after: float) -> str:
        """What the answer did: it falls, rises or stays where it was."""
        if self.folds:
            fold = self.number(after)
            if fold == _AS_LIKELY:
                return f"{self.thing} stays as it is (its logarithm {self.whole:.1f} nat)"
            return f"{self.thing} becomes {fold} (its logarithm {self.whole:.1f} before, {after:.1f} nat after)"
        first, last = self.number(self.whole), self.number(after)
        if first == last:
            at = "" if first.startswith(("over", "under")) else "at "
            return f"{self.thing} stays {at}{first}{self._own_unit(after)}"
        return f"{self.thing} {'falls' if after < self.whole else 'rises'} from {first} to {last}"

    def number(self, value: float) -> str:
        """An answer as a reader sees it."""
        if self.folds:
            # Beyond e^700 float64 has no number; a million times is no longer read as a number.
            times = float(np.exp(min(abs(self.whole - value), 700.0)))
            if times <= SAME:
                return _AS_LIKELY
            amount = (
                "over a million"
                if times > 1e6
                else f"{times:,.0f}"
                if times >= 10
                else f"{times:.1f}"
            )
            return f"{amount} times {'less' if value < self.whole else 'more'} likely"
        if self.instance.unit != "probability":
            return f"{value:.3g} {self.instance.unit}"
        share = in_probabilities(self.instance, value)
        if share >= OVER:
            return "over 99.9 %"
        if share <= UNDER:
            return "under 0.1 %"
        # Whole percents in the middle; at the ends a tenth of a percent can be a fold.
        return f"{100 * share:.0f} %" if 0.02 <= share <= 0.98 else f"{100 * share:.1f} %"

    def _own_unit(self, after: float) -> str:
        """Both answers in the output's own unit, where the percentages cannot tell them apart."""
        link, unit = self.instance.what.link, self.instance.what.unit
        if link == "probability" or self.instance.unit != "probability":
            return ""
        name = link.replace("_", "-")
        return f" ({name} {self.whole:.1f} before and {after:.1f} {unit} after)"


_AS_LIKELY = "as likely as before"
