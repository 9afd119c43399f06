"""Class contrast: whether the scores of one class differ from those of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from whence.core.errors import OptionError, UndefinedError, unknown
from whence.core.measurements import Measurement
from whence.evaluation.instance import Instance
from whence.evaluation.metrics.base import Direction, Metric, Need

__all__ = ["ClassContrast", "other_output"]

MIRRORED = 1e-6
"""Largest spread of the sum of two outputs, as a share of theirs, at which they are one output
with its sign changed: above the rounding of float32 answers, far below any real difference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassContrast(Metric):
    """Rank correlation of the sizes of the judged output's scores with those of another output.

    Formula: Spearman(|phi_i| of the judged, |phi_i| of the other). Near 1 the same words are
    marked whatever is asked, and the explanation is of the text rather than of the class. Sign:
    lower is better. No unit; exact, so without an interval. Cost: none, but the explanation
    must hold the scores of both outputs. ``random`` is 0.

    When it misleads: two labels on a scale of probabilities or log-odds mirror each other, so
    that scores are the same but for their sign whatever the method; that pair is refused.

    Args:
        other: name of the output to compare with; empty: the first that is not the judged one.

    Source: Sixt et al. (2020), arXiv:1912.09818.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [
        ...     [float("late" in t), 2.0 * ("paid" in t) + ("on" in t)] for t in texts
        ... ], labels=["risk", "trust"])
        >>> both = [whence.Label(label="risk"), whence.Label(label="trust")]
        >>> e = whence.explain(model, "late once but paid on time", target=both,
        ...                    method="leave-one-out", trust="off")
        >>> whence.measure(model, e, ["class-contrast"])[0].value < 0
        True
    """

    other: str = ""
    name: ClassVar[str] = "class-contrast"
    direction: ClassVar[Direction] = "lower"
    question: ClassVar[str] = "Are other words marked for another class?"
    rank: ClassVar[int] = 210
    needs: ClassVar[tuple[Need, ...]] = ("explanation",)

    def cost(self, n: int) -> int:
        """None: see :meth:`Metric.cost`."""
        return 0

    def measure(self, instance: Instance, scores: Float[np.ndarray, " n"]) -> Measurement:
        """See :meth:`Metric.measure`.

        Raises:
            OptionError: the outputs are the same, or mirror each other.
            UndefinedError: one of them has scores all of one size.
        """
        phi = self._checked(instance, scores)
        assert instance.explanation is not None
        names = [output.name for output in instance.game.outputs]
        other = other_output(self.name, names, instance.output, self.other)
        every = np.asarray(instance.explanation.scores)
        if every.shape != (instance.n, instance.game.k):
            raise OptionError(
                f"{self.name}: expected an explanation with scores for {instance.n} features and "
                f"{instance.game.k} outputs, got {every.shape}"
            )
        self._refuse_mirrors(instance, other)
        pair = np.abs(np.stack([phi, every[:, other]], axis=1))
        # spearmanr answers NaN, with a warning.
        if np.any(np.ptp(pair, axis=0) == 0):
            raise UndefinedError(
                f"{self.name}: scores that are all of one size have no order to compare"
            )
        value = float(cast("Any", spearmanr(pair[:, 0], pair[:, 1])).statistic)
        return self._measurement(
            instance,
            value,
            unit="rank correlation",
            n=instance.n,
            random=0.0,
            other=names[other],
        )

    def _refuse_mirrors(self, instance: Instance, other: int) -> None:
        judged, values = instance.responses, instance.pool.values[:, other]
        if not len(judged):
            return
        span = max(float(np.ptp(judged)), float(np.ptp(values)))
        # Of two labels log-odds add up to 0 and probabilities to 1: the sum is constant, not always
        # zero.
        if float(np.ptp(judged + values)) <= MIRRORED * span:
            raise OptionError(
                f"{self.name}: the two outputs mirror each other on every mask, as the two labels "
                "of a pair do; their scores differ by sign alone. Ask for logits, or another label"
            )


def other_output(metric: str, names: Sequence[str], judged: int, other: str) -> int:
    """The index of the output to compare with: that of a name, or the first other one.

    Raises:
        OptionError: there is one output only, or no such output, or it is the judged one.
    """
    if len(names) < 2:
        raise OptionError(
            f"{metric}: expected an explanation of two outputs or more, got one ({names[0]!r}); "
            "explain with target=[Label(label=...), Label(label=...)]"
        )
    if not other:
        return int(judged == 0)
    if other not in names:
        raise unknown("output", other, names)
    if names.index(other) == judged:
        raise OptionError(f"{metric}: expected another output than the judged one, got {other!r}")
    return names.index(other)
