"""What analyses of one input share: the model, the question of one target, the tokens, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from whence._version import __version__
from whence.core.attention_record import ReadToken
from whence.core.errors import CapabilityError, OptionError
from whence.core.provenance import Cost, MethodSpec, Provenance, Setting, environment, now
from whence.core.targets import Link, Target
from whence.games.question import Question, ask
from whence.models.access import GivesStates
from whence.models.protocols import Encoding, Input, TokenModel

__all__ = ["ask_one", "encoding_of", "local_model", "one_target", "provenance", "read_tokens"]


def local_model(model: Any, what: str, *, gives: type = GivesStates) -> TokenModel:
    """The model, if it obeys the protocol ``gives``.

    Raises:
        CapabilityError: it gives only scores.
    """
    if isinstance(model, TokenModel) and isinstance(model, gives):
        return model
    raise CapabilityError(
        f"{what} needs a local transformers model; {type(model).__name__} gives only scores. Load "
        "the model by folder or id."
    )


def one_target(target: Any, what: str) -> Target | str | int | None:
    """The target, if it is one.

    Raises:
        OptionError: several targets, or none of a kind that a model has.
    """
    if isinstance(target, bool | list | tuple):
        raise OptionError(
            f"expected one target (a label or a text), got target={target!r}; {what} follows one "
            "target at a time"
        )
    return target


def ask_one(
    model: TokenModel,
    source: Input,
    target: Target | str | int | None,
    link: Link | None,
    what: str,
) -> Question:
    """The question of one target, token by token: input encoded, target resolved, model's decision.

    Raises:
        OptionError: several targets, or none of a kind the model has.
    """
    return ask(model, source, target=one_target(target, what), link=link, unit="token")


def encoding_of(question: Question) -> Encoding:
    """The encoding of a question that was put to a local model."""
    assert question.encoding is not None
    return question.encoding


def read_tokens(
    model: TokenModel, encoding: Encoding, forced: Sequence[int]
) -> tuple[tuple[ReadToken, ...], tuple[ReadToken, ...]]:
    """The tokens that the encoder, or the only stack, reads, and those that a decoder reads."""
    text = encoding.document.text
    tokens = tuple(
        ReadToken(
            id=int(token),
            # A token of no character (special, or one that only the model sees) is shown by its
            # name.
            text=text[start:stop] if stop > start else model.decode([int(token)]),
            start=int(start),
            end=int(stop),
            special=bool(frozen),
        )
        for token, (start, stop), frozen in zip(
            encoding.ids, encoding.offsets, encoding.frozen, strict=True
        )
    )
    if model.task not in ("seq2seq", "causal"):
        return tokens, _read_again(model, encoding, tokens)
    first: list[int] = []
    if model.task == "seq2seq":
        # The decoder reads its start token before anything that is written; positions count it.
        first = [int(cast("Any", model).config.decoder_start_token_id)]
    written = tuple(
        ReadToken(
            id=token, text=model.decode([token]), start=len(text), end=len(text), written=True
        )
        for token in [*first, *forced]
    )
    return (tokens, written) if first else (tokens + written, ())


def _read_again(
    model: TokenModel, encoding: Encoding, tokens: tuple[ReadToken, ...]
) -> tuple[ReadToken, ...]:
    """What the decoder of a classifier reads of the text, each token where it stands in the text."""
    ids = cast("Any", model).decoder_ids(encoding)
    if not ids:
        return ()
    end = len(encoding.document.text)
    start = ReadToken(id=ids[0], text=model.decode(ids[:1]), start=end, end=end, special=True)
    if ids[1:] == [token.id for token in tokens[:-1]]:
        return (start, *tokens[:-1])
    return tuple(
        ReadToken(id=token, text=model.decode([token]), start=end, end=end) for token in ids
    )


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
