"""What the model would say if it stopped after each layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from whence.attention.common import ask_one, encoding_of, local_model, provenance, read_tokens
from whence.attention.layer_reading import LayerReading, distributions, read_layer
from whence.core.arrays import frozen_array
from whence.core.attention_record import ReadToken
from whence.core.depth_records import LensPosition, LensToken, LogitLens
from whence.core.errors import CapabilityError, OptionError
from whence.core.provenance import Cost, Setting
from whence.core.targets import Target
from whence.games.batching import batched
from whence.games.question import Question
from whence.models.access import GivesStates
from whence.models.protocols import Input, TokenModel
from whence.models.public_call import public_call

__all__ = ["CAVEAT", "logit_lens"]

CAVEAT = (
    "a lens reads early states in the last layer's coordinates: a low probability at an early "
    "layer does not show that the answer is not there, only that the head cannot read it yet"
)


@public_call
def logit_lens(
    model: Any,
    source: Input,
    *,
    target: Target | str | int | None = None,
    top: int = 5,
    positions: Sequence[int] | None = None,
    token_budget: int = 4096,
) -> LogitLens:
    """What the model would say if it stopped after each layer.

    The state after each block takes the place of the last block's, so that everything behind
    it is the model's own: final norm, pooling, head, scale and cap. A layer's distribution is
    ``softmax(tail(state after that block))``; log-probabilities, entropies and divergences from
    the final distribution are in nat. The last layer's state put back must give the model's own
    logits bit for bit; ``certificate`` is the largest difference.

    Causal models and decoders are read where they predict the explained tokens, classifiers at
    their labels. In an encoder-decoder only the decoder has an output head; its encoder always
    reads to its last layer.

    Cost: 2 passes and one for each layer but the last, batched over layers, and one for the
    decision. A target left open is first written by the model, a pass for each token.

    It misleads where early layers represent the answer in other coordinates than the last: the
    tuned lens (Belrose et al. 2023, arXiv:2303.08112) finds it earlier, and finds logit lenses
    biased toward some tokens. nostalgebraist (2020), "interpreting GPT: the logit lens".

    Args:
        model: local model: a classifier, causal, or an encoder-decoder.
        source: text, pair of texts, or messages.
        target: label or continuation that is followed; none: the predicted label, or the model's
            own continuation.
        top: number of tokens or labels of each reading that are stored.
        positions: tokens at which the next one is read, counted in what the causal model or the
            decoder reads; none: those that predict the continuation.
        token_budget: tokens in a batch to begin with.

    Raises:
        CapabilityError: the model gives only scores, embeddings, or one number.
        OptionError: several targets, or a position that is not read.

    Example:
        >>> import whence
        >>> lens = whence.logit_lens(whence.load("embedded:credit"), "She missed 3 payments.")
        >>> len(lens.layers), lens.log_probabilities.shape, lens.certificate
        (3, (3, 1), 0.0)
    """
    started = time.perf_counter()
    known = local_model(model, "a logit lens")
    if top < 1:
        raise OptionError(f"expected top of 1 or more, got top={top}")
    if known.task not in ("classification", "causal", "seq2seq"):
        raise CapabilityError(
            f"{known.identity.ref} is a model of task {known.task}, whose answer is not read after each "
            "layer. Models that work here: classifiers of texts and models that write"
        )
    question = ask_one(known, source, target, None, "a logit lens")
    plan = _plan(known, question, positions)
    names, certificate, readings = _read_layers(known, question, plan, top, token_budget)
    tokens, decoder = plan.tokens
    notes = [CAVEAT]
    if certificate:
        notes.append(
            f"the last layer's state put back misses the model's own logits by {certificate:.1e}: "
            "two passes over one input differ on this device"
        )
    length, encoding = len(tokens) + len(decoder), encoding_of(question)
    cost = Cost(
        evaluations=len(names) + 2,
        distinct_evaluations=len(names) + 2,
        tokens=(len(names) + 1) * length + len(encoding.ids),
        seconds=time.perf_counter() - started,
    )
    settings: dict[str, Setting] = {
        "top": top,
        "positions": None if positions is None else ", ".join(map(str, positions)),
    }
    return LogitLens(
        document=encoding.document,
        decision=question.decision,
        tokens=tokens,
        decoder_tokens=decoder,
        layers=names,
        positions=plan.positions,
        log_probabilities=frozen_array([r.target for r in readings]),
        ranks=tuple(tuple(r.ranks) for r in readings),
        entropies=frozen_array([r.entropies for r in readings]),
        divergences=frozen_array([r.divergences for r in readings]),
        top=tuple(tuple(plan.lens_tokens(known, row) for row in r.top) for r in readings),
        certificate=certificate,
        notes=tuple(notes),
        provenance=provenance(known, "logit_lens", settings, cost),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is forced after the text, where it is read, and which answer is followed there.

    ``tokens`` are those that the stack reads, and those that a decoder reads.
    """

    forced: tuple[int, ...]
    positions: tuple[LensPosition, ...]
    tokens: tuple[tuple[ReadToken, ...], tuple[ReadToken, ...]]
    independent: bool = False
    labels: tuple[str, ...] = ()

    def lens_tokens(self, model: TokenModel, row: list[tuple[int, float]]) -> tuple[LensToken, ...]:
        return tuple(
            LensToken(
                id=index,
                text=self.labels[index] if self.labels else model.decode([index]),
                probability=chance,
            )
            for index, chance in row
        )


