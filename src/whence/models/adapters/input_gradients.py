"""Gradients by the input's embeddings, taken on the way that the module itself goes from token ids.

The module is called with ids, and what its table of embeddings looks up for them is put in place of
the table's own answer. Scaling behind the table, positions counted from ids and pooling found by ids
are then those of the answer that is explained, which ``inputs_embeds`` does not promise.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import GradientError, ModelOutputError
from whence.models.adapters.shortcuts import TOLERANCE, agree, check_steady, refusal
from whence.models.values import Encoding, Row

__all__ = ["look_up", "prove_gradients"]

STEPS = (1e-2, 1e-3, 1e-4)
"""Lengths of the finite differences, as shares of the input's own length; a shorter one where the longer
does not agree: over 1 % of the way a function with kinks can bend, and experts can change."""
DIRECTIONS = 2
"""Random directions. In one of them a missing part as large as the gradient itself is hidden by chance
once in ten times."""
DEVIATION = 0.1
"""Largest deviation of a difference from the derivative, as a share of the derivative's usual size in a
random direction, its norm over the root of the number of coordinates. Chosen by hand above what the
families of the test zoo show (below 0.01); parts without a gradient deviate by its whole size."""


@contextmanager
def look_up(tables: Sequence[Any], ids: torch.Tensor, leaf: torch.Tensor) -> Generator[None]:
    """Let tables of embeddings give ``leaf[batch, tokens, width]`` for ``ids[batch, tokens]``.

    Raises:
        GradientError: none was asked for them.
    """
    asked = 0

    def instead(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        nonlocal asked
        given = next((each for each in (*args, *kwargs.values()) if torch.is_tensor(each)), None)
        # A table for integers gives its scale beside the embeddings.
        several = isinstance(output, tuple)
        first = output[0] if several else output
        if given is None or not torch.is_tensor(first):
            return None
        result = _placed(given.to(ids.dtype), first.detach(), ids, leaf.to(first.dtype))
        if result is None:
            return None
        asked += 1
        # A copy: a module that scales in place what it looked up must not write to the leaf.
        result = result.clone()
        return (result, *output[1:]) if several else result

    handles = [table.register_forward_hook(instead, with_kwargs=True) for table in tables]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if not asked:
        raise GradientError(
            "the model does not look the tokens of its input up in its table of embeddings"
        )


def _placed(
    given: torch.Tensor, output: torch.Tensor, ids: torch.Tensor, leaf: torch.Tensor
) -> torch.Tensor | None:
    """A table's answer with the leaf in the places of the input; ``None`` where that was not asked."""
    count = len(ids)
    if given.numel() == ids.numel() and torch.equal(given.reshape(ids.shape), ids):
        return leaf.reshape(output.shape)
    if given.dim() != 2:
        return None
    result = _among(given, output, ids, leaf) if len(given) == count else None
    if result is None and given.shape[1] == count:
        # Some families look up the tokens of all rows at one place, then those at the next.
        turned = _among(given.T, output.transpose(0, 1), ids, leaf)
        result = None if turned is None else turned.transpose(0, 1)
    return result


def _among(
    given: torch.Tensor, output: torch.Tensor, ids: torch.Tensor, leaf: torch.Tensor
) -> torch.Tensor | None:
    """As :func:`_placed`, where each row holds more than the input, or the input moved by one."""
    length = ids.shape[1]
    # A prompt of the module's own stands before the input; forced tokens, or padding, behind it.
    for start in range(given.shape[1] - length + 1):
        stop = start + length
        if torch.equal(given[:, start:stop], ids):
            return torch.cat([output[:, :start], leaf, output[:, stop:]], dim=1)
    # The decoder of a classifier reads the text once more, behind a start token.
    if given.shape == ids.shape and length > 1 and torch.equal(given[:, 1:], ids[:, :-1]):
        return torch.cat([output[:, :1], leaf[:, :-1]], dim=1)
    return None


def prove_gradients(model: Any, encoding: Encoding, readout: Any) -> int:
    """Show that gradients at the embeddings are the derivatives of the answer to the ids.

    Three comparisons, once for each input: the value at the embeddings with the value at the ids;
    the same with other ids beside these embeddings, which shows whether the model reads ids on
    another way too; and the derivatives in two random directions with finite differences.

    Returns:
        Passes that it took: 7, two more for each shorter step, and none for an input that was proven before.

    Raises:
        GradientError: they differ.
        ModelOutputError: two answers to the ids do, read again where something else failed.
    """
    row = Row(ids=encoding.ids, token_types=encoding.token_types)
    differentiated = readout.shortcuts.differentiated
    if row.key() in differentiated:
        return 0

    def answer() -> torch.Tensor:
        return torch.from_numpy(model.evaluate([row], readout).values[0])

    plain = answer()
    try:
        passes = _compare(model, encoding, readout, plain)
    except (GradientError, ModelOutputError):
        # Of answers that do not stand still no other reason is true.
        check_steady(answer(), plain, model.tolerance(readout))
        raise
    differentiated.add(row.key())
    return passes + 1


