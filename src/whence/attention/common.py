"""What analyses of one input's inside share: the question, and where its answer came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from whence._version import __version__
from whence.core.attention_record import ReadToken
from whence.core.errors import CapabilityError, OptionError
from whence.core.explanations import Decision
from whence.core.provenance import Cost, MethodSpec, Provenance, Setting, environment, now
from whence.core.targets import Continuation, Label, Link, Target
from whence.models.protocols import Encoding, GivesStates, Readout, TokenModel

__all__ = [
    "check_model",
    "decided",
    "forced_by",
    "one_readout",
    "provenance",
    "read_tokens",
]


def check_model(model: Any, what: str, *, inside: type = GivesStates) -> TokenModel:
    """The model, where its inside can be had: it obeys the protocol ``inside``.

    Raises:
        CapabilityError: it gives only scores.
    """
    if isinstance(model, TokenModel) and isinstance(model, inside):
        return model
    raise CapabilityError(
        f"{what} asked of {type(model).__name__}, which gives only scores. It needs a local "
        "transformers model, given by folder or id."
    )


def one_readout(
    model: TokenModel,
    encoding: Encoding,
    target: Target | str | int | None,
    link: Link | None,
    what: str,
) -> Readout:
    """The readout of exactly one number (or of one continuation, token by token).

    Raises:
        OptionError: several targets, or none of a kind the model has.
    """
    if isinstance(target, bool | list | tuple):
        raise OptionError(f"target={target!r} asked; {what} follows one target: a label or a text")
    if isinstance(target, str | int):
        writes = model.task in ("causal", "seq2seq")
        named = isinstance(target, str) and writes
        target = Continuation(text=str(target)) if named else Label(label=target)
    return model.readout(encoding, () if target is None else (target,), link=link)


def forced_by(readout: Readout) -> tuple[tuple[int, ...], ...]:
    """The continuations that a readout forces; none for a model that does not write."""
    return getattr(readout, "sequences", ())


def decided(model: TokenModel, encoding: Encoding, readout: Readout, target: object) -> Decision:
    """What the model says; of one that writes, its own continuation where that is explained."""
    decision = model.decide(encoding)
    if target is None and model.task in ("causal", "seq2seq"):
        return replace(decision, text=readout.outputs[0].name)
    return decision


def read_tokens(
    model: TokenModel, encoding: Encoding, forced: Sequence[int]
) -> tuple[tuple[ReadToken, ...], tuple[ReadToken, ...]]:
    """The tokens that the encoder, or the only stack, reads, and those that a decoder reads."""
    text = encoding.document.text
    given = tuple(
        ReadToken(
            id=int(token),
            text=text[start:stop] if stop > start else model.decode([int(token)]),
            start=int(start),
            end=int(stop),
            special=bool(frozen),
        )
        for token, (start, stop), frozen in zip(
            encoding.ids, encoding.offsets, encoding.frozen, strict=True
        )
    )
    first = []
    if model.task == "seq2seq":
        first = [int(cast("Any", model).config.decoder_start_token_id)]
    written = tuple(
        ReadToken(
            id=token, text=model.decode([token]), start=len(text), end=len(text), written=True
        )
        for token in [*first, *forced]
    )
    return (given, written) if first else (given + written, ())


def provenance(
    model: TokenModel, name: str, options: Mapping[str, Setting], cost: Cost, *, seed: int = 0
) -> Provenance:
    """Model, method, cost and versions of an analysis that removes nothing."""
    return Provenance(
        whence=__version__,
        created=now(),
        model=model.identity,
        method=MethodSpec(name=name, options=dict(options)),
        masker=None,
        segmenter=MethodSpec(name="Tokens"),
        seed=seed,
        cost=cost,
        environment=environment(),
    )
