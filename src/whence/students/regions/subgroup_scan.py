"""A search for the regions of texts where something that is rare elsewhere is common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse, special

__all__ = ["Found", "Literal", "Scan", "log_ratio"]


class Literal(NamedTuple):
    """A yes-or-no question by its place, and the answer that a region requires."""

    place: int
    yes: bool


_Path = tuple[Literal, ...]


class Found(NamedTuple):
    """A region, by what must all hold, and the log-likelihood ratio that speaks for it."""

    clear: float
    path: tuple[Literal, ...]


class Scan:
    """Regions in which more texts are marked than elsewhere, found by a small tree.

    The tree asks, among the texts of a node, the question with the greatest :func:`log_ratio`. A
    squared error would weigh ten marked texts among a thousand that are not like nothing; the
    ratio sees them. Then leaves are taken clearest first, each without the conditions that it
    does not need, and what one explains counts for none after it. Greedy: two questions that tell
    only together are missed. Kulldorff (1997), doi:10.1080/03610929708831995.

    Args:
        answers: rows whose answer is yes, ascending, for each question.
        texts: number of rows.
        depth: largest number of conditions of a region.
        least: fewest texts on either side of a question.

    Example:
        >>> marked = np.array([1.0] * 6 + [0.0] * 34)
        >>> scan = Scan([np.arange(12), np.arange(0, 40, 2)], 40, depth=2, least=3)
        >>> scan.search(marked, most=1)[0].path
        (Literal(place=0, yes=True),)
    """

    def __init__(
        self, answers: Sequence[Int[np.ndarray, " _"]], texts: int, *, depth: int, least: int
    ) -> None:
        starts = np.concatenate([[0], np.cumsum([len(rows) for rows in answers])]).astype(np.int64)
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *answers]).astype(np.int64)
        ones = np.ones(len(rows))
        self._table = sparse.csr_array((ones, rows, starts), shape=(len(answers), texts))
        self._answers = tuple(answers)
        self._texts, self._depth, self._least = texts, depth, least
        self._masks: dict[int, np.ndarray] = {}

    def search(self, marked: Float[np.ndarray, " texts"], *, most: int) -> list[Found]:
        """Regions that hold more of what is marked than the rest, clearest first.

        Args:
            marked: 1 or 0 of each text.
            most: largest number of regions.
        """
        free = np.ones(self._texts, dtype=np.bool_)
        leaves: list[_Path] = []
        if self._answers:
            self._grow(marked, free, (), leaves)
        leaves = [leaf for leaf in leaves if _clear(self.mask(leaf), marked, free) > 0]
        regions: list[Found] = []
        while leaves and len(regions) < most:
            tried = [self._shortened(leaf, marked, free) for leaf in leaves]
            best = max(range(len(tried)), key=lambda at: tried[at].clear)
            if tried[best].clear <= 0:
                break
            regions.append(tried[best])
            # Texts that one region explains speak for no other.
            free = free & ~self.mask(tried[best].path)
            del leaves[best]
        return regions

    def mask(self, path: tuple[Literal, ...]) -> Bool[np.ndarray, " texts"]:
        """The texts that meet all conditions."""
        inside = np.ones(self._texts, dtype=np.bool_)
        for place, yes in path:
            has = self._having(place)
            inside &= has if yes else ~has
        return inside

    def _having(self, place: int) -> np.ndarray:
        # Random runs ask the same few questions again and again.
        if place not in self._masks:
            has = np.zeros(self._texts, dtype=np.bool_)
            has[self._answers[place]] = True
            self._masks[place] = has
        return self._masks[place]

    def _grow(
        self, marked: np.ndarray, inside: np.ndarray, path: _Path, leaves: list[_Path]
    ) -> None:
        n, total = float(inside.sum()), float(marked[inside].sum())
        if len(path) == self._depth or n < 2 * self._least or not 0 < total < n:
            leaves.append(path)
            return
        # One sparse product counts, for all questions at once, the texts that say yes and those of
        # them that are marked.
        yes, hits = np.asarray(self._table @ np.column_stack([inside, inside * marked])).T
        ratios = log_ratio(hits, yes, total - hits, n - yes)
        ratios[(yes < self._least) | (n - yes < self._least)] = -np.inf
        best = int(ratios.argmax())
        # A ratio that rounding alone makes positive (about 1e-12 at these counts) splits nothing.
        if not ratios[best] > 1e-9:
            leaves.append(path)
            return
        has = self._having(best)
        self._grow(marked, inside & has, (*path, Literal(best, True)), leaves)
        self._grow(marked, inside & ~has, (*path, Literal(best, False)), leaves)

    def _shortened(self, path: _Path, marked: np.ndarray, free: np.ndarray) -> Found:
        """The region without the conditions whose loss makes it no less clear.

        One that keeps it off the texts of regions already found stays.
        """
        # The tree asks some questions only on the way to a clearer one below.
        sides = {q: self._having(q.place) if q.yes else ~self._having(q.place) for q in path}
        inside = self.mask(path)
        clear, overlap = _clear(inside & free, marked, free), int((inside & ~free).sum())
        while len(path) > 1:
            best = None
            for at in range(len(path)):
                shorter = path[:at] + path[at + 1 :]
                inside = np.logical_and.reduce([sides[q] for q in shorter])
                ratio = _clear(inside & free, marked, free)
                # As clear with a condition less is better; of several such the clearest.
                better = ratio >= clear if best is None else ratio > best[0]
                if better and int((inside & ~free).sum()) <= overlap:
                    best = (ratio, shorter)
            if best is None:
                break
            clear, path = best
        return Found(clear, tuple(sorted(path, key=lambda literal: not literal.yes)))


def _clear(inside: np.ndarray, marked: np.ndarray, free: np.ndarray) -> float:
    """The ratio of a region against the other free texts; 0 where it holds fewer marked."""
    n, hits = float(np.count_nonzero(inside)), float(marked[inside].sum())
    rest, others = float(np.count_nonzero(free)) - n, float(marked[free].sum()) - hits
    # hits / n <= others / rest, multiplied out: whole numbers compare exactly. The ratio is large
    # for too few marked as well, and such a region is no reason for distrust.
    if n == 0 or rest == 0 or hits * rest <= others * n:
        return 0.0
    one = np.array([[hits], [n], [others], [rest]])
    return float(log_ratio(one[0], one[1], one[2], one[3])[0])


def log_ratio(
    hits: Float[np.ndarray, " regions"],
    n: Float[np.ndarray, " regions"],
    other_hits: Float[np.ndarray, " regions"],
    other_n: Float[np.ndarray, " regions"],
) -> Float[np.ndarray, " regions"]:
    """Log-likelihood ratio, in nats, of two shares against one that both have.

    ``l(d1, n1) + l(d2, n2) - l(d1 + d2, n1 + n2)`` with
    ``l(d, n) = d log(d/n) + (n - d) log(1 - d/n)``.

    Example:
        >>> six, ten, none, thirty = (np.array([x]) for x in (6.0, 10.0, 0.0, 30.0))
        >>> log_ratio(six, ten, none, thirty).round(2).tolist()
        [10.18]
    """
    # d log(d/n) + (n-d) log((n-d)/n) = d log d + (n-d) log(n-d) - n log n: written as x log x of
    # counts the ratio needs no division, and xlogy takes 0 log 0 for 0. It is half the G statistic
    # of the table of 2 x 2.
    both, of_all = hits + other_hits, n + other_n
    d = np.stack([hits, n - hits, other_hits, other_n - other_hits, of_all])
    m = np.stack([both, of_all - both, n, other_n])
    return special.xlogy(d, d).sum(axis=0) - special.xlogy(m, m).sum(axis=0)
