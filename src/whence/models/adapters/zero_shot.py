"""Zero-shot classification: each label as a hypothesis that an entailment model judges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import InputError, OptionError
from whence.core.explanations import Decision
from whence.core.features import Document
from whence.core.targets import Label, Link, Output, Target
from whence.models.adapters.classifier import (
    LabelReadout,
    SequenceClassifier,
    label_decision,
    read_tensor,
    resolve_labels,
)
from whence.models.adapters.local_model import LocalModel
from whence.models.adapters.shortcuts import Shortcuts
from whence.models.encoding import Encoder, too_long
from whence.models.links import check_link
from whence.models.protocols import Encoding, Evaluated, Gradients, Precision, Row

__all__ = ["TEMPLATE", "ZeroShotClassifier"]

TEMPLATE = "This example is {}."
"""The hypothesis of transformers' pipeline where none is given."""


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShotReadout:
    """Labels to read, and for each label the tokens of its hypothesis, which follow the text.

    ``classes`` is what is read of the model itself for one hypothesis.
    """

    labels: LabelReadout
    classes: LabelReadout
    hypotheses: tuple[Row, ...]
    needed: tuple[int, ...]
    extra_tokens: int

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The numbers, one output each."""
        return self.labels.outputs

    @property
    def shortcuts(self) -> Shortcuts:
        """What was found of batches of texts with hypotheses."""
        return self.classes.shortcuts

    @property
    def key(self) -> str:
        """What is read, as text."""
        return json.dumps([self.labels.key, [h.ids.tolist() for h in self.hypotheses]])


class ZeroShotClassifier(LocalModel):
    """A text's labels by an entailment model, as transformers' zero-shot pipeline computes them.

    The text is the premise, and ``template`` with a label in its place a hypothesis. Exclusive
    labels share a softmax over their entailment logits ``e``; independent ones (``multi_label``, or
    a single label) each have ``softmax(c, e)`` with their contradiction logit ``c``. On the link
    ``logit`` a label's number is ``e``; log-odds are ``e - logsumexp(e of the others)``, or
    ``e - c``.

    Cost: a pass for each label that an output depends on, which is one for ``logit`` and for
    independent labels, and all of them for other links of exclusive labels. Attention is not read.

    Yin, Hay & Roth (2019), doi:10.18653/v1/D19-1404.
    """

    task = "classification"

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        ref: str,
        labels: Sequence[str],
        template: str = TEMPLATE,
        multi_label: bool = False,
    ) -> None:
        super().__init__(module, tokenizer, ref=ref)
        self._labels = tuple(labels)
        if not self._labels or len(set(self._labels)) != len(self._labels):
            raise OptionError(f"expected different labels, at least one; got {list(self._labels)}")
        if template.format("a") == template.format("b"):
            raise OptionError(
                f"expected a hypothesis template with {{}} for the label, got {template!r}"
            )
        self.template = template
        self.independent = multi_label or len(self._labels) == 1
        self._inner = SequenceClassifier(module, tokenizer, ref=ref)
        # Without a limit: what is too long is said of the text, not of it and a hypothesis.
        self._pairs = Encoder(self._tokenizer, ref=ref, limit=None)
        self._entailment = self._entailed()

    def _entailed(self) -> int:
        """The index of entailment among the model's own labels, as the pipeline finds it."""
        names = self._inner.labels
        found = [i for i, name in enumerate(names) if name.casefold().startswith("entail")]
        if len(found) != 1 or len(names) < 2:
            raise OptionError(
                f"expected one label that begins with 'entail' among those of {self.ref}, which judges "
                f"hypotheses; got {', '.join(names)}. Set module.config.id2label before loading"
            )
        return found[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The candidate labels."""
        return self._labels

    @property
    def architecture(self) -> str:
        """The module's class and the hypothesis."""
        return f"{type(self.module).__name__} (zero-shot: {self.template!r})"

    def encode(self, source: object) -> Encoding:
        """The text as the model reads it in front of a hypothesis.

        Raises:
            InputError: not one text.
            TextTooLongError: more tokens, with the longest hypothesis, than the model reads.
        """
        if not isinstance(source, str):
            raise InputError(
                f"{self.ref} sets each label behind one text as its hypothesis; expected a text, got "
                f"{type(source).__name__}"
            )
        encoding, hypotheses = self._parts(source)
        extra = max(map(len, hypotheses))
        limit = self._encoder.limit
        if limit is not None and len(encoding.ids) + extra > limit:
            raise too_long(
                encoding, limit, self.ref, extra=extra, what="the text with a hypothesis"
            )
        self._check_table(encoding.ids)
        return encoding

    def _parts(self, text: str) -> tuple[Encoding, tuple[Row, ...]]:
        """The tokens up to the end of the text, and those of each hypothesis behind it."""
        pairs = [self._pairs.encode((text, self.template.format(name))) for name in self._labels]
        first = pairs[0]
        ends = first.offsets[:, 1]
        size = int(np.flatnonzero((ends > 0) & (ends <= len(text)))[-1]) + 1
        if any(not np.array_equal(pair.ids[:size], first.ids[:size]) for pair in pairs):
            raise InputError(
                f"the tokenizer of {self.ref} reads the text otherwise before each hypothesis, so no "
                "token of it can be perturbed alone"
            )
        types = first.token_types
        encoding = Encoding(
            document=Document.plain(text),
            ids=first.ids[:size],
            offsets=first.offsets[:size],
            frozen=first.frozen[:size],
            token_types=None if types is None else types[:size],
        )
        return encoding, tuple(
            Row(
                ids=pair.ids[size:],
                token_types=None if pair.token_types is None else pair.token_types[size:],
            )
            for pair in pairs
        )

    def decide(self, encoding: Encoding) -> Decision:
        """The labels and their probabilities, as the pipeline gives them."""
        activation = "sigmoid" if self.independent else "softmax"
        return label_decision(self._scores_of(encoding), self._labels, activation=activation)

    def _scores_of(self, encoding: Encoding) -> Float[np.ndarray, " labels"]:
        every = tuple(Label(label=name) for name in self._labels)
        readout = self.readout(encoding, every, link="log_probability")
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        return self._logits([row], readout)[0][0]

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> ZeroShotReadout:
        """Targets resolved; the default link is log-odds."""
        allowed: tuple[Link, ...] = ("log_odds", "logit", "log_probability", "probability")
        chosen = allowed[0] if link is None else check_link(link, allowed, self.ref)
        outputs, pairs = resolve_labels(
            targets, self._labels, lambda: self._scores_of(encoding), link=chosen, ref=self.ref
        )
        labels = LabelReadout(outputs, pairs, chosen, self.independent, precision)
        _, hypotheses = self._parts(encoding.document.text)
        alone = self.independent or chosen == "logit"
        named = {index for pair in pairs for index in pair if index is not None}
        needed = tuple(sorted(named)) if alone else tuple(range(len(self._labels)))
        size = len(encoding.ids)
        extra = sum(size + len(hypotheses[index]) for index in needed) - size
        return ZeroShotReadout(labels, self._classes(labels), hypotheses, needed, extra)

    def evaluate(self, rows: Sequence[Row], readout: ZeroShotReadout) -> Evaluated:
        """The readout of a batch: each row with each label's hypothesis, in one pass."""
        logits, tokens, probes = self._logits(rows, readout)
        return Evaluated(readout.labels.read(logits), tokens, probes)

    def _logits(
        self, rows: Sequence[Row], readout: ZeroShotReadout
    ) -> tuple[Float[np.ndarray, "rows labels"], int, int]:
        """What the softmax over labels, or the sigmoid of each, is taken of."""
        whole = [_joined(row, readout.hypotheses[i]) for row in rows for i in readout.needed]
        values, tokens, probes = self._inner.evaluate(whole, readout.classes)
        logits = np.zeros((len(rows), len(self._labels)))
        logits[:, readout.needed] = values.reshape(len(rows), len(readout.needed))
        return logits, tokens, probes

    def _classes(self, labels: LabelReadout) -> LabelReadout:
        """Entailment among the module's own classes, less contradiction for independent labels."""
        rival = None
        if self.independent and labels.link != "logit":
            # The pipeline takes the first class for contradiction, and the last where that is
            # entailment.
            rival = 0 if self._entailment else len(self._inner.labels) - 1
        link: Link = "logit"
        output = Output(name="entailment", link=link, unit="logit", target=Label())
        pairs = ((self._entailment, rival),)
        return LabelReadout((output,), pairs, link, False, labels.precision)

    def gradients(
        self,
        encoding: Encoding,
        embeddings: Float[np.ndarray, "batch tokens width"],
        readout: ZeroShotReadout,
    ) -> Gradients:
        """Values and gradients of the readout at embedded texts, by the chain rule over labels."""
        logits = np.zeros((len(embeddings), len(self._labels)))
        slopes = np.zeros((len(self._labels), *embeddings.shape))
        probes = 0
        text = Row(ids=encoding.ids, token_types=encoding.token_types)
        for index in readout.needed:
            row = _joined(text, readout.hypotheses[index])
            behind = self.embed_ids(readout.hypotheses[index].ids.tolist())
            points = np.concatenate(
                [embeddings, np.broadcast_to(behind, (len(embeddings), *behind.shape))], axis=1
            )
            tail = len(behind)
            whole = Encoding(
                document=encoding.document,
                ids=row.ids,
                offsets=np.pad(encoding.offsets, ((0, tail), (0, 0))),
                frozen=np.pad(encoding.frozen, (0, tail), constant_values=True),
                token_types=row.token_types,
            )
            one = self._inner.gradients(whole, points, readout.classes)
            probes += one.probes
            logits[:, index] = one.values[:, 0]
            slopes[index] = one.gradients[:, 0, : len(encoding.ids)]
        leaf = torch.tensor(logits, requires_grad=True)
        values = read_tensor(leaf, readout.labels)
        by_label = np.stack(
            [
                torch.autograd.grad(values[:, o].sum(), leaf, retain_graph=True)[0].numpy()
                for o in range(values.shape[1])
            ]
        )
        gradients = np.einsum("obl,lbtd->botd", by_label, slopes)
        return Gradients(values.detach().numpy(), gradients, probes)


def _joined(row: Row, hypothesis: Row) -> Row:
    """A row of the text and a hypothesis behind it, which every token reads."""
    attention = row.attention
    if attention is not None:
        attention = np.concatenate([attention, np.ones(len(hypothesis), dtype=bool)])
    types = row.token_types
    if types is not None and hypothesis.token_types is not None:
        types = np.concatenate([types, hypothesis.token_types])
    return Row(
        ids=np.concatenate([row.ids, hypothesis.ids]), attention=attention, token_types=types
    )
