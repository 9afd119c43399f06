"""What the model would say were it to stop after each layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from whence.attention.common import (
    check_model,
    decided,
    forced_by,
    one_readout,
    provenance,
    read_tokens,
)
from whence.core.arrays import frozen_array
from whence.core.depth_records import LensPosition, LensToken, LogitLens
from whence.core.errors import CapabilityError, OptionError
from whence.core.provenance import Cost
from whence.core.targets import Target
from whence.games.batching import batched
from whence.models.protocols import Encoding, GivesStates, Input, Readout, TokenModel

__all__ = ["CAVEAT", "logit_lens"]

CAVEAT = (
    "a lens reads early states in the last layer's coordinates: a low probability at an early "
    "layer does not show that the answer is not there, only that the head cannot read it yet"
)


def logit_lens(
    model: Any,
    source: Input,
    *,
    target: Target | str | int | None = None,
    top: int = 5,
    positions: Sequence[int] | None = None,
    token_budget: int = 4096,
) -> LogitLens:
    """What the model would say were it to stop after each layer.

    The state after each block is put in the place of the last block's, so that everything behind
    it is the model's own: final norm, pooling, head, scale and cap. A layer's distribution is
    ``softmax(tail(state after that block))``; log-probabilities, entropies and divergences from
    the final distribution are in nat. The last layer put back must give the model's own logits
    bit for bit; ``certificate`` is the largest difference.

    Causal models and decoders are read where they predict the tokens explained, classifiers at
    their labels. Of an encoder-decoder only the decoder has a head; its encoder reads on whole.

    Cost: 2 passes and one for each layer but the last, batched over layers, and one for the
    decision. A target left open is first written by the model, a pass for each token.

    It misleads where early layers keep the answer in other coordinates than the last: the tuned
    lens (Belrose et al. 2023, arXiv:2303.08112) finds it earlier, and finds logit lenses biased
    toward some tokens. nostalgebraist (2020), "interpreting GPT: the logit lens".

    Args:
        model: a local model: a classifier, causal, or an encoder-decoder.
        source: a text, a pair of texts, or messages.
        target: which label or continuation is followed; none: the predicted label, or what the
            model writes itself.
        top: how many tokens or labels of each reading are kept.
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
    known = check_model(model, "a logit lens")
    if top < 1:
        raise OptionError(f"top={top} asked; it must be 1 or more")
    encoding = known.encode(source)
    plan = _plan(known, encoding, target, positions)
    places = [place.index for place in plan.positions if place.index is not None]
    inner = cast("GivesStates", known)
    stack = inner.block_states(encoding, plan.forced, places)
    block = stack.names[-1]

    def stopped(states: Sequence[np.ndarray]) -> np.ndarray:
        return inner.logits_from_states(encoding, plan.forced, places, np.stack(states), block)

    last = stopped([stack.states[-1]])[0]
    certificate = float(np.abs(last - stack.logits).max())
    final = _distributions(stack.logits, independent=plan.independent)

    def measured(states: Sequence[np.ndarray]) -> list[_Reading]:
        # Reduced batch by batch: the logits of all layers at once would be the largest array.
        return [_reading(answers, final, plan, top) for answers in stopped(states)]

    tokens, written = read_tokens(known, encoding, list(plan.forced))
    length = len(tokens) + len(written)
    readings = batched(list(stack.states[:-1]), length, token_budget, measured)
    readings.append(_reading(stack.logits, final, plan, top))
    count = len(stack.names)
    notes = [CAVEAT]
    if certificate:
        notes.append(
            f"the last layer's state put back misses the model's own logits by {certificate:.1e}: "
            "two passes over one input differ on this device"
        )
    return LogitLens(
        document=encoding.document,
        decision=decided(known, encoding, plan.readout, target),
        tokens=tokens,
        decoder_tokens=written,
        layers=stack.names,
        positions=plan.positions,
        log_probabilities=frozen_array([r.target for r in readings]),
        ranks=tuple(tuple(r.ranks) for r in readings),
        entropies=frozen_array([r.entropies for r in readings]),
        divergences=frozen_array([r.divergences for r in readings]),
        top=tuple(tuple(plan.named(known, row) for row in r.top) for r in readings),
        certificate=certificate,
        notes=tuple(notes),
        provenance=provenance(
            known,
            "logit_lens",
            {
                "top": top,
                "positions": None if positions is None else ", ".join(map(str, positions)),
            },
            Cost(
                evaluations=count + 2,
                distinct_evaluations=count + 2,
                tokens=(count + 1) * length + len(encoding.ids),
                seconds=time.perf_counter() - started,
            ),
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is forced, where it is read, and which answer is followed there."""

    readout: Readout
    forced: tuple[int, ...]
    positions: tuple[LensPosition, ...]
    independent: bool
    labels: tuple[str, ...]

    def named(self, model: TokenModel, row: list[tuple[int, float]]) -> tuple[LensToken, ...]:
        return tuple(
            LensToken(
                id=index,
                text=self.labels[index] if self.labels else model.decode([index]),
                probability=chance,
            )
            for index, chance in row
        )


def _plan(
    model: TokenModel,
    encoding: Encoding,
    target: Target | str | int | None,
    positions: Sequence[int] | None,
) -> _Plan:
    if model.task == "embedding":
        raise CapabilityError(
            f"a logit lens asked of {model.identity.ref}, which embeds texts: it has no answer to "
            "read after each layer. Models that work here: classifiers and models that write"
        )
    readout = one_readout(model, encoding, target, None, "a logit lens")
    if model.task == "classification":
        return _of_labels(model, readout, positions)
    sequences = forced_by(readout)
    if len(sequences) != 1:
        raise OptionError(
            "a contrast of two continuations asked; a lens follows one. Ask for each by itself."
        )
    written = sequences[0]
    tokens, decoder = read_tokens(model, encoding, written)
    whole = [token.id for token in decoder or tokens]
    size = len(whole) - 1
    chosen = range(size - len(written), size) if positions is None else positions
    for place in chosen:
        if not 0 <= place < size:
            raise OptionError(f"position {place} asked; {size} tokens are read, 0 to {size - 1}")
    if not len(chosen):
        raise OptionError(f"no position asked; {size} tokens are read, 0 to {size - 1}")
    places = tuple(
        LensPosition(
            index=int(place),
            target_id=int(whole[place + 1]),
            target=model.decode([int(whole[place + 1])]),
        )
        for place in chosen
    )
    return _Plan(readout, written[:-1], places, independent=False, labels=())


def _of_labels(model: TokenModel, readout: Readout, positions: Sequence[int] | None) -> _Plan:
    if positions is not None:
        raise OptionError(
            f"positions={list(positions)} asked; {model.identity.ref} classifies its whole input "
            "at once. Leave positions out."
        )
    of = cast("Any", readout)
    independent = bool(of.independent)
    if len(model.labels) == 1 and not independent:
        raise CapabilityError(
            f"a logit lens asked of {model.identity.ref}, which gives one number: there is no "
            "distribution over answers to read after each layer"
        )
    label, against = of.pairs[0]
    if against is not None:
        raise OptionError("a contrast of labels asked; a lens follows one. Ask for each label.")
    place = LensPosition(index=None, target_id=label, target=model.labels[label])
    return _Plan(readout, (), (place,), independent=independent, labels=model.labels)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """One layer, at every position."""

    target: list[float]
    ranks: list[int]
    entropies: list[float]
    divergences: list[float]
    top: list[list[tuple[int, float]]]


def _reading(
    answers: Float[np.ndarray, "positions logits"],
    final: Float[np.ndarray, "parts positions logits"],
    plan: _Plan,
    top: int,
) -> _Reading:
    found = _distributions(answers, independent=plan.independent)
    rows = np.arange(len(answers))
    wanted = np.array([place.target_id for place in plan.positions])
    followed = answers[rows, wanted]
    chances = np.exp(found[0])
    return _Reading(
        target=found[0][rows, wanted].tolist(),
        ranks=(1 + (answers > followed[:, None]).sum(axis=1)).tolist(),
        entropies=(-_mean(found, found)).tolist(),
        divergences=(_mean(final, final) - _mean(final, found)).tolist(),
        top=[[(i, float(chances[row, i])) for i in _highest(answers[row], top)] for row in rows],
    )


def _highest(logits: Float[np.ndarray, " logits"], count: int) -> list[int]:
    """The highest logits' places; of equal ones the lower comes first."""
    count = min(count, len(logits))
    least = np.partition(logits, -count)[-count]
    near = np.flatnonzero(logits >= least)
    return near[np.argsort(-logits[near], kind="stable")][:count].tolist()


def _distributions(
    answers: Float[np.ndarray, "positions logits"], *, independent: bool
) -> Float[np.ndarray, "parts positions logits"]:
    """Log-probabilities in float64: of each answer, and for independent labels of its absence."""
    logits = answers.astype(np.float64)
    if independent:
        return np.stack([-np.logaddexp(0, -logits), -np.logaddexp(0, logits)])
    largest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(axis=1, keepdims=True)) + largest
    return (logits - total)[None]


def _mean(
    of: Float[np.ndarray, "parts positions logits"],
    values: Float[np.ndarray, "parts positions logits"],
) -> Float[np.ndarray, " positions"]:
    """``sum p log q``; what has no probability adds nothing."""
    chances = np.exp(of)
    return (chances * np.where(chances > 0, values, 0.0)).sum(axis=(0, 2))
