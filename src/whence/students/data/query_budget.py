"""What the teacher is asked, and how much of it: planned before the first question."""

from __future__ import annotations

from dataclasses import dataclass, fields

from whence.core.errors import OptionError
from whence.students.data.augmentation import EDITS
from whence.students.data.split import LEAST_TEXTS, SHARES

__all__ = ["Budget", "QueryPlan", "plan_queries"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How many questions a teacher may be asked, and of which kinds.

    A training set is 60 % texts as they are, 20 % edited texts and 20 % n-grams alone. These shares
    and the numbers below were chosen by hand; none is calibrated.

    Args:
        queries: questions of all kinds together; every text is asked where not given.
        edits: share of edited texts in the training set.
        ngrams: share of n-grams alone in the training set.
        flips: texts of ``certify`` that are edited, in each family, for flip-recall.
        again: texts asked a second time, for the noise ceiling.
        attributions: questions at most for the teacher's leave-one-out effects.
        parting: questions at most in search of small edits on which student and teacher disagree.

    Example:
        >>> Budget(queries=5_000).learnt(1_000)
        (333, 333)
    """

    queries: int | None = None
    edits: float = 0.2
    ngrams: float = 0.2
    flips: int = 200
    again: int = 100
    attributions: int = 300
    parting: int = 600

    def __post_init__(self) -> None:
        if min(self.edits, self.ngrams) < 0 or self.edits + self.ngrams >= 1:
            raise OptionError(
                "expected shares of edits and ngrams from 0 up with a sum below 1, got "
                f"edits={self.edits}, ngrams={self.ngrams}"
            )
        # After queries and the two shares, all fields are counts.
        counts = {f.name: getattr(self, f.name) for f in fields(self)[3:]}
        for name, count in counts.items():
            if count < 0:
                raise OptionError(f"expected {name} of 0 or more, got {count}")

    def learnt(self, texts: int) -> tuple[int, int]:
        """Edited texts and n-grams beside so many texts of the training set."""
        rest = 1 - self.edits - self.ngrams
        return round(texts * self.edits / rest), round(texts * self.ngrams / rest)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryPlan:
    """Questions of each kind, at most: an edit that changes nothing is not asked.

    Attributes:
        texts: texts as they are, in all four parts.
        edits: edited texts of the training set.
        ngrams: n-grams alone.
        flips: edited texts of ``certify``.
        again: texts asked a second time.
        attributions: texts without one piece of evidence.
        parting: texts from which words were deleted, one after the other.
    """

    texts: int
    edits: int
    ngrams: int
    flips: int
    again: int
    attributions: int
    parting: int

    @property
    def total(self) -> int:
        """Questions of all kinds."""
        return sum(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        kinds = ", ".join(f"{f.name} {getattr(self, f.name):,}" for f in fields(self))
        return f"at most {self.total:,} questions: {kinds}"


def plan_queries(texts: int, budget: Budget) -> QueryPlan:
    """The largest plan within the budget: as many of the texts as there is room for.

    Raises:
        OptionError: a budget too small for the least number of texts.

    Example:
        >>> plan_queries(10_000, Budget()).texts, plan_queries(10_000, Budget(queries=5_000)).texts
        (10000, 2142)
        >>> print(plan_queries(500, Budget(flips=0, again=0, attributions=0, parting=0)))
        at most 700 questions: texts 500, edits 100, ngrams 100, flips 0, again 0, attributions 0, parting 0
    """
    whole = _plan(texts, budget)
    if budget.queries is None or whole.total <= budget.queries:
        return whole
    # Rounded shares and the caps of flips and again leave no formula, but the total never falls
    # with more texts: low always fits, high never does.
    low, high = 0, texts
    while high - low > 1:
        middle = (low + high) // 2
        if _plan(middle, budget).total <= budget.queries:
            low = middle
        else:
            high = middle
    if low < LEAST_TEXTS:
        least = _plan(LEAST_TEXTS, budget)
        raise OptionError(
            f"expected {least.total} queries or more, which {LEAST_TEXTS} texts take ({least}), got "
            f"queries={budget.queries}; allow more, or set flips, again, attributions or parting "
            "lower"
        )
    return _plan(low, budget)


def _plan(texts: int, budget: Budget) -> QueryPlan:
    fit, _, certify, _ = (round(share * texts) for share in SHARES)
    edits, ngrams = budget.learnt(fit)
    return QueryPlan(
        texts=texts,
        edits=edits,
        ngrams=ngrams,
        flips=len(EDITS) * min(budget.flips, certify),
        again=min(budget.again, fit),
        attributions=budget.attributions if texts else 0,
        parting=budget.parting if texts else 0,
    )
