"""How plausible a text is to a language model, and the words a masked one proposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whence.core.errors import CapabilityError, WhenceError
from whence.core.targets import Continuation, MaskFill
from whence.models.protocols import Row, TokenModel

__all__ = ["check_language_model", "mean_log_probability", "proposals"]


def check_language_model(model: Any) -> None:
    """Refuse what gives no probabilities of tokens.

    Raises:
        CapabilityError: neither a causal nor a masked language model of whence.
    """
    if not isinstance(model, TokenModel) or model.task not in ("causal", "masked_lm"):
        what = getattr(model, "task", type(model).__name__)
        raise CapabilityError(
            f"expected a causal or masked language model from whence.load as language_model, got {what}"
        )


def mean_log_probability(model: Any, text: str) -> tuple[float | None, int]:
    """Mean log-probability of a token of a text, in nat, and the passes it took.

    Causal: of the tokens behind the first word, given what stands before each. Masked: of each
    token, given all others (pseudo-log-likelihood; Salazar et al. 2020, arXiv:1910.14659). ``None``
    where the model cannot read the text, or it has one word.
    """
    try:
        return _causal(model, text) if model.task == "causal" else _masked(model, text)
    except WhenceError:
        return None, 0


def _causal(model: Any, text: str) -> tuple[float | None, int]:
    first, space, rest = text.partition(" ")
    if not first or not rest:
        return None, 0
    encoding = model.encode(first)
    readout = model.readout(encoding, [Continuation(text=space + rest)], link="log_probability")
    value = model.evaluate([Row(ids=encoding.ids)], readout).values[0, 0]
    return float(value) / len(readout.sequences[0]), 1


def _masked(model: Any, text: str) -> tuple[float | None, int]:
    encoding = model.encode(text)
    mask = model.decode([model.vocabulary.mask_id]).strip()
    values: list[float] = []
    for token in np.flatnonzero(~encoding.frozen).tolist():
        start, end = encoding.offsets[token].tolist()
        if start == end:
            continue
        masked = model.encode(text[:start] + mask + text[end:])
        fill = MaskFill(token=int(encoding.ids[token]))
        readout = model.readout(masked, [fill], link="log_probability")
        row = Row(ids=masked.ids, token_types=masked.token_types)
        values.append(float(model.evaluate([row], readout).values[0, 0]))
    return (float(np.mean(values)) if values else None), len(values)


def proposals(model: Any, text: str, start: int, end: int) -> Sequence[str]:
    """Words that a masked language model puts in the place of some characters. Cost: one pass."""
    if model is None or model.task != "masked_lm":
        return ()
    mask = model.decode([model.vocabulary.mask_id]).strip()
    try:
        decision = model.decide(model.encode(text[:start] + mask + text[end:]))
    except WhenceError:
        return ()
    words = [score.name.strip() for score in decision.scores]
    return [
        word for word in words if word.isalpha() and word.casefold() != text[start:end].casefold()
    ]
