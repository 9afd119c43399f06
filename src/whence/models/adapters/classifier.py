"""Sequence classifiers: single label, multi-label, pairs, and one-output reward models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

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

__all__ = ["LabelReadout", "SequenceClassifier", "label_decision", "resolve_labels"]


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

    for target in targets or (Label(),):
        if isinstance(target, Label):
            a = ranked(0) if target.label is None else _index(target.label, labels)
            outputs.append(
                Output(name=labels[a], link=link, unit=unit, target=Label(label=labels[a]))
            )
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
                    name=f"{labels[a]} rather than {labels[b]}",
                    link=link,
                    unit=unit,
                    target=Contrast(label=labels[a], against=labels[b]),
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
        if label in labels:
            return labels.index(label)
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
    logits: Float[np.ndarray, " labels"], labels: Sequence[str], *, independent: bool
) -> Decision:
    """The decision from one input's logits: probabilities, highest first."""
    if len(labels) == 1 and not independent:
        value = float(logits[0])
        return Decision(
            text=f"{value:.4g}", scores=(NamedScore(name=labels[0], value=value),), unit="logit"
        )
    chances = label_scores(logits[None], "probability", independent=independent)[0]
    order: list[int] = np.argsort(-chances, kind="stable").tolist()
    scores = tuple(NamedScore(name=labels[i], value=float(chances[i])) for i in order)
    text = labels[order[0]]
    if independent:
        # Where each label has a sigmoid of its own, 0.5 is log-odds of 0: as probable as not.
        text = ", ".join(s.name for s in scores if s.value >= 0.5) or "none of the labels"
    return Decision(text=text, scores=scores)


class SequenceClassifier(TorchModel):
    """A transformers sequence classifier, read at its logits."""

    task = "classification"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names from the configuration, in the order of the outputs."""
        names = self.config.id2label
        count = int(self.config.num_labels)
        return tuple(str(names.get(index, f"LABEL_{index}")) for index in range(count))

    @property
    def independent(self) -> bool:
        """Whether each label has a probability of its own (multi-label)."""
        return self.config.problem_type == "multi_label_classification"

    def _links(self) -> tuple[Link, ...]:
        if len(self.labels) == 1 and not self.independent:
            # A regression or a reward: it has no probability, although a pipeline puts it through a
            # sigmoid (findings/transformers-pipeline-squashes-a-regression.sh).
            return ("logit",)
        return ("log_odds", "logit", "log_probability", "probability")

    def decide(self, encoding: Encoding) -> Decision:
        """The predicted label and the probabilities of all."""
        return label_decision(self._logits_of(encoding), self.labels, independent=self.independent)

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
        """Targets resolved; the default link is log-odds, or the logit of a single output."""
        allowed = self._links()
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
                f"expected logits of shape ({len(rows)}, {len(self.labels)}), one for each label of "
                f"the configuration; {self.ref} gave {tuple(logits.shape)}"
            )
        return logits

    def _logits_at(
        self, encoding: Encoding, forced: Sequence[int], positions: Sequence[int], count: int
    ) -> torch.Tensor:
        """Logits of all labels, through the model's own pooling and head."""
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        return self._logits([row] * count)[:, None]

    def _values(self, raw: torch.Tensor, readout: LabelReadout) -> torch.Tensor:
        return _read_tensor(raw, readout)

    def _evaluated(self, result: Answers, readout: LabelReadout) -> Evaluated:
        return Evaluated(readout.read(_array(result.raw)), result.tokens, result.probes)


def _array(logits: torch.Tensor) -> np.ndarray:
    return logits.double().cpu().numpy()


def _read_tensor(logits: torch.Tensor, readout: LabelReadout) -> torch.Tensor:
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
