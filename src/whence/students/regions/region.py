"""A region of texts, in words that a person can check, and how far a student is trusted there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from whence.core.record import Value
from whence.core.statistics.proportions import Proportion
from whence.students.features.word_features import Kind, WordFeatures

__all__ = [
    "Condition",
    "Example",
    "Has",
    "Region",
    "RegionFeatures",
    "Words",
    "first_region",
    "in_regions",
]


@dataclass(frozen=True, slots=True, eq=False)
class Has(Value):
    """A feature, by its column, that must be there or must be absent."""

    column: int
    there: bool

    def __post_init__(self) -> None:
        if self.column < 0:
            raise ValueError(f"expected a column from 0 on, got {self.column}")


@dataclass(frozen=True, slots=True, eq=False)
class Words(Value):
    """At most so many words, by white space, or more than that."""

    limit: int
    over: bool

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError(f"expected a limit of 0 words or more, got {self.limit}")


Condition = Has | Words


# No slots: the reader below is kept in the dictionary of the instance.
@dataclass(frozen=True, kw_only=True, eq=False)
class RegionFeatures(Value):
    """The features that the conditions of a region look for, as :class:`WordFeatures` stores them.

    Attributes:
        longest: largest number of words in a row.
        negation: whether denied words are features of their own.
        position: whether words at the beginning and the end are.
        lexicons: words of each list, by its name.
        features: kind, words and least count, or threshold, of each column.
        numbers: whether numbers above thresholds are.
    """

    longest: int
    negation: bool
    position: bool
    lexicons: dict[str, tuple[str, ...]]
    features: tuple[tuple[Kind, str, int | float], ...]
    numbers: bool = False

    def __post_init__(self) -> None:
        # A lexicon without a word is refused when it is read, not when a text is decided.
        _ = self.reader

    @classmethod
    def of(cls, features: WordFeatures) -> RegionFeatures:
        """The stored form of some features."""
        return cls.from_tree(features.to_json())

    @cached_property
    def reader(self) -> WordFeatures:
        """What finds these features in a text."""
        return WordFeatures.from_json(self.to_tree())


@dataclass(frozen=True, slots=True, eq=False)
class Example(Value):
    """A text of the region with both decisions, and the probability each gave its own label."""

    text: str
    teacher: str
    teacher_chance: float
    student: str
    student_chance: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Region(Value):
    """Texts that meet all conditions, and how often the student agrees with its teacher there.

    Attributes:
        conditions: conditions that must all hold; columns are of ``features``.
        features: features that the conditions ask for, and no others.
        agreement: agreement on ``report``, where nothing was searched; its bounds hold for all regions
            shown together. ``None`` where fewer than 30 texts are in the region.
        elsewhere: agreement on ``report``, outside all regions shown.
        on_select: agreement on ``select``, where the region was found; too low, as what stands
            out was looked for.
        chance: probability of so low an agreement on ``report`` were the region like the rest (exact,
            one-sided, of one region); ``None`` where ``agreement`` is.
        searched: chance that the whole search finds so clear a region on ``select`` where
            agreeing has nothing to do with the text.
        confirmed: whether ``report`` shows the agreement to be lower than elsewhere, the number
            of regions counted in.
        veto: whether the teacher should be asked here: clearly below the rest where it was
            found, or confirmed; and not as good as elsewhere on ``report``.
        worst: texts of ``select`` on which the two are furthest apart.
    """

    conditions: tuple[Condition, ...]
    features: RegionFeatures
    agreement: Proportion | None
    elsewhere: Proportion
    on_select: Proportion
    chance: float | None
    searched: float
    confirmed: bool
    veto: bool
    worst: tuple[Example, ...]

    def __post_init__(self) -> None:
        columns = len(self.features.features)
        for condition in self.conditions:
            if isinstance(condition, Has) and condition.column >= columns:
                raise ValueError(f"expected a column below {columns}, got {condition.column}")

    @property
    def where(self) -> str:
        """The conditions: ``contains 'late' and 'waived', has no 'fraud', at most 20 words``."""
        features = [c for c in self.conditions if isinstance(c, Has)]
        describe = self.features.reader.describe
        numeric = [self.features.reader.kept[c.column].numeric for c in features]
        words = [c for c, number in zip(features, numeric, strict=True) if not number]
        there = [describe(c.column) for c in words if c.there]
        absent = [describe(c.column) for c in words if not c.there]
        parts = ["contains " + " and ".join(there)] if there else []
        parts += ["has no " + " and no ".join(absent)] if absent else []
        parts += [describe(c.column, there=c.there) for c in features if c not in words]
        for c in self.conditions:
            if isinstance(c, Words):
                parts.append(f"{'over' if c.over else 'at most'} {c.limit} words")
        return ", ".join(parts)

    @property
    def says(self) -> str:
        """The region as one sentence."""
        if self.agreement is None:
            select = self.on_select
            return (
                f"{self.where}: too few texts to bound it; where it was found {_share(select.value)} "
                f"of {select.n} agree"
            )
        share = self.agreement
        return (
            f"{self.where}: agrees {_share(share.value)} [at least {_share(share.lower)}, at most "
            f"{_share(share.upper)}] (n={share.n}), elsewhere {_share(self.elsewhere.value)}"
        )

    def holds(self, text: str) -> bool:
        """Whether a text is in the region.

        Args:
            text: text, as far as the teacher would read it.
        """
        columns = set(self.features.reader.of(text))
        count = len(text.split())
        for condition in self.conditions:
            if isinstance(condition, Has):
                if (condition.column in columns) != condition.there:
                    return False
            elif (count > condition.limit) != condition.over:
                return False
        return True

    def __str__(self) -> str:
        marks = [m for m, on in (("confirmed", self.confirmed), ("veto", self.veto)) if on]
        lines = [self.says + (f" ({', '.join(marks)})" if marks else "")]
        lines += [
            f"  teacher {e.teacher} ({e.teacher_chance:.2f}), "
            f"student {e.student} ({e.student_chance:.2f}): {e.text}"
            for e in self.worst
        ]
        return "\n".join(lines)


def first_region(regions: Sequence[Region], text: str) -> Region | None:
    """The first of the regions that a text is in."""
    return next((region for region in regions if region.holds(text)), None)


def in_regions(regions: Sequence[Region], texts: Sequence[str]) -> Bool[np.ndarray, " texts"]:
    """Which texts are in any of the regions; give the vetoes to mark what goes to the teacher."""
    inside = [first_region(regions, text) is not None for text in texts]
    return np.array(inside, dtype=np.bool_)


def _share(value: float) -> str:
    """Two digits, as proportions are written in running text: ``.77``, and ``1.00``."""
    return f"{value:.2f}".removeprefix("0")
