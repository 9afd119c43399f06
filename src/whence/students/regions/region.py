"""A region of texts, in words that a person can check, and how far a student is trusted there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from whence.core.errors import RecordError
from whence.core.statistics.proportions import Proportion
from whence.students.features.word_features import WordFeatures

__all__ = ["Condition", "Example", "Has", "Region", "Words", "first_held", "held"]


class Has(NamedTuple):
    """A feature, by its column, that must be there or must be absent."""

    column: int
    there: bool


class Words(NamedTuple):
    """At most so many words, by white space, or more than that."""

    limit: int
    over: bool


Condition = Has | Words


class Example(NamedTuple):
    """A text of the region with what both said of it, and how probable each held its own label."""

    text: str
    teacher: str
    teacher_chance: float
    student: str
    student_chance: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Region:
    """Texts that meet all conditions, and how often the student agrees with its teacher there.

    Attributes:
        conditions: all must hold; columns are of ``features``.
        features: what the conditions ask for, and nothing else.
        agreement: on ``report``, where nothing was searched; its bounds hold for all regions
            shown together. ``None`` where fewer than 30 texts are in the region.
        elsewhere: on ``report``, outside the region.
        on_select: where the region was found; too low, as what stands out was looked for.
        chance: of so low an agreement on ``report`` were the region like the rest (exact,
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
    features: WordFeatures
    agreement: Proportion | None
    elsewhere: Proportion
    on_select: Proportion
    chance: float | None
    searched: float
    confirmed: bool
    veto: bool
    worst: tuple[Example, ...]

    @property
    def where(self) -> str:
        """The conditions: ``contains 'late' and 'waived', has no 'fraud', at most 20 words``."""
        own = [c for c in self.conditions if isinstance(c, Has)]
        there = [self.features.describe(c.column) for c in own if c.there]
        absent = [self.features.describe(c.column) for c in own if not c.there]
        parts = ["contains " + " and ".join(there)] if there else []
        parts += ["has no " + " and no ".join(absent)] if absent else []
        for c in self.conditions:
            if isinstance(c, Words):
                parts.append(f"{'over' if c.over else 'at most'} {c.limit} words")
        return ", ".join(parts)

    @property
    def says(self) -> str:
        """The region as one sentence."""
        if self.agreement is None:
            own = self.on_select
            return (
                f"{self.where}: too few texts to bound it; where it was found {_share(own.value)} "
                f"of {own.n} agree"
            )
        found = self.agreement
        return (
            f"{self.where}: agrees {_share(found.value)} [at least {_share(found.lower)}, at most "
            f"{_share(found.upper)}] (n={found.n}), elsewhere {_share(self.elsewhere.value)}"
        )

    def holds(self, text: str) -> bool:
        """Whether a text is in the region.

        Args:
            text: what the teacher would read of it.
        """
        own = set(self.features.of(text))
        count = len(text.split())
        for condition in self.conditions:
            if isinstance(condition, Has):
                if (condition.column in own) != condition.there:
                    return False
            elif (count > condition.limit) != condition.over:
                return False
        return True

    def to_json(self) -> dict[str, Any]:
        """Everything, in plain types."""
        return {
            "says": self.says,
            "features": self.features.to_json(),
            "conditions": [
                ["has", c.column, c.there] if isinstance(c, Has) else ["words", c.limit, c.over]
                for c in self.conditions
            ],
            "agreement": None if self.agreement is None else asdict(self.agreement),
            "elsewhere": asdict(self.elsewhere),
            "on_select": asdict(self.on_select),
            "chance": self.chance,
            "searched": self.searched,
            "confirmed": self.confirmed,
            "veto": self.veto,
            "worst": [list(example) for example in self.worst],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Region:
        """What :meth:`to_json` wrote.

        Raises:
            RecordError: no valid region.
        """
        try:
            agreement = tree["agreement"]
            features = WordFeatures.from_json(tree["features"])
            return cls(
                conditions=tuple(_condition(entry, len(features)) for entry in tree["conditions"]),
                features=features,
                agreement=None if agreement is None else Proportion(**agreement),
                elsewhere=Proportion(**tree["elsewhere"]),
                on_select=Proportion(**tree["on_select"]),
                chance=tree["chance"],
                searched=tree["searched"],
                confirmed=tree["confirmed"],
                veto=tree["veto"],
                worst=tuple(Example(*entry) for entry in tree["worst"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(
                f"no valid region of distrust: {type(error).__name__} {error}; give what to_json "
                "wrote"
            ) from error

    def __str__(self) -> str:
        marks = [m for m, on in (("confirmed", self.confirmed), ("veto", self.veto)) if on]
        lines = [self.says + (f" ({', '.join(marks)})" if marks else "")]
        lines += [
            f"  teacher {e.teacher} ({e.teacher_chance:.2f}), "
            f"student {e.student} ({e.student_chance:.2f}): {e.text}"
            for e in self.worst
        ]
        return "\n".join(lines)


def first_held(regions: Sequence[Region], text: str) -> Region | None:
    """The first of the regions that a text is in."""
    return next((region for region in regions if region.holds(text)), None)


def held(regions: Sequence[Region], texts: Sequence[str]) -> Bool[np.ndarray, " texts"]:
    """Which texts are in any of the regions; give the vetoes to mark what is asked anyway."""
    found = [first_held(regions, text) is not None for text in texts]
    return np.array(found, dtype=np.bool_)


def _condition(entry: Sequence[Any], features: int) -> Condition:
    kind, number, flag = entry
    if type(number) is not int or type(flag) is not bool or number < 0:
        raise ValueError(f"condition {entry!r}")
    if kind == "words":
        return Words(number, flag)
    if kind != "has" or number >= features:
        raise ValueError(f"condition {entry!r} with {features} features")
    return Has(number, flag)


def _share(value: float) -> str:
    """Two digits, as proportions are written in running text: ``.77``, and ``1.00``."""
    return f"{value:.2f}".removeprefix("0")
