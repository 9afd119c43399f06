"""Sequence classifiers: single label, multi-label, pairs, and one-output reward models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError, ModelOutputError, OptionError, unknown
from whence.core.explanations import Decision, NamedScore
from whence.core.targets import Contrast, Label, Link, Output, Target
from whence.models.adapters.base import TorchModel
from whence.models.adapters.local_model import first_of
from whence.models.adapters.shortcuts import Answers, Scores, Shortcuts
from whence.models.links import UNITS, check_link, label_scores
from whence.models.protocols import Encoding, Evaluated, Precision, Row

__all__ = [
    "Activation",
    "LabelReadout",
    "SequenceClassifier",
    "label_decision",
    "label_names",
    "read_tensor",
    "resolve_labels",
]


Activation = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelReadout:
    """Which labels are read, on which scale; ``pairs[o]`` is (label, label subtracted or None)."""

    outputs: tuple[Output, ...]
    pairs: tuple[tuple[int, int | None], ...]
    link: Link
    independent: bool
    precision: Precision = "native"
    extra_tokens: int = 0
    shortcuts: Shortcuts = field(default_factory=Shortcuts.of_batches, repr=False)

    @property
    def key(self) -> str:
        """What is read, as text."""
        return json.dumps(["label", self.pairs, self.link, self.independent, self.precision])

    def read(self, logits: Float[np.ndarray, "rows labels"]) -> Float[np.ndarray, "rows outputs"]:
        """The outputs of some logits."""
        scores = label_scores(logits, self.link, independent=self.independent)
        columns = [
            scores[:, a] if b is None else scores[:, a] - scores[:, b] for a, b in self.pairs
        ]
        return np.stack(columns, axis=1)


def label_names(config: Any, ref: str) -> tuple[str, ...]:
    """Names of a head's outputs from its configuration, in their order.

    Raises:
        ModelOutputError: names that are not those of the outputs 0 to n - 1.
    """
    # Keys are text where they were read from JSON and set on the configuration afterwards.
    names = {str(key): str(name) for key, name in (config.id2label or {}).items()}
    places = [str(index) for index in range(len(names))]
    if not names or set(names) != set(places):
        raise ModelOutputError(
            f"the configuration of {ref} names the outputs {', '.join(names) or 'not at all'}; expected "
            "0, 1 and so on, one name for each output of the head. Set module.config.id2label = "
            "{0: ..., 1: ...}"
        )
    return tuple(names[place] for place in places)


def resolve_labels(
    targets: Sequence[Target],
    labels: Sequence[str],
    logits: Callable[[], Float[np.ndarray, " labels"]],
    *,
    link: Link,
    ref: str,
) -> tuple[tuple[Output, ...], tuple[tuple[int, int | None], ...]]:
    """Targets as indices of labels, the missing ones filled from the model's own ranking.

    Raises:
        OptionError: unknown label, or a contrast of a label with itself.
        CapabilityError: a target of another task.
    """
    outputs: list[Output] = []
    pairs: list[tuple[int, int | None]] = []
    unit = UNITS[link]
    ranking: list[int] = []

    def ranked(place: int) -> int:
        # The ranking costs a pass of the model, so it is made only for a label that was left open.
        if not ranking:
            ranking.extend(np.argsort(-logits(), kind="stable").tolist())
        return ranking[place]

    # By index where two labels have one name, so that a record names the one that was meant.
    names = [
        f"{name} (label {index})" if labels.count(name) > 1 else name
        for index, name in enumerate(labels)
    ]
    keys = [index if labels.count(name) > 1 else name for index, name in enumerate(labels)]
    for target in targets or (Label(),):
        if isinstance(target, Label):
            a = ranked(0) if target.label is None else _index(target.label, labels)
            outputs.append(Output(name=names[a], link=link, unit=unit, target=Label(label=keys[a])))
            pairs.append((a, None))
        elif isinstance(target, Contrast):
            if len(labels) < 2:
                raise OptionError(f"a contrast needs two labels; {ref} has one: {labels[0]}")
            a = ranked(0) if target.label is None else _index(target.label, labels)
            if target.against is None:
                b = next(index for index in map(ranked, range(len(labels))) if index != a)
            else:
                b = _index(target.against, labels)
            if a == b:
                raise OptionError(f"a contrast of {labels[a]!r} with itself is always zero")
            outputs.append(
                Output(
                    name=f"{names[a]} rather than {names[b]}",
                    link=link,
                    unit=unit,
                    target=Contrast(label=keys[a], against=keys[b]),
                )
            )
            pairs.append((a, b))
        else:
            raise CapabilityError(
                f"{ref} classifies and has no target {type(target).__name__}. "
                "Targets that work here: Label, Contrast"
            )
    return tuple(outputs), tuple(pairs)


def _index(label: str | int, labels: Sequence[str]) -> int:
    if isinstance(label, str):
        places = [index for index, name in enumerate(labels) if name == label]
        if len(places) > 1:
            raise OptionError(
                f"{len(places)} labels are called {label!r}: {', '.join(map(str, places))}; give the "
                "number of one, as target=Label(label=NUMBER)"
            )
        if places:
            return places[0]
        # Not where two labels differ in case only: then the caller has to say which.
        folded = [name.casefold() for name in labels]
        if folded.count(label.casefold()) == 1:
            return folded.index(label.casefold())
        raise unknown("label", label, labels)
    if not 0 <= label < len(labels):
        raise OptionError(
            f"there is no label {label}; there are {len(labels)}: {', '.join(labels)}"
        )
    return label


def label_decision(
    logits: Float[np.ndarray, " labels"],
    labels: Sequence[str],
    *,
    activation: Activation,
    unit: str = "logit",
) -> Decision:
    """The decision from one input's logits: probabilities, highest first.

    Without an activation the numbers are as they are, in ``unit``; those of a regression
    (``unit="score"``) keep their order, since the highest of them is no answer.
    """
    named = [
        NamedScore(name=name, value=float(value))
        for name, value in zip(labels, logits, strict=True)
    ]
    if activation == "none" and (len(labels) == 1 or unit == "score"):
        values = [f"{score.name} {score.value:.4g}" for score in named]
        text = f"{named[0].value:.4g}" if len(labels) == 1 else ", ".join(values)
        return Decision(text=text, scores=tuple(named), unit=unit)
    order: list[int] = np.argsort(-logits, kind="stable").tolist()
    text = labels[order[0]]
    if activation == "none":
        return Decision(text=text, scores=tuple(named[i] for i in order), unit=unit)
    independent = activation == "sigmoid"
    chances = label_scores(logits[None], "probability", independent=independent)[0]
    scores = tuple(NamedScore(name=labels[i], value=float(chances[i])) for i in order)
    if independent:
        # Where each label has a sigmoid of its own, 0.5 is log-odds of 0: as probable as not.
        text = ", ".join(s.name for s in scores if s.value >= 0.5) or "none of the labels"
    return Decision(text=text, scores=scores)


class SequenceClassifier(TorchModel):
    """A transformers sequence classifier, read at its logits."""

    task = "classification"

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        ref: str,
        revision: str | None = None,
        activation: Activation | None = None,
    ) -> None:
        super().__init__(module, tokenizer, ref=ref, revision=revision)
        self._activation: Activation | None = activation

    @property
    def labels(self) -> tuple[str, ...]:
        """Names from the configuration, in the order of the outputs."""
        return label_names(self.config, self.ref)

    @property
    def activation(self) -> Activation:
        """What makes scores of the logits: that of a pipeline that states one, else the problem's.

        A single output has none, although a pipeline puts it through a sigmoid
        (findings/transformers-pipeline-squashes-a-regression.sh): it is a regression or a reward.
        """
        if self._activation is not None:
            return self._activation
        if self.config.problem_type == "multi_label_classification":
            return "sigmoid"
        return "none" if self.regression or len(self.labels) == 1 else "softmax"

    @property
    def regression(self) -> bool:
        """Whether the outputs are numbers in units of their own, and no labels to choose from."""
        return self.config.problem_type == "regression"

    @property
    def independent(self) -> bool:
        """Whether each label has a probability of its own (multi-label)."""
        return self.activation == "sigmoid"

    def _links(self) -> tuple[Link, ...]:
        if self.activation == "none":
            return ("score", "logit") if self.regression else ("logit", "score")
        return ("log_odds", "logit", "log_probability", "probability")

    def decide(self, encoding: Encoding) -> Decision:
        """The predicted label and the probabilities of all; the numbers of a regression."""
        unit = UNITS[self._links()[0]]
        logits = self._logits_of(encoding)
        return label_decision(logits, self.labels, activation=self.activation, unit=unit)

    def _logits_of(self, encoding: Encoding) -> Float[np.ndarray, " labels"]:
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        with torch.inference_mode(), self.running():
            return _array(self._logits([row]))[0]

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> LabelReadout:
        """Targets resolved; the default link is log-odds, or the number itself without a softmax.

        A regression has no answer among its outputs: without a target, all of them are explained.
        """
        allowed = self._links()
        if self.regression and not targets:
            targets = tuple(Label(label=index) for index in range(len(self.labels)))
        chosen = allowed[0] if link is None else check_link(link, allowed, self.ref)
        outputs, pairs = resolve_labels(
            targets, self.labels, lambda: self._logits_of(encoding), link=chosen, ref=self.ref
        )
        return LabelReadout(outputs, pairs, chosen, self.independent, precision)

    def _scores(self, rows: Sequence[Row], readout: Any, *, reuse: bool = False) -> Scores:
        """The logits that the module itself gives: pooling and head are its own.

        Of a decoder whose padding token is its end token that is not the last token of a text that
        ends with it (findings/transformers-classifier-skips-a-final-end-token.sh); what a pipeline
        decides, it decides so.
        """
        return Scores(self._logits(rows).double(), sum(len(row) for row in rows))

    def _logits(self, rows: Sequence[Row]) -> torch.Tensor:
        logits = first_of(self.module(**self.batch(rows)), "logits")
        if logits.shape != (len(rows), len(self.labels)):
            raise ModelOutputError(
                f"the head of {self.ref} gives {logits.shape[-1]} outputs, and its configuration "
                f"names {len(self.labels)}: {', '.join(self.labels)}. Name each of them before "
                "loading: module.config.id2label = {0: ..., 1: ...}"
            )
        return logits

    def _logits_at(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits of all labels, through the model's own pooling and head."""
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        return self._logits([row] * count)[:, None]

    def _values(self, raw: torch.Tensor, readout: LabelReadout) -> torch.Tensor:
        return read_tensor(raw, readout)

    def _evaluated(self, result: Answers, readout: LabelReadout) -> Evaluated:
        return Evaluated(readout.read(_array(result.raw)), result.tokens, result.probes)


def _array(logits: torch.Tensor) -> np.ndarray:
    return logits.double().cpu().numpy()


def read_tensor(logits: torch.Tensor, readout: LabelReadout) -> torch.Tensor:
    """:meth:`LabelReadout.read` in torch, to differentiate through."""
    link = readout.link
    if link in ("logit", "score") or (readout.independent and link == "log_odds"):
        scores = logits
    elif readout.independent:
        scores = torch.nn.functional.logsigmoid(logits)
    elif link == "log_odds":
        count = logits.shape[1]
        # label_scores deletes the label's own column; here it is -inf, which adds e^-inf = 0 to the
        # log-sum-exp of the others and takes all labels in one tensor.
        diagonal = torch.eye(count, dtype=torch.bool, device=logits.device)
        others = logits[:, None, :].masked_fill(diagonal, -torch.inf)
        scores = logits - torch.logsumexp(others, dim=2)
    else:
        scores = torch.log_softmax(logits, dim=1)
    if link == "probability":
        scores = scores.exp()
    columns = [scores[:, a] if b is None else scores[:, a] - scores[:, b] for a, b in readout.pairs]
    return torch.stack(columns, dim=1)
