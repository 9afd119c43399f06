"""Choosing a method for a model and its task, on texts, with every candidate's score kept.

Choosing for each input anew gains little and can lose: measured on data with known reasons it
changed average precision by -0.020 to +0.003 against the one method best for the task. So the
choice is made once, on a set of texts, and an input departs from it only on strong evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.core.measurements import Interval
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.pool_fidelity import fidelities

__all__ = ["Choice", "Trial", "choose", "departs"]

RESAMPLES = 2_000
"""Resamples of the bootstrap: fifty then lie beyond each end of a 95 % interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One method on every text: ``fidelity[texts]`` and its mean cost in evaluations."""

    name: str
    fidelity: Float[np.ndarray, " texts"]
    evaluations: float


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The chosen name and the reason; intervals of each mean, and of the best less each."""

    chosen: str
    best: str
    why: str
    means: dict[str, Interval]
    behind: dict[str, Interval]


def choose(trials: Sequence[Trial], *, barred: Sequence[str] = (), seed: int = 0) -> Choice:
    """The best of some methods, or the cheapest that is within one standard error of it.

    The standard error is that of the difference to the best on the same texts, by bootstrap over
    texts, so that texts on which all do badly do not blur the comparison.

    Args:
        trials: trial of every candidate, on the same texts in the same order.
        barred: names that are shown beside the others and never chosen, such as random scores.
        seed: seed of the bootstrap.

    Raises:
        OptionError: no candidate, or candidates tried on different texts.

    Example:
        >>> expensive = Trial("expensive", np.array([0.8, 0.9, 0.7]), 500.0)
        >>> cheap = Trial("cheap", np.array([0.79, 0.91, 0.69]), 10.0)
        >>> choose([expensive, cheap]).chosen
        'cheap'
    """
    if not trials:
        raise OptionError("no candidate to choose from; give one method at least")
    sizes = {len(trial.fidelity) for trial in trials}
    if len(sizes) != 1 or 0 in sizes:
        raise OptionError(
            f"expected all candidates tried on the same texts, got {sorted(sizes)} texts"
        )
    count = sizes.pop()
    table = np.stack([trial.fidelity for trial in trials])
    means = table.mean(axis=1)
    # Random scores cost next to nothing: among equals they would win by their price.
    open_to = [i for i, trial in enumerate(trials) if trial.name not in barred]
    if not open_to:
        raise OptionError(f"every candidate is barred: {', '.join(barred)}")
    # Of equals the cheaper is the better.
    best = min(open_to, key=lambda i: (-means[i], trials[i].evaluations))
    # The same texts for every candidate in a resample: what is hard for all cancels in the
    # difference.
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    resampled = table[:, drawn].mean(axis=2)
    behind = resampled[best] - resampled
    errors = behind.std(axis=1)
    # A candidate equal to the best has a difference and an error of rounding alone.
    near = [i for i in open_to if means[best] - means[i] <= errors[i] + 1e-12]
    chosen = min(near, key=lambda i: (trials[i].evaluations, -means[i]))
    names = [trial.name for trial in trials]
    if chosen == best:
        why = f"{names[best]}: mean pool fidelity {means[best]:.3f} over {count} texts, the highest"
    else:
        why = (
            f"{names[chosen]}: mean pool fidelity {means[chosen]:.3f} over {count} texts, within "
            f"one standard error ({errors[chosen]:.3f}) of {names[best]}'s {means[best]:.3f}, at "
            f"{trials[chosen].evaluations:,.0f} evaluations a text in place of "
            f"{trials[best].evaluations:,.0f}"
        )
    how = f"percentile bootstrap over {count} texts, {RESAMPLES:,} resamples"
    return Choice(
        chosen=names[chosen],
        best=names[best],
        why=why,
        means={name: _interval(resampled[i], how) for i, name in enumerate(names)},
        behind={name: _interval(behind[i], how) for i, name in enumerate(names)},
    )


def _interval(values: Float[np.ndarray, " r"], how: str) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(low=float(low), high=float(high), level=0.95, how=how)


def departs(
    instance: Instance,
    winner: str,
    scores: Mapping[str, Float[np.ndarray, " n"]],
    *,
    resamples: int = 1_000,
) -> tuple[str, str]:
    """Whether one input should be explained by another method than its task's winner.

    Only where the other's pool fidelity on masks that did not propose it exceeds the winner's,
    with a 95 % interval above zero: one half of the pool proposes, the other half judges.

    Args:
        instance: input.
        winner: task's method.
        scores: scores of every candidate on this input.
        resamples: number of resamples of the bootstrap over pairs of masks.

    Returns:
        The method to use, and the reason in a sentence.

    Cost: no evaluation.
    """
    if winner not in scores:
        raise OptionError(f"the winner {winner!r} is not among the candidates {', '.join(scores)}")
    # Eight pairs: four propose and four judge. Chosen by hand; not calibrated.
    if len(instance.pool) < 16:
        return winner, f"{winner}: the task's choice; {len(instance.pool)} masks cannot overrule it"
    propose, judge = instance.pool.halves()
    names = list(scores)
    table = np.stack([scores[name] for name in names])
    first = fidelities(propose.masks, propose.values[:, instance.output], table)
    rival = names[int(np.argmax(first))]
    if rival == winner:
        return winner, f"{winner}: the task's choice, and the best on this input"
    pair = np.stack([scores[rival], scores[winner]])
    rng = np.random.default_rng([instance.seed, 2])
    pairs = len(judge) // 2
    differences = np.empty(resamples)
    for index in range(resamples):
        chosen = rng.integers(pairs, size=pairs)
        # A mask and its complement are one draw, so the bootstrap draws them together.
        rows = np.stack([2 * chosen, 2 * chosen + 1], axis=1).ravel()
        fidelity = fidelities(judge.masks[rows], judge.values[rows, instance.output], pair)
        differences[index] = fidelity[0] - fidelity[1]
    low, high = np.quantile(differences, [0.025, 0.975])
    difference = f"{rival} less {winner} on unseen masks: 95 % interval {low:+.2f} to {high:+.2f}"
    if low > 0:
        return rival, f"{rival}: better than the task's choice on this input ({difference})"
    return winner, f"{winner}: the task's choice; nothing on this input overrules it ({difference})"
