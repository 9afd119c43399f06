"""Explanations: what a method found out about one decision."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from whence.core.arrays import FloatMatrix, FloatVector
from whence.core.display import fragment_of, page_of, text_of
from whence.core.errors import OptionError, TrustError, unknown
from whence.core.features import Feature, Segmentation
from whence.core.provenance import Provenance
from whence.core.record import Migration, Record, Value, raised_to
from whence.core.targets import Output
from whence.core.trust import Grade, TrustLabel

__all__ = ["Attribution", "Completeness", "Decision", "NamedScore", "Outcome", "RankedFeature"]

Outcome = Literal["converged", "budget_exhausted", "not_converged", "degenerate"]
"""``converged``: the method did what it promises. ``budget_exhausted``: it stopped at the budget,
short of that. ``not_converged``: its own error check failed. ``degenerate``: there is nothing to
tell apart (no feature, or a constant game)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NamedScore(Value):
    """A name and a number, such as a label and its probability."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decision(Value):
    """What the model said on the unperturbed input.

    ``text`` is the predicted label, the continuation, or the number itself; ``scores`` the
    probabilities (or plain scores) of all labels, highest first; ``unit`` their unit.
    """

    text: str
    scores: tuple[NamedScore, ...] = ()
    unit: str = "probability"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Completeness(Value):
    """How far the scores are from adding up to ``value - base value``, per output.

    ``residual`` is ``values - base_values - sum of scores`` in the target's unit;
    ``relative`` is ``|residual| / |values - base_values|``, NaN where the two are equal.
    ``by_construction`` marks methods whose scores add up whatever their error; there the
    residual says nothing about accuracy.
    """

    residual: FloatVector
    relative: FloatVector
    by_construction: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RankedFeature(Value):
    """One row of a ranking: the feature, its score and, where sampled, its standard error."""

    index: int
    feature: Feature
    score: float
    std_error: float | None


def _in_the_targets_unit(tree: dict[str, Any]) -> dict[str, Any]:
    """Version 1 held only scores in the target's unit."""
    return {**tree, "schema_version": 2, "unit": None}


def _unjudged(tree: dict[str, Any]) -> dict[str, Any]:
    """Version 2 carried no trust label."""
    return {**tree, "schema_version": 3, "trust": None}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attribution(Record):
    """A score for every feature and output: positive raised the target, in the target's unit.

    Scores with a ``unit`` of their own are amounts of something that has no sign: they say how
    much, and not which way.

    Attributes:
        segmentation: features, ``n`` of them, and the document they are spans of.
        outputs: outputs that are explained, ``k`` of them.
        scores: ``[n, k]``.
        std_errors: ``[n, k]`` standard errors, where the scores were sampled.
        values: ``[k]`` outputs with every feature present.
        base_values: ``[k]`` outputs with none present (or at the baseline of a path); NaN for
            a method that asks for no such thing.
        quantity: quantity that the scores estimate, e.g. ``"Shapley value"``.
        decision: answer of the model.
        outcome, advice: end of the run, and advice on it.
        notes: sentences that a reader must know about how absence was made and the scores were taken.
        provenance: model, method, masker, seed, cost, versions.
        unit: unit of scores that are not in the target's; ``None``: the target's.
        trust: trust label of these scores; ``None`` where none was asked for.
    """

    segmentation: Segmentation
    outputs: tuple[Output, ...]
    scores: FloatMatrix
    std_errors: FloatMatrix | None
    values: FloatVector
    base_values: FloatVector
    quantity: str
    decision: Decision
    completeness: Completeness | None
    outcome: Outcome
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    unit: str | None = None
    trust: TrustLabel | None = None
    kind: Literal["attribution"] = "attribution"
    schema_version: Literal[4] = 4
    migrations: ClassVar[Mapping[int, Migration]] = {
        1: _in_the_targets_unit,
        2: _unjudged,
        # Version 4 carries a digest, and knows the targets of models that label words or fill in
        # masked ones.
        3: raised_to(4),
    }
    sealed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        shape = (len(self.segmentation), len(self.outputs))
        for name in ("scores", "std_errors"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} is {array.shape}; features x outputs is {shape}")
        for name in ("values", "base_values"):
            if getattr(self, name).shape != shape[1:]:
                raise ValueError(f"{name} must hold one number for each of {shape[1]} outputs")
        if self.trust is not None and self.trust.output not in {o.name for o in self.outputs}:
            raise ValueError(f"the label is of {self.trust.output!r}, which is no output here")
        if self.trust is not None and len(self.trust.reliable) != shape[0]:
            raise ValueError(f"the label judges {len(self.trust.reliable)} of {shape[0]} features")

    def output_index(self, output: int | str = 0) -> int:
        """The position of an output given by name or index.

        Raises:
            OptionError: no such output.
        """
        names = [item.name for item in self.outputs]
        if isinstance(output, str):
            if output not in names:
                raise unknown("output", output, names)
            return names.index(output)
        if not 0 <= output < len(names):
            raise OptionError(f"output {output} asked; there are {len(names)}: {', '.join(names)}")
        return output

    def top(self, k: int = 5, *, output: int | str = 0) -> tuple[RankedFeature, ...]:
        """The ``k`` features of largest absolute score; ties keep reading order.

        Raises:
            OptionError: ``k`` is negative, or no such output.
        """
        if k < 0:
            raise OptionError(f"top({k}) asked; k must be 0 or more")
        column = self.output_index(output)
        magnitude = np.abs(self.scores[:, column])
        # Negated and not reversed: to reverse a stable sort would reverse the order of equals,
        # too.
        order = np.argsort(-magnitude, kind="stable")[:k]
        return tuple(self.row(int(index), output=column) for index in order)

    def row(self, index: int, *, output: int | str = 0) -> RankedFeature:
        """Feature ``index`` with its score and standard error on one output."""
        column = self.output_index(output)
        errors = self.std_errors
        return RankedFeature(
            index=index,
            feature=self.segmentation.features[index],
            score=float(self.scores[index, column]),
            std_error=None if errors is None else float(errors[index, column]),
        )

    def assert_trust(self, min: Grade = "B") -> None:  # noqa: A002 - reads as what it is
        """Do nothing if these scores were judged, and their grade is ``min`` or better.

        Raises:
            TrustError: they were not judged, or the grade is worse; the message says why.
        """
        if self.trust is None:
            raise TrustError(
                f"grade {min} or better was required; these scores were never judged. Explain "
                "with trust='default', or judge them with whence.judge(model, explanation)."
            )
        self.trust.require(min)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """A self-contained page; also written to ``path``, whole or not at all, where given."""
        return page_of(self, path)

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return fragment_of(self)
