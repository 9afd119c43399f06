"""The marked words: the answer without them, of them alone, and what other sets of that size do."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.measurements import Measurement
from whence.core.statistics.clopper_pearson import share_interval
from whence.core.trust import Level
from whence.evaluation.instance import Instance, on_a_scale_of_decisions
from whence.evaluation.metrics.removal import descending, random_sets

__all__ = ["SETS", "Marked", "Versus", "in_probabilities", "marked_words"]

SETS: dict[Level, int] = {"quick": 19, "default": 19, "audit": 99}
"""Random sets of the marked set's size: the fewest for which being better than each has a
probability of 1 / (1 + 19) = 0.05 by chance."""

NOTICED = 0.2
"""Share of the largest score from which a feature counts as marked: what a bar chart still shows as a
bar. Chosen by hand; from the scores alone, so that shuffled scores mark as many."""

TIE = 0.01
"""Share of the range of the pool's answers within which two answers are equal: below the width of a
line in any picture of them. Chosen by hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Versus:
    """One answer beside those of random sets of the same size.

    Attributes:
        answer: answer without the marked features, or of them alone, in the output's unit.
        others: answers of random sets of exactly as many features, treated alike.
        worse: share of them that fare worse than the marked, equal ones not counted.
        as_good, better: numbers of them that fare as well or better, and better.
        complete: whether these are all sets of that size.
    """

    answer: float
    others: Float[np.ndarray, " sets"]
    worse: float
    as_good: int
    better: int
    complete: bool

    @property
    def p(self) -> float:
        """The chance that a random set does as well; at most 5 % where it is 0.05 or less."""
        return (1 + self.as_good) / (1 + len(self.others))

    def measured(self, instance: Instance, name: str, size: int) -> Measurement:
        """The share of random sets that fare worse, with its interval."""
        count = len(self.others)
        return Measurement(
            name=name,
            value=self.worse,
            unit="share of random sets",
            n=count,
            direction="higher",
            interval=None
            if self.complete
            else share_interval(round(self.worse * count), count, f"{count} sets of this size"),
            specification=instance.specification("marked_words", marked=size, sets=count),
            random=0.5,
            best=1.0,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """The features that scores mark as raising the output.

    Attributes:
        features: indices, from the highest score.
        whole: answer to the whole input, in the output's unit.
        without: answer with the marked removed.
        alone: answer with the marked only; its random sets are left out of a quick label.
    """

    features: Int[np.ndarray, " k"]
    whole: float
    without: Versus
    alone: Versus

    def mask(self, n: int) -> Bool[np.ndarray, " n"]:
        """The marked features among ``n``."""
        result = np.zeros(n, dtype=bool)
        result[self.features] = True
        return result


def marked_words(
    instance: Instance,
    scores: Float[np.ndarray, " n"],
    errors: Float[np.ndarray, " n"] | None,
    level: Level,
) -> Marked:
    """Ask for the answers without the marked words and of them alone, and of other sets of that size.

    Marked are the scores of at least :data:`NOTICED` of the largest and of more than two standard
    errors, half of the features at most and one at least. Random sets have exactly as many
    features; those of the pool cost nothing. None is moved from another size, so their answers
    need no model of how answers change with size.

    Args:
        instance: input of two features or more.
        scores: scores of its features.
        errors: standard errors of the scores; ``None``: unknown, or exact scores.
        level: level of the label, which says how many random sets are asked.

    Cost: two evaluations and that of no feature, and two for each random set of :data:`SETS` that the
    pool lacks; in a quick label one.
    """
    n = instance.n
    notable = scores >= max(NOTICED * float(scores.max()), np.nextafter(0.0, 1.0))
    if errors is not None:
        notable &= ~(scores <= 2 * errors)
    size = int(np.clip(notable.sum(), 1, n // 2))
    features = descending(scores, instance.seed)[:size]
    present = np.zeros(n, dtype=bool)
    present[features] = True
    rng = np.random.default_rng([instance.seed, 9])
    removed = random_sets(instance, ~present, SETS[level], rng)
    kept = random_sets(instance, present, SETS[level], rng) if level != "quick" else removed[:0]
    # In one call, and with the empty input, which the question of the effect asks for: a batch of all
    # takes less time than its parts.
    ends = np.stack([np.ones(n, dtype=bool), ~present, present, np.zeros(n, dtype=bool)])
    answers = instance.value(np.concatenate([ends, removed, kept]))
    whole, without, alone = answers[:3].tolist()
    others, rest = np.split(answers[4:], [len(removed)])
    tie = TIE * float(np.ptp(np.append(instance.responses, answers[:3]))) + 1e-12
    complete = len(others) == comb(n, size) - 1
    return Marked(
        features,
        whole,
        _versus(without, others, tie, -1, complete),
        _versus(alone, rest, tie, 1, complete),
    )


def _versus(
    answer: float, others: Float[np.ndarray, " sets"], tie: float, sign: int, complete: bool
) -> Versus:
    """An answer beside others; ``sign``: +1 where a higher answer is the better one."""
    ahead = sign * (answer - others)
    return Versus(
        answer,
        others,
        float(np.mean(ahead > tie)) if len(others) else 0.5,
        int(np.count_nonzero(ahead <= tie)),
        int(np.count_nonzero(ahead < -tie)),
        complete,
    )


def in_probabilities(instance: Instance, value: float) -> float:
    """An answer as a probability where the output's scale tells it, else as it is."""
    return float(on_a_scale_of_decisions(np.array([value]), instance.what)[0])
