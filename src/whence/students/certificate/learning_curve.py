"""How agreement grows with the number of questions, and how many more would help."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import InputError, OptionError, UndefinedError
from whence.core.statistics.imagined_row import table_interval
from whence.core.statistics.proportions import Interval
from whence.students.certificate.fidelity import kappa, table_kappa
from whence.students.certificate.power_law import PowerLaw, power_laws
from whence.students.data.run import Terms

__all__ = ["LearningCurve", "Point", "learning_curve", "schedule"]

FEWEST_SIZES = 4
"""Sizes that a law of three numbers takes: three would be met exactly, whatever they are."""

WORTHWHILE = 0.02
"""Kappa that is worth more questions. Chosen by hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Kappa on ``select`` of students of ``texts`` texts: the mean of some draws."""

    texts: int
    draws: int
    kappa: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurve:
    """Kappa at each size, and the law through it.

    Attributes:
        points: points from the smallest size up.
        law: law fitted to them; ``None`` for fewer than four sizes.
        resampled: laws fitted to resampled texts and draws.
        level: level of the intervals.
    """

    points: tuple[Point, ...]
    law: PowerLaw | None
    resampled: tuple[PowerLaw, ...]
    level: float

    @property
    def texts(self) -> int:
        """The largest size."""
        return self.points[-1].texts

    def more_for(self, gain: float = WORTHWHILE) -> int | None:
        """About how many more texts raise kappa by ``gain``; ``None``: no number would.

        The gain counts from the law's own value at the largest size. More than a million times
        a million texts count as none.

        Raises:
            UndefinedError: too few sizes for a law.
            OptionError: a gain that is none.
        """
        return _whole(self._more(self._needed(), gain))

    def more_range(self, gain: float = WORTHWHILE) -> tuple[int, int | None] | None:
        """The interval of :meth:`more_for` over resampled laws, its end ``None`` where open.

        ``None`` where even its lower end is that no number of texts would do.
        """
        self._needed()
        more = np.array([self._more(law, gain) for law in self.resampled])
        shares = [(1 - self.level) / 2, (1 + self.level) / 2]
        # Quantiles that are members: between a number and infinity there is nothing to average.
        low, high = np.quantile(more, shares, method="inverted_cdf").tolist()
        least = _whole(low)
        return None if least is None else (least, _whole(high))

    def gain_of_doubling(self) -> Interval:
        """What the law expects of twice as many texts, with its interval."""
        law = self._needed()
        # Within each law: what moves a resampled curve up or down as a whole cancels in the gain.
        gains = np.array([other(2 * self.texts) - other(self.texts) for other in self.resampled])
        low, high = np.quantile(gains, [(1 - self.level) / 2, (1 + self.level) / 2]).tolist()
        return Interval(law(2 * self.texts) - law(self.texts), low, high, self.texts)

    @property
    def flat(self) -> bool:
        """Whether twice as many texts would bring less than .02, at the level of the intervals.

        False where there are too few sizes to say.
        """
        return self.law is not None and self.gain_of_doubling().upper < WORTHWHILE

    def _needed(self) -> PowerLaw:
        if self.law is None:
            raise UndefinedError(
                f"expected a curve of {FEWEST_SIZES} sizes or more, got {len(self.points)}; give more "
                "texts or a smaller start"
            )
        return self.law

    def _more(self, law: PowerLaw, gain: float) -> float:
        if not gain > 0:
            raise OptionError(f"expected a gain above 0, got {gain}")
        return law.texts_for(law(self.texts) + gain) - self.texts

    def __str__(self) -> str:
        lines = ["texts  draws  kappa on select"]
        lines += [f"{p.texts:5d}  {p.draws:5d}  {p.kappa}" for p in self.points]
        return "\n".join([*lines, self.sentence()])

    def sentence(self, gain: float = WORTHWHILE) -> str:
        """What more texts would bring, in words."""
        if self.law is None:
            return f"{len(self.points)} sizes are too few to say what more texts would bring"
        more, span = self.more_for(gain), self.more_range(gain)
        if more is None:
            says = f"no number of questions would bring +{gain:g}"
            says += f" (the curve nears {self.law.a:.2f})"
            return says if span is None else f"{says}; it may be {_open(span)} more"
        says = f"about {_round(more):,} more questions for +{gain:g}"
        beyond = (more + self.texts) / self.texts
        # Four times the texts are two doublings beyond those that were fitted. Chosen by hand.
        far = f"; {beyond:.0f} times the texts there are, so a guess" if beyond > 4 else ""
        return f"{says} ({'no end' if span is None else _open(span)}{far})"


def schedule(n: int, start: int = 100) -> list[int]:
    """Sizes that double up to all texts; the last doubling is left out where it is near to all.

    Example:
        >>> schedule(1579), schedule(850)
        ([100, 200, 400, 800, 1579], [100, 200, 400, 850])
    """
    if start < 1 or n < start:
        raise OptionError(f"expected a start from 1 to the {n} texts there are, got {start}")
    sizes = [start]
    # A doubling within a quarter of all texts would cost its fits and tell the law nothing that
    # the last point does not. Chosen by hand.
    while sizes[-1] * 2 <= n / 1.25:
        sizes.append(sizes[-1] * 2)
    return [*sizes, n] if sizes[-1] < n else sizes


def learning_curve(
    fit: Callable[[Int[np.ndarray, " rows"]], Float[np.ndarray, "texts labels"]],
    n: int,
    teacher: Int[np.ndarray, " texts"],
    terms: Terms,
    *,
    start: int = 100,
    draws: int = 5,
    replicates: int = 200,
) -> LearningCurve:
    """Kappa on texts held out of students fitted on ever more texts, and a power law through it.

    Sizes double from ``start`` to ``n``; small ones are drawn several times, at random and apart
    from each other, as often as they fit into the texts (at most ``draws``); the mean of their
    kappas is the point. ``kappa(n) = a - b n^-c`` is fitted by least squares with ``a`` of at most
    1, ``b`` of at least 0 and ``c`` between .05 and 2. Intervals and the uncertainty of the law
    come from resampling the held-out texts and, at each size, the draws. All of the texts can be
    drawn once only, so what another sample of that size would give is not in its interval.

    A law is an extrapolation: beyond four times the texts there are it is a guess. It tells of
    more texts like these, and nothing of better questions.

    Cost: no pass of the teacher that has answered all ``n``; one fit a draw.
    Cortes et al. (1993), Learning Curves: Asymptotic Values and Rate of Convergence;
    Viering and Loog (2022), arXiv:2103.10948.

    Args:
        fit: function from rows of the ``fit`` texts to the probabilities of the held-out texts,
            by a student fitted on these rows alone.
        n: number of ``fit`` texts.
        teacher: decisions of the teacher on the held-out texts.
        terms: level of the intervals and seed of what is drawn.
        start: smallest size.
        draws: samples of each small size at most.
        replicates: resamples.

    Raises:
        InputError: no held-out text, or a fit that answers another number of texts.
        OptionError: more to start with than there is, or numbers below 1.
    """
    if min(draws, replicates) < 1:
        raise OptionError(
            "expected draws and replicates of 1 or more, got "
            f"draws={draws}, replicates={replicates}"
        )
    if len(teacher) == 0:
        raise InputError("expected one held-out text or more to judge the students on, got none")
    rng = np.random.default_rng(terms.seed)
    sizes = schedule(n, start)
    # No more draws than samples without a common text would fit in: further ones share most of
    # their texts, and their spread would say less than their number claims.
    counts = [1 if size == n else max(1, min(draws, math.ceil(n / size))) for size in sizes]
    decisions: list[Int[np.ndarray, "draws texts"]] = []
    for size, count in zip(sizes, counts, strict=True):
        of_size: list[np.ndarray] = []
        for _ in range(count):
            # In their order, so that the last point is the student of all texts itself: sums over
            # rows in another order differ in the last digits.
            chances = fit(np.sort(rng.permutation(n)[:size]))
            if len(chances) != len(teacher):
                raise InputError(
                    f"expected fit to answer the {len(teacher)} held-out texts, got answers to "
                    f"{len(chances)}"
                )
            of_size.append(chances.argmax(axis=1))
        decisions.append(np.stack(of_size).astype(np.int64))
    values = [float(np.mean([kappa(teacher, draw) for draw in of_size])) for of_size in decisions]
    again = np.array([_replicate(teacher, decisions, rng) for _ in range(replicates)])
    points = [
        Point(
            texts=size,
            draws=counts[place],
            kappa=_interval(values[place], again[:, place], (teacher, decisions[place]), terms),
        )
        for place, size in enumerate(sizes)
    ]
    law, laws = _laws(sizes, values, again)
    return LearningCurve(points=tuple(points), law=law, resampled=laws, level=terms.level)


def _interval(
    value: float,
    replicates: np.ndarray,
    decided: tuple[Int[np.ndarray, " texts"], Int[np.ndarray, "draws texts"]],
    terms: Terms,
) -> Interval:
    """The mean kappa of some draws with its interval, over texts and over draws."""
    teacher, draws = decided
    # Kappa is no number where resampled texts leave one label to both.
    finite = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or not len(finite):
        return Interval(value, math.nan, math.nan, len(teacher))
    shares = [(1 - terms.level) / 2, (1 + terms.level) / 2]
    low, high = np.quantile(finite, shares).tolist()
    # Replicates know how the draws differ, but of students that agree on every text they are all
    # 1; the ends over texts hold there and know nothing of the draws: the farther of each counts.
    over_texts = [
        table_interval(table_kappa, teacher, draw, level=terms.level, seed=terms.seed)
        for draw in draws
    ]
    low = min(low, float(np.mean([each.lower for each in over_texts])))
    high = max(high, float(np.mean([each.upper for each in over_texts])))
    return Interval(value, low, high, len(teacher))


def _laws(
    sizes: list[int], values: list[float], again: Float[np.ndarray, "replicates sizes"]
) -> tuple[PowerLaw | None, tuple[PowerLaw, ...]]:
    """The law through the points and those through their replicates, where there are enough."""
    # A law takes all its points: a replicate that lacks one is left out whole.
    whole = again[np.isfinite(again).all(axis=1)]
    if len(sizes) < FEWEST_SIZES or not np.isfinite(values).all() or not len(whole):
        return None, ()
    at = np.array(sizes, dtype=np.float64)
    first, *resampled = power_laws(at, np.stack([np.array(values), *whole]))
    return first, tuple(resampled)


def _replicate(
    teacher: np.ndarray, decisions: list[np.ndarray], rng: np.random.Generator
) -> list[float]:
    """The mean kappa at each size on resampled texts, of resampled draws."""
    # One sample of texts for all sizes: they are judged on the same texts, whose luck moves the
    # curve as a whole and not its slope.
    rows = rng.integers(len(teacher), size=len(teacher))
    result: list[float] = []
    for of_size in decisions:
        drawn: list[int] = rng.integers(len(of_size), size=len(of_size)).tolist()
        result.append(float(np.mean([kappa(teacher[rows], of_size[draw][rows]) for draw in drawn])))
    return result


def _whole(more: float) -> int | None:
    return math.ceil(more) if math.isfinite(more) else None


def _round(number: int) -> int:
    """Two digits that count."""
    return int(float(f"{number:.1e}"))


def _open(span: tuple[int, int | None]) -> str:
    low, high = span
    return f"{_round(low):,} to {'no end' if high is None else f'{_round(high):,}'}"
