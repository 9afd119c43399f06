"""An explanation beside those that other defensible settings would have given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from whence.core.display import fragment_of, page_of, text_of
from whence.core.features import Feature
from whence.core.provenance import Cost, ModelIdentity
from whence.core.record import Record, Value
from whence.core.targets import Output

__all__ = ["SETTINGS", "KeptShare", "Specification", "SpecificationCurve"]

SETTINGS = ("method", "absence", "scale", "unit", "seed")
"""What is varied, in the order in which it is shown."""

Usable = Literal["usable", "do not use"]
"""What a trust label says at the least: whether it gives a grade, or forbids a use."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Specification(Value):
    """One choice of all settings, and what the explanation would have been.

    Attributes:
        choices: the setting's name to the value that was taken, such as ``masker`` to
            ``deletion``; all specifications of a curve have the same names.
        failed: why there is no explanation with these choices; the fields below are then ``None``.
        top: text of the feature with the highest score, in the direction of the reason.
        share: score of the reason's characters over the sum of all absolute scores, from -1 to 1.
        keeps_top: whether the highest feature is the reason or holds characters of it.
        keeps_sign: whether the reason's score has the sign that it has in the explanation.
        verdict: verdict of a quick trust label on these scores.
    """

    choices: dict[str, str]
    failed: str | None = None
    top: str | None = None
    share: float | None = None
    keeps_top: bool | None = None
    keeps_sign: bool | None = None
    verdict: Usable | None = None


@dataclass(frozen=True, slots=True)
class KeptShare:
    """How many specifications keep something; the list is complete, so no interval belongs to it."""

    kept: int
    of: int

    def __str__(self) -> str:
        return f"{self.kept} of {self.of}" if self.of else "none ran"

    @property
    def share(self) -> float:
        """Share of those that ran; NaN where none did."""
        return self.kept / self.of if self.of else float("nan")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SpecificationCurve(Record):
    """What stays of a reason when defensible settings are varied, all combinations of a stated list.

    Attributes:
        reason: feature with the highest score of the explanation that was judged.
        output: output that it raises or lowers.
        score: its score there, in the output's unit; ``share`` is it over the sum of all absolute
            scores.
        choices: choices of the judged explanation itself.
        verdict: verdict of its label.
        specifications: every combination that applies to the model, in the order of the list.
        left_out: values of settings that do not apply here, and why.
        model: model that was asked.
        explanation: SHA-256 of the explanation that was judged.
        cost: evaluations of all specifications and their labels.
    """

    reason: Feature
    output: Output
    score: float
    share: float
    choices: dict[str, str]
    verdict: Usable
    specifications: tuple[Specification, ...]
    left_out: dict[str, str]
    model: ModelIdentity
    explanation: str
    cost: Cost
    whence: str
    created: str
    kind: Literal["specification-curve"] = "specification-curve"
    schema_version: Literal[1] = 1

    def __post_init__(self) -> None:
        for choices in (self.choices, *(item.choices for item in self.specifications)):
            if set(choices) != set(SETTINGS):
                raise ValueError(f"choices of {sorted(choices)}; expected {sorted(SETTINGS)}")
        for item in self.specifications:
            found = (item.top, item.share, item.keeps_top, item.keeps_sign, item.verdict)
            if (item.failed is None) != all(part is not None for part in found):
                raise ValueError("a specification holds its findings, or says why it has none")

    @property
    def ran(self) -> tuple[Specification, ...]:
        """Specifications that gave an explanation."""
        return tuple(item for item in self.specifications if item.failed is None)

    @property
    def kept_top(self) -> KeptShare:
        """Specifications under which the reason stays the highest."""
        return _kept(self.ran, "keeps_top", True)

    @property
    def kept_sign(self) -> KeptShare:
        """Specifications under which the reason's score keeps its sign."""
        return _kept(self.ran, "keeps_sign", True)

    @property
    def kept_verdict(self) -> KeptShare:
        """Specifications whose quick label says the same: usable, or do not use."""
        return _kept(self.ran, "verdict", self.verdict)

    def by_choice(self) -> Iterator[tuple[str, str, Mapping[str, KeptShare]]]:
        """For each setting and value, the shares of its specifications that keep each finding."""
        for setting in SETTINGS:
            for value in dict.fromkeys(item.choices[setting] for item in self.specifications):
                part = tuple(item for item in self.ran if item.choices[setting] == value)
                yield (
                    setting,
                    value,
                    {
                        "top": _kept(part, "keeps_top", True),
                        "sign": _kept(part, "keeps_sign", True),
                        "verdict": _kept(part, "verdict", self.verdict),
                    },
                )

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """A self-contained page; also written to ``path``, whole or not at all, where given."""
        return page_of(self, path)

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return fragment_of(self)


def _kept(items: tuple[Specification, ...], field: str, value: object) -> KeptShare:
    return KeptShare(sum(getattr(item, field) == value for item in items), len(items))
