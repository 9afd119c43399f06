"""Explanations other than scores for single features: interactions, counterfactuals, rules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from whence.core.arrays import FloatMatrix, FloatVector
from whence.core.display import fragment_of, page_of, text_of
from whence.core.explanations import Decision, Outcome
from whence.core.features import Document, Segmentation
from whence.core.measurements import Interval
from whence.core.provenance import Provenance
from whence.core.record import Migration, Record, Value, raised_to
from whence.core.targets import Output

__all__ = ["Boundary", "Counterfactual", "Edit", "Interactions", "Rule", "RuleKind"]

RuleKind = Literal["anchor", "sufficient subset", "necessary subset"]


class _Displayed(Record):
    """A record with views in the terminal, in a notebook and as a page."""

    __slots__ = ()

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """A self-contained page; also written to ``path``, whole or not at all, where given."""
        return page_of(self, path)

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return fragment_of(self)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Interactions(_Displayed):
    """A score for groups of features: what a group adds beyond its members, in the target's unit.

    Positive: together they raise the target by more than apart.

    Attributes:
        groups: indices of the features of each of ``m`` groups, ascending; groups of one
            carry what is left to a feature alone.
        order: largest size of a group that the method could find.
        scores: ``[m, k]``, ``k`` outputs; ``std_errors`` alike, where sampled.
        values, base_values: ``[k]`` outputs with every feature present, and with none.
        quantity: index, e.g. ``"Shapley interaction index"`` or ``"Faith-Shap"``.
    """

    segmentation: Segmentation
    outputs: tuple[Output, ...]
    groups: tuple[tuple[int, ...], ...]
    order: int
    scores: FloatMatrix
    std_errors: FloatMatrix | None
    values: FloatVector
    base_values: FloatVector
    quantity: str
    decision: Decision
    outcome: Outcome
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    kind: Literal["interactions"] = "interactions"
    schema_version: Literal[2] = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: raised_to(2)}

    def __post_init__(self) -> None:
        shape = (len(self.groups), len(self.outputs))
        for name in ("scores", "std_errors"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} is {array.shape}; groups x outputs is {shape}")
        for name in ("values", "base_values"):
            if getattr(self, name).shape != shape[1:]:
                raise ValueError(f"{name} must hold one number for each of {shape[1]} outputs")
        if len(set(self.groups)) != len(self.groups):
            raise ValueError("a group of features is listed twice")
        for group in self.groups:
            inside = all(0 <= index < len(self.segmentation) for index in group)
            # Ascending, so that a set of features has one form: repeats are seen, and records of
            # the same groups have the same bytes.
            if not inside or any(a >= b for a, b in pairwise(group)):
                raise ValueError(f"group {group} is not a set of features in ascending order")
            if not 1 <= len(group) <= self.order:
                raise ValueError(
                    f"group {group} has {len(group)} features; the order is {self.order}"
                )

    def top(self, k: int = 5, *, output: int = 0) -> tuple[tuple[tuple[int, ...], float], ...]:
        """The ``k`` groups of two features or more with the largest absolute score."""
        column = self.scores[:, output]
        order = np.argsort(-np.abs(column), kind="stable")
        chosen = [int(i) for i in order if len(self.groups[i]) > 1][:k]
        return tuple((self.groups[i], float(column[i])) for i in chosen)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Edit(Value):
    """Characters ``start`` to ``end`` of the original replaced by ``text``.

    ``how``: number, negation, substitution, deletion or own-word; empty where nobody recorded it.
    """

    start: int
    end: int
    text: str
    how: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"edit {self.start}:{self.end} is not an interval of characters")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Boundary(Value):
    """Where a number of the text changes the decision: both ends were asked of the model.

    ``held`` is the value nearest to ``flipped`` that leaves the decision, ``flipped`` the first that
    changes it, on the way from ``original``; ``step`` the unit of the last digit written.
    """

    original: float
    held: float
    flipped: float
    step: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Counterfactual(_Displayed):
    """A changed text and what the model said of it: the original and the edits are both kept.

    Attributes:
        document: original text.
        edits: edits in order, without overlap; :attr:`edited_text` applies them.
        values, edited_values: ``[k]`` outputs before and after, both asked of the model.
        decision, edited_decision: answer of the model before and after.
        actionable: whether the person concerned could bring the change about; ``None``: not judged.
        minimal: whether the model held its decision on every proper subset of the edits; ``None``:
            not all were asked.
        plausibility, original_plausibility: mean log-probability of a token of the edited text and
            of the original, in nat, under a language model; ``None``: no model was given.
        boundary: interval of the value at which an edited number flips the decision.
    """

    document: Document
    edits: tuple[Edit, ...]
    outputs: tuple[Output, ...]
    values: FloatVector
    edited_values: FloatVector
    decision: Decision
    edited_decision: Decision
    actionable: bool | None
    outcome: Outcome
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    minimal: bool | None = None
    plausibility: float | None = None
    original_plausibility: float | None = None
    boundary: Boundary | None = None
    kind: Literal["counterfactual"] = "counterfactual"
    schema_version: Literal[3] = 3
    # Version 3 says how an edit was made, and whether it is minimal and plausible.
    migrations: ClassVar[Mapping[int, Migration]] = {1: raised_to(2), 2: raised_to(3)}

    def __post_init__(self) -> None:
        for name in ("values", "edited_values"):
            if getattr(self, name).shape != (len(self.outputs),):
                raise ValueError(
                    f"{name} must hold one number for each of {len(self.outputs)} outputs"
                )
        for left, right in pairwise(self.edits):
            if right.start < left.end:
                raise ValueError(f"the edits at {left.start} and {right.start} overlap")
        if self.edits and self.edits[-1].end > len(self.document.text):
            raise ValueError(f"the edit at {self.edits[-1].start} lies outside the text")

    @property
    def flipped(self) -> bool:
        """Whether the decision of the edited text differs from that of the original."""
        return self.decision.text != self.edited_decision.text

    @property
    def words(self) -> int:
        """Size of the change in words: those taken out or put in, whichever are more, for each edit."""
        text = self.document.text
        return sum(max(len(text[e.start : e.end].split()), len(e.text.split())) for e in self.edits)

    @property
    def characters(self) -> int:
        """Size of the change in characters: those taken out and those put in."""
        return sum(edit.end - edit.start + len(edit.text) for edit in self.edits)

    @property
    def edited_text(self) -> str:
        """The original with every edit made."""
        text, position = "", 0
        for edit in self.edits:
            text += self.document.text[position : edit.start] + edit.text
            position = edit.end
        return text + self.document.text[position:]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rule(_Displayed):
    """Features that fix a decision.

    An anchor: where they are present, the decision is the same in most texts drawn. A sufficient
    subset: alone, with all else absent, they give the decision. A necessary subset: without them,
    with all else present, it changes.

    Attributes:
        features: indices of the features, ascending.
        decision: answer of the model that they fix.
        precision: of an anchor the share of texts that hold these features and get that decision, in
            [0, 1], ``n`` texts asked; ``precision_interval`` its interval.
        coverage: of an anchor the share of texts drawn alike that hold these features, in [0, 1];
            ``coverage_interval`` its interval.
        n: number of texts asked for the precision; of a subset 1.
        threshold: precision that was asked for.
        rule: which of the three it is.
        minimal: whether every proper subset of the features was shown to fail; ``None``: not all
            were asked.
        values: outputs with the features alone (sufficient) or without them (necessary).
        outputs: outputs that ``values`` are of.
    """

    segmentation: Segmentation
    features: tuple[int, ...]
    decision: Decision
    precision: float | None
    precision_interval: Interval | None
    coverage: float | None
    n: int
    threshold: float | None
    outcome: Outcome
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    coverage_interval: Interval | None = None
    rule: RuleKind = "anchor"
    minimal: bool | None = None
    outputs: tuple[Output, ...] = ()
    values: FloatVector | None = None
    kind: Literal["rule"] = "rule"
    schema_version: Literal[2] = 2
    # Version 2 holds subsets beside anchors, and the interval of a coverage.
    migrations: ClassVar[Mapping[int, Migration]] = {1: raised_to(2)}

    def __post_init__(self) -> None:
        inside = all(0 <= index < len(self.segmentation) for index in self.features)
        if not inside or any(a >= b for a, b in pairwise(self.features)):
            raise ValueError(f"{self.features} is not a set of features in ascending order")
        for name in ("precision", "coverage", "threshold"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}; it is a share, from 0 to 1")
        if self.values is not None and self.values.shape != (len(self.outputs),):
            raise ValueError(f"values must hold one number for each of {len(self.outputs)} outputs")

    @property
    def texts(self) -> tuple[str, ...]:
        """The features' texts, in reading order."""
        return tuple(self.segmentation.features[index].text for index in self.features)