def _compare(model: Any, encoding: Encoding, readout: Any, plain: torch.Tensor) -> int:
    """The three comparisons with the answer to the ids; the passes that they took."""
    point = model.embed(encoding)
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, *point.shape))
    # Frozen tokens never move on the way of any method.
    directions[:, encoding.frozen] = 0
    size = np.linalg.norm(point[~encoding.frozen])
    directions *= size / np.linalg.norm(directions, axis=(1, 2), keepdims=True)
    far = [STEPS[0] * direction.astype(np.float32) for direction in directions]
    points = np.stack([point, point, *(p for move in far for p in (point + move, point - move))])
    ids = np.tile(encoding.ids, (len(points), 1))
    ids[1] = _others(encoding)
    types = encoding.token_types
    values, slopes, passes = _at(model, (ids, points), types, readout, plain)
    tolerance = model.tolerance(readout)
    _same_value(values, plain, tolerance)
    here = values[0].numpy()
    deviation = None
    for index, direction in enumerate(directions):
        ends = values[2 + 2 * index : 4 + 2 * index].numpy()
        deviation = _deviation(here, ends, slopes[0], far[index], tolerance)
        for step in STEPS[1:]:
            if deviation is None:
                break
            move = step * direction.astype(np.float32)
            near, _ = model.slopes(ids[2:4], np.stack([point + move, point - move]), types, readout)
            passes += 2
            shorter = _deviation(here, near.numpy(), slopes[0], move, tolerance, hides=False)
            # Empty: so short a step that rounding hides what it shows decides nothing.
            deviation = deviation if shorter == "" else shorter
        if deviation is not None:
            break
    if deviation is not None:
        raise GradientError(
            "parts of the model pass no gradient, or another than their own (they are detached, "
            f"rounded to integers, or run without autograd): {deviation}"
        )
    return passes


def _at(
    model: Any,
    rows: tuple[np.ndarray, np.ndarray],
    token_types: np.ndarray | None,
    readout: Any,
    plain: torch.Tensor,
) -> tuple[torch.Tensor, np.ndarray, int]:
    """Values, gradients and passes; one by one where rows that share a pass change each other."""
    count = len(rows[0])
    try:
        values, slopes = model.slopes(*rows, token_types, readout)
    except (MemoryError, GradientError):
        raise
    except Exception as error:
        if not readout.shortcuts.drop({"company": 1}, refusal(error)):
            raise
    else:
        why = "at embeddings, together, the value is another than alone"
        if agree(values[0], plain, model.tolerance(readout)) or not readout.shortcuts.drop(
            {"company": 1}, why
        ):
            return values, slopes, count
    return *model.slopes(*rows, token_types, readout), 2 * count


def _same_value(
    values: Float[torch.Tensor, "rows outputs"],
    plain: Float[torch.Tensor, " outputs"],
    tolerance: float,
) -> None:
    """Refuse where the value at the embeddings, or beside other ids, is not that of the ids."""
    if not agree(values[0], plain, tolerance):
        raise GradientError(
            f"at the embeddings of the input the value is {_listed(values[0])}, at its token ids "
            f"{_listed(plain)}"
        )
    if not agree(values[1], plain, tolerance):
        raise GradientError(
            "the model reads token ids on another way beside their embeddings (tables of each layer, "
            f"routes chosen by id): with other ids and the same embeddings the value is "
            f"{_listed(values[1])} in place of {_listed(plain)}"
        )


def _deviation(
    here: Float[np.ndarray, " outputs"],
    values: Float[np.ndarray, "2 outputs"],
    slope: Float[np.ndarray, "outputs tokens width"],
    move: Float[np.ndarray, "tokens width"],
    tolerance: float,
    *,
    hides: bool = True,
) -> str | None:
    """What finite differences show beside the derivative; ``None`` where one of them agrees.

    Forwards, backwards and central: where an expert changes on one side of the input, the value jumps
    there, and the other side shows the derivative. A wrong derivative agrees with none.
    """
    differences = np.stack([values[0] - here, here - values[1], (values[0] - values[1]) / 2])
    derivative = (slope * move).sum(axis=(1, 2))
    usual = np.linalg.norm(slope.reshape(len(slope), -1), axis=1) * np.linalg.norm(move)
    usual = np.maximum(usual / np.sqrt(np.count_nonzero(move)), np.abs(derivative))
    # Two roundings of the values: of float32, whose comparison allows a hundred times more; in half
    # precision the tolerance itself is made of roundings.
    noise = 0.02 * tolerance if tolerance <= TOLERANCE else tolerance
    noise = noise * np.maximum(1, np.abs(here))
    allowed = DEVIATION * np.maximum(usual, np.abs(differences)) + noise
    wrong = np.flatnonzero(~(np.abs(differences - derivative) <= allowed).any(axis=0))
    if not wrong.size:
        # Beside a longer step that disagreed, agreement within the rounding alone is none.
        return None if hides or np.all(noise < usual) else ""
    first = int(wrong[0])
    return (
        f"along a random direction the value changes by {differences[2, first]:.3g}, its gradient says "
        f"{derivative[first]:.3g}"
    )


def _others(encoding: Encoding) -> Int[np.ndarray, " tokens"]:
    """The ids with those of features moved on by one place; of equal ones, one other id."""
    ids = encoding.ids.copy()
    places = np.flatnonzero(~encoding.frozen)
    ids[places] = np.roll(ids[places], 1)
    if np.array_equal(ids, encoding.ids):
        # A text of one token, or of one repeated: its neighbour in the table will do.
        ids[places] = np.where(ids[places] > 0, ids[places] - 1, 1)
    return ids


def _listed(values: Sequence[Any] | torch.Tensor) -> str:
    return ", ".join(f"{float(value):.6g}" for value in values[:4])
