"""Which decision some outputs of a model amount to: the highest label, or a side of a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import ModelOutputError, OptionError, unknown
from whence.core.explanations import Decision
from whence.core.targets import Contrast, Label
from whence.games.question import Question
from whence.models.protocols import Readout, TextModel, TokenModel

__all__ = ["DecisionRule", "decision_rule"]

EVEN = {"log_odds": 0.0, "logit": 0.0, "probability": 0.5, "log_probability": log(0.5)}
"""Where a label with a probability of its own is as probable as not, by the scale of its output."""


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRule:
    """The decision that ``k`` outputs amount to.

    Attributes:
        readout: readout that gives the outputs.
        names: names of the decisions, by their number.
        held: number of the decision on the input as it is.
        wanted: number of the decision that is looked for; ``None``: any other.
        threshold: edge between decision 0 (below) and 1; ``None``: the highest output decides, of
            equal ones the first, as the model itself decides.
    """

    readout: Readout
    names: tuple[str, ...]
    held: int
    wanted: int | None
    threshold: float | None

    def of(self, values: Float[np.ndarray, "m k"]) -> Int[np.ndarray, " m"]:
        """The number of the decision in each row."""
        if self.threshold is None:
            return values.argmax(axis=1)
        return (values[:, 0] >= self.threshold).astype(np.int64)

    def flips(self, values: Float[np.ndarray, "m k"]) -> Any:
        """Whether each row has a decision that is looked for."""
        decided = self.of(values)
        return decided != self.held if self.wanted is None else decided == self.wanted

    def lead(self, values: Float[np.ndarray, "m k"]) -> Float[np.ndarray, " m"]:
        """How far each row is from a flip, in the outputs' unit; below zero it has flipped."""
        if self.threshold is not None:
            return (values[:, 0] - self.threshold) * (1 if self.held else -1)
        if self.wanted is None:
            return values[:, self.held] - np.delete(values, self.held, axis=1).max(axis=1)
        return np.delete(values, self.wanted, axis=1).max(axis=1) - values[:, self.wanted]

    def decision(self, values: Float[np.ndarray, " k"], model: Decision) -> Decision:
        """What a record says was decided: the model's own answer, or the side of the threshold."""
        if self.threshold is None:
            return model
        name = self.names[int(self.of(values[None])[0])]
        return Decision(text=name, scores=model.scores, unit=model.unit)


def decision_rule(
    question: Question, *, threshold: float | None = None, wanted: str | None = None
) -> DecisionRule:
    """The rule by which the model of a question decides.

    Of a classifier of exclusive labels, and of a function with several columns, the highest decides.
    Of any other number (a regression, a label with a probability of its own, a contrast, a text's
    similarity) a threshold does: 0 for a contrast, as probable as not for a label, else the caller's.

    Args:
        question: question from :func:`whence.games.question.ask`.
        threshold: edge of the one output that is explained.
        wanted: label that an edit must bring about; none: any other than the model's.

    Raises:
        OptionError: no threshold where one is needed, no such label, or the model says it already.
        ModelOutputError: two passes over the same text decide differently.
    """
    if threshold is None and _exclusive(question):
        readout, names = _label_readout(question), tuple(question.model.labels)
        edge = None
    else:
        readout, edge = question.readout, _edge(question, threshold)
        names = _sides(question, edge)
    rule = DecisionRule(readout, names, 0, None, edge)
    values = question.game(readout=readout).full()
    held = int(rule.of(values[None])[0])
    said = question.decision
    if edge is None and names[held] != said.text:
        raise ModelOutputError(_unsteady(question, said.text, names[held]))
    if question.model.task == "callable":
        _steady(question, values if edge is None else None)
    number = None
    if wanted is not None:
        if wanted not in names:
            raise unknown("decision", wanted, names)
        number = names.index(wanted)
        if number == held:
            raise OptionError(f"expected another decision than the model's, got {wanted!r}")
    return DecisionRule(readout, names, held, number, edge)


def _exclusive(question: Question) -> bool:
    """Whether the labels exclude one another, and no other number is asked for."""
    model: Any = question.model
    by_label = all(isinstance(o.target, Label) for o in question.readout.outputs)
    several = len(model.labels) > 1 and model.task in ("classification", "callable")
    own = getattr(model, "independent", False) or getattr(model, "regression", False)
    return several and by_label and not own


def _label_readout(question: Question) -> Readout:
    targets = [Label(label=index) for index in range(len(question.model.labels))]
    link = question.readout.outputs[0].link
    if question.encoding is not None:
        return cast("TokenModel", question.model).readout(question.encoding, targets, link=link)
    document = question.segmentation.document
    return cast("TextModel", question.model).readout_text(document, targets, link=link)


def _edge(question: Question, threshold: float | None) -> float:
    outputs = question.readout.outputs
    if len(outputs) != 1:
        raise OptionError(
            f"expected one output to compare with a threshold, got {len(outputs)}: "
            f"{', '.join(output.name for output in outputs)}; name one with target="
        )
    if threshold is not None:
        if not np.isfinite(threshold):
            raise OptionError(f"expected a finite threshold, got threshold={threshold}")
        return float(threshold)
    output = outputs[0]
    if isinstance(output.target, Contrast):
        return 0.0
    own = isinstance(output.target, Label) and getattr(question.model, "independent", False)
    if own and output.link in EVEN:
        return EVEN[output.link]
    raise OptionError(
        f"{question.model.identity.ref} gives one number, {output.name!r} in {output.unit}, and none "
        "of its values is a decision by itself; expected threshold=NUMBER, or a Contrast as target"
    )


def _sides(question: Question, edge: float) -> tuple[str, str]:
    output = question.readout.outputs[0]
    if isinstance(output.target, Contrast) and edge == 0:
        return str(output.target.against), str(output.target.label)
    return f"{output.name} below {edge:g}", f"{output.name} at {edge:g} or above"


def _steady(question: Question, values: Float[np.ndarray, " k"] | None) -> None:
    """Refuse a function that answers one text in two ways: each flip would be chance."""
    first = {score.name: score.value for score in question.decision.scores}
    document = question.segmentation.document
    again = cast("TextModel", question.model).decide_text(document)
    for score in again.scores:
        if score.value != first[score.name]:
            raise ModelOutputError(_unsteady(question, str(first[score.name]), str(score.value)))
    if values is not None and sorted(first.values()) != sorted(values.tolist()):
        raise ModelOutputError(_unsteady(question, str(sorted(first.values())), str(values)))


def _unsteady(question: Question, first: str, second: str) -> str:
    return (
        f"{question.model.identity.ref} answered the same text first {first} and then {second}; a "
        "change of its decision would be chance. Expected one answer for one text: fix its seed"
    )