def _read_layers(
    model: TokenModel, question: Question, plan: _Plan, top: int, token_budget: int
) -> tuple[tuple[str, ...], float, list[LayerReading]]:
    """Names of the layers, the certificate, and the reading of each layer."""
    inner = cast("GivesStates", model)
    encoding = encoding_of(question)
    indices = [position.index for position in plan.positions if position.index is not None]
    stack = inner.block_states(encoding, plan.forced, indices)
    block = stack.names[-1]
    final = distributions(stack.logits, independent=plan.independent)
    targets = [position.target_id for position in plan.positions]

    def logits_of(states: Sequence[np.ndarray]) -> np.ndarray:
        return inner.logits_from_states(encoding, plan.forced, indices, np.stack(states), block)

    def read(states: Sequence[np.ndarray]) -> list[LayerReading]:
        # Reduced batch by batch: the logits of all layers at once would be the largest array.
        return [read_layer(logits, final, targets, top) for logits in logits_of(states)]

    # The certificate runs the same path as every reading, on the one state whose answer is known.
    certificate = float(np.abs(logits_of([stack.states[-1]])[0] - stack.logits).max())
    length = sum(map(len, plan.tokens))
    readings = batched(list(stack.states[:-1]), length, token_budget, read)
    # The last layer is the model itself; its own logits are read, not those of the state put back.
    readings.append(read_layer(stack.logits, final, targets, top))
    return stack.names, certificate, readings


def _plan(model: TokenModel, question: Question, positions: Sequence[int] | None) -> _Plan:
    if model.task == "classification":
        return _plan_labels(model, question, positions)
    if len(question.sequences) != 1:
        raise OptionError(
            "expected one continuation, got a contrast of two; a lens follows one. Ask for each by "
            "itself."
        )
    sequence = question.sequences[0]
    tokens, decoder = read_tokens(model, encoding_of(question), sequence)
    ids = [token.id for token in decoder or tokens]
    # The last token is predicted and never read.
    size = len(ids) - 1
    indices = range(size - len(sequence), size) if positions is None else positions
    for index in indices:
        if not 0 <= index < size:
            raise OptionError(
                f"there is no position {index}; {size} tokens are read, 0 to {size - 1}"
            )
    if not len(indices):
        raise OptionError(
            f"no position given; name some of the {size} tokens that are read, 0 to {size - 1}"
        )
    lens_positions = tuple(
        LensPosition(
            index=int(index),
            target_id=int(ids[index + 1]),
            target=model.decode([int(ids[index + 1])]),
        )
        for index in indices
    )
    forced = sequence[:-1]
    return _Plan(forced, lens_positions, read_tokens(model, encoding_of(question), forced))


def _plan_labels(model: TokenModel, question: Question, positions: Sequence[int] | None) -> _Plan:
    if positions is not None:
        raise OptionError(
            f"positions={list(positions)} given, but {model.identity.ref} classifies its whole "
            "input at once; leave positions out"
        )
    readout = cast("Any", question.readout)
    if cast("Any", model).activation == "none":
        raise CapabilityError(
            f"{model.identity.ref} gives numbers, so there is no distribution over answers to "
            "read after each layer. Models that work here: classifiers of two or more labels"
        )
    label, against = readout.pairs[0]
    if against is not None:
        raise OptionError(
            "expected one label, got a contrast of labels; a lens follows one. Ask for each label."
        )
    return _Plan(
        forced=(),
        positions=(LensPosition(index=None, target_id=label, target=model.labels[label]),),
        tokens=read_tokens(model, encoding_of(question), ()),
        independent=bool(readout.independent),
        labels=model.labels,
    )
