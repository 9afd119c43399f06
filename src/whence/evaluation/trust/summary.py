"""The one sentence for a lay reader: what was removed, and what the answer became."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import logit

from whence.evaluation.instance import Instance
from whence.evaluation.metrics.removal import descending, removal
from whence.evaluation.robustness.stability import Stability
from whence.evaluation.trust.checks import same_top
from whence.evaluation.trust.grading import Verdict

__all__ = ["summary_sentence"]

NOTHING_FOUND = (
    "No words were found that account for this answer better than chance. Do not use the scores "
    "as reasons."
)
COMBINED = "This answer depends on combinations of words; no list of single words can carry it."
MARKED = "0.2"
"""The share of the words whose removal the sentence tells: one bin of the label's second
question, so that nothing more is asked. Chosen by hand; not calibrated."""
NAMED = 3
"""Words up to which the sentence names each: more cannot be read at a glance."""
LONGEST_NAME = 60
"""Characters of an output's name, such as a generated text, that the sentence gives."""
RANDOM_RANGE = (0.05, 0.95)
"""Quantiles of the answers without other words that stand in brackets: the middle 90 %."""
OVER, UNDER = 0.9995, 0.0005
"""Probabilities from which one decimal of a percent would print 100.0 % or 0.0 %."""


def summary_sentence(
    instance: Instance,
    scores: Float[np.ndarray, " n"],
    decided: Verdict,
    combined: bool,
    steady: Stability | None = None,
) -> str:
    """What the answer is without the highest-scored words, and without others of that number.

    Args:
        instance: input that was judged.
        scores: scores of its features.
        decided: verdict on them.
        combined: whether even the best sum over single words explains less than half.
        steady: stability of the explanation, where it was measured.

    Cost: none: both answers were asked for the label's second question.
    """
    if instance.n < 2:
        return "There is one feature only, so there is nothing to compare it with."
    if decided.grade == "abstain":
        if combined:
            return COMBINED
        return (
            NOTHING_FOUND
            if decided.by_chance
            else f"Do not use the scores as reasons: {decided.reasons[0]}"
        )
    text = _removal_sentence(instance, scores)
    again, runs = (0, 0) if steady is None else same_top(steady)
    if runs:
        text += f" After small edits of the text mostly the same words came top in {again} of {runs} runs."
    return f"{text} {COMBINED}" if combined else text


def _removal_sentence(instance: Instance, scores: Float[np.ndarray, " n"]) -> str:
    without = removal(instance, scores, MARKED, keep=False)
    # One share, so one size; two features or more always have it (see bin_sizes).
    size, null = without.sizes[0], without.null_answers[0]
    before = float(instance.decided(np.ones((1, instance.n), dtype=bool))[0])
    after = float(without.answers[0])
    unit = "word" if instance.question is None else str(instance.settings.get("unit", "word"))
    low, high = (float(edge) for edge in np.quantile(null, RANDOM_RANGE))
    others = _number(instance, float(np.mean(null)))
    ends = [_number(instance, edge) for edge in (low, high)]
    if ends[0] != ends[1]:
        others += f" ({ends[0]} to {ends[1]})"
    text = (
        f"When {_named(instance, scores, size, unit)} {'is' if size == 1 else 'are'} removed, "
        f"{_change(instance, before, after)}; removing {_other(size, unit)} leaves {others}."
    )
    within = low <= after <= high and ends[0] != ends[1]
    return f"{text} Other {unit}s do as much." if within else text


def _other(count: int, unit: str) -> str:
    return f"another {unit}" if count == 1 else f"{count} other {unit}s"


def _named(instance: Instance, scores: Float[np.ndarray, " n"], size: int, unit: str) -> str:
    """The removed features: how many, and which where they are few."""
    which = f"the {size} highest-scored {unit}s" if size > 1 else f"the highest-scored {unit}"
    if size > NAMED or not instance.texts:
        return which
    order = descending(scores, instance.seed)[:size].tolist()
    names = ", ".join(f"\u201c{instance.texts[i].strip()}\u201d" for i in sorted(order))
    return f"{which} ({names})"


def _change(instance: Instance, before: float, after: float) -> str:
    """What the answer did, in words: it falls, rises or stays where it was."""
    name = " ".join(instance.what.name.split())
    name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}\u2026"
    probability = instance.unit == "probability"
    thing = f"the {'probability' if probability else 'score'} of \u201c{name}\u201d"
    first, last = _number(instance, before), _number(instance, after)
    if first == last:
        at = "" if first.startswith(("over", "under")) else "at "
        return f"{thing} stays {at}{first}{_in_own_unit(instance, before, after)}"
    return f"{thing} {'falls' if after < before else 'rises'} from {first} to {last}"


def _in_own_unit(instance: Instance, before: float, after: float) -> str:
    """Both answers in the output's own unit, where the percentages cannot tell them apart.

    The probability of a whole generated text is under 0.1 % whatever is removed; its logarithm
    still says whether it changed.
    """
    link, unit = instance.what.link, instance.what.unit
    if link == "probability" or instance.unit != "probability":
        return ""
    # A probability of exactly 0 or 1 has an infinite logarithm; the next lines then say nothing.
    with np.errstate(divide="ignore"):
        values = [float(logit(p) if link == "log_odds" else np.log(p)) for p in (before, after)]
    if not np.all(np.isfinite(values)):
        return ""
    return f" ({link.replace('_', '-')} {values[0]:.1f} before and {values[1]:.1f} {unit} after)"


def _number(instance: Instance, value: float) -> str:
    if instance.unit == "probability":
        if value >= OVER:
            return "over 99.9 %"
        if value <= UNDER:
            return "under 0.1 %"
        # Whole percents in the middle; at the ends a tenth of a percent can be a fold.
        return f"{100 * value:.0f} %" if 0.02 <= value <= 0.98 else f"{100 * value:.1f} %"
    return f"{value:.3g} {instance.unit}"
