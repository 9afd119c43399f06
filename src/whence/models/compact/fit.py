"""A small transformer taught by a teacher's answers, and where it can be had by its layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, OptionError
from whence.models.adapters.base import TorchModel
from whence.models.adapters.classifier import SequenceClassifier
from whence.models.compact.architecture import learnt_tokenizer, reduced, seeded, small_bert
from whence.models.compact.sizes import Sizes
from whence.models.compact.training import Batch, Epoch, logits_of, train
from whence.models.internals.module_lock import locked
from whence.models.protocols import Model, Row

__all__ = ["Epoch", "Shrunk", "Sizes", "probabilities", "save", "shrink"]

POOL = 16
"""Batches of texts among which those of one length are put together. Chosen by hand; not calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """A small transformer that was taught, as a classifier like any other.

    Attributes:
        model: with the weights of its best epoch.
        epochs: losses of each epoch.
        best: index of the epoch whose weights the model has.
    """

    model: SequenceClassifier
    epochs: tuple[Epoch, ...]
    best: int


def shrink(
    texts: Sequence[str],
    targets: Float[np.ndarray, "texts labels"],
    *,
    labels: Sequence[str],
    sizes: Sizes,
    select: tuple[Sequence[str], Float[np.ndarray, "held labels"]] | None = None,
    weights: Float[np.ndarray, " texts"] | None = None,
    teacher: Model | None = None,
) -> Shrunk:
    """Train a small BERT from nothing on a teacher's probabilities.

    The loss of a batch is

        T^2 KL(teacher at T || student at T)
        + hidden_weight    * mean over layers of |h_student W - h_teacher|^2 / |h_teacher|^2
        + attention_weight * mean over layers of KL(teacher's mean attention || student's)

    of which the latter two need the ``teacher`` itself and give the student its tokenizer, so that
    tokens stand for tokens; the projections ``W`` are learnt beside the student and dropped. Where
    states are matched and the teacher's embeddings are at least as wide as the student's, the
    student starts from them; see :func:`~whence.models.compact.architecture.reduced`. Steps
    are AdamW's, the rate warmed up and then falling to 0. After each epoch the divergence at
    ``T = 1`` from the teacher on ``select`` is taken; training stops when it has not fallen for
    ``patience`` epochs, and the weights of the best epoch are kept. It runs on the CPU.

    Losses: Hinton et al. (2015), arXiv:1503.02531; Jiao et al. (2020), arXiv:1909.10351; Wang et
    al. (2020), arXiv:2002.10957.

    Args:
        texts: training texts.
        targets: probabilities of the teacher.
        labels: names of the columns.
        sizes: sizes of the student and of training.
        select: texts and probabilities that decide when to stop; a tenth of ``texts``, drawn by
            the seed, where not given. Copies and edits of a text in both make it stop too late.
        weights: weight of each text; all equal by default.
        teacher: model whose layers are matched, where a weight of its layers is above 0; left unchanged.

    Raises:
        OptionError: sizes out of range, or a teacher that the weights do not ask for.
        InputError: too few texts, or a text that cannot be read.
        TextTooLongError: a text of more than ``sizes.tokens`` tokens.
        CapabilityError: a teacher whose layers cannot be matched.
        ModelOutputError: training diverged.
    """
    sizes.refuse_invalid()
    matched = _matched(sizes, teacher)
    shares = np.ones(len(texts)) if weights is None else weights
    if select is None:
        # A tenth decides when to stop; of fewer than 20 texts that is a single one. Chosen by hand.
        if len(texts) < 20:
            raise InputError(f"expected at least 20 texts, got {len(texts)}")
        order = np.random.default_rng(sizes.seed).permutation(len(texts))
        aside: list[int] = np.sort(order[: len(texts) // 10]).tolist()
        rest: list[int] = np.sort(order[len(texts) // 10 :]).tolist()
        select = [texts[row] for row in aside], targets[aside]
        texts, targets, shares = [texts[row] for row in rest], targets[rest], shares[rest]
    if not texts or not select[0]:
        raise InputError("no text to learn from, or none to select by")
    with seeded(sizes.seed):
        model = _blank(texts, labels, sizes, matched)
        batches = _batches(model, texts, targets, shares, sizes)
        aims = torch.from_numpy(select[1]).float()
        epochs, best = train(model, batches, _rows(model, select[0]), aims, sizes, matched)
    return Shrunk(model, epochs, best)


def _matched(sizes: Sizes, teacher: Model | None) -> TorchModel | None:
    """The teacher whose layers are matched, if any."""
    if sizes.white_box and teacher is None:
        raise OptionError(
            f"hidden_weight={sizes.hidden_weight} and attention_weight={sizes.attention_weight} "
            "match a teacher's layers: give teacher=..., as whence.load returns it, or set both to 0"
        )
    if not sizes.white_box and teacher is not None:
        raise OptionError(
            "teacher=... was given, but hidden_weight and attention_weight are 0, so none of its layers "
            "would be matched; set one of them, or leave the teacher out"
        )
    if teacher is not None and not isinstance(teacher, TorchModel):
        raise CapabilityError(
            f"expected a transformers model in memory, got {type(teacher).__name__}, whose layers "
            "cannot be read. Distil its answers alone: hidden_weight=0.0, attention_weight=0.0"
        )
    return teacher


def _blank(
    texts: Sequence[str], labels: Sequence[str], sizes: Sizes, teacher: TorchModel | None
) -> SequenceClassifier:
    """The student before it learns: drawn, but for embeddings that a teacher gives."""
    if teacher is None:
        tokenizer = learnt_tokenizer(texts, size=sizes.vocabulary, longest=sizes.tokens)
        rows = len(tokenizer)
    else:
        # Its own tokenizer, so that token i of the student is token i of the teacher: states and
        # attention are compared place by place.
        tokenizer = copy.deepcopy(cast("Any", teacher)._tokenizer)  # noqa: SLF001 - the one copy
        rows = teacher.vocabulary.size
        # What the teacher cannot read, it cannot be matched on.
        limit = teacher.vocabulary.limit
        sizes = sizes if limit is None else replace(sizes, tokens=min(sizes.tokens, limit))
    module = small_bert(labels, sizes, vocabulary=rows, pad=tokenizer.pad_token_id)
    if teacher is not None and sizes.hidden_weight > 0:
        with locked(teacher.module):
            table = teacher.module.get_input_embeddings().weight.detach().float().cpu().clone()
        if table.shape[1] >= sizes.hidden:
            with torch.no_grad():
                module.get_input_embeddings().weight.copy_(reduced(table, sizes.hidden))
    return SequenceClassifier(module, tokenizer, ref="a small transformer")


def _rows(model: SequenceClassifier, texts: Sequence[str]) -> list[Row]:
    result = [model.encode(text) for text in texts]
    return [Row(ids=e.ids, token_types=e.token_types) for e in result]


def _batches(
    model: SequenceClassifier,
    texts: Sequence[str],
    targets: np.ndarray,
    weights: np.ndarray,
    sizes: Sizes,
) -> list[Batch]:
    """Texts of about one length together; the same batches in every epoch."""
    rows = _rows(model, texts)
    order = np.random.default_rng(sizes.seed).permutation(len(rows))
    result: list[Batch] = []
    # Sorted within a pool and not altogether: batches of one length save padding, yet long and
    # short texts stay mixed over the batches. The batches stay the same in all epochs, since what
    # the teacher's layers hold of each is stored by its number.
    for start in range(0, len(rows), POOL * sizes.batch):
        pool = sorted(
            order[start : start + POOL * sizes.batch].tolist(), key=lambda i: len(rows[i])
        )
        for first in range(0, len(pool), sizes.batch):
            # A batch of weights 0 alone would divide 0 by 0 in its mean.
            part = [i for i in pool[first : first + sizes.batch] if weights[i] > 0]
            if part:
                chosen = [rows[i] for i in part]
                aims = torch.from_numpy(targets[part]).float()
                share = torch.from_numpy(weights[part]).float()
                result.append(Batch(chosen, model.batch(chosen), aims, share))
    return result


def probabilities(
    model: SequenceClassifier, texts: Sequence[str]
) -> Float[np.ndarray, "texts labels"]:
    """Softmax of a classifier's logits for many texts, in batches of about one length.

    Raises:
        TextTooLongError: a text of more tokens than the model reads.
    """
    logits = logits_of(model, _rows(model, texts))
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def save(model: SequenceClassifier, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer's files into a new folder."""
    from safetensors.torch import save_file

    folder.mkdir()
    module = model.module
    config = copy.deepcopy(module.config)
    # A module that saves itself would enter its class; without it neither AutoModel nor task_of can
    # tell what to load.
    config.architectures = [type(module).__name__]
    config.save_pretrained(folder)
    # Said as transformers says it, which reports the progress of its own writer on the screen.
    state = {name: value.detach().contiguous().cpu() for name, value in module.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    cast("Any", model)._tokenizer.save_pretrained(folder)  # noqa: SLF001 - the one copy
