"""Gradients by the input's embeddings, taken on the way that the module itself goes from token ids.

The module is called with ids, and what its table of embeddings looks up for them is put in place of
the table's own answer. Scaling behind the table, positions counted from ids and pooling found by ids
are then those of the answer that is explained, which ``inputs_embeds`` does not promise.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from whence.core.errors import GradientError, ModelOutputError
from whence.models.adapters.shortcuts import TOLERANCE, agree, check_steady, refusal
from whence.models.values import Encoding, Row

__all__ = ["look_up", "prove_gradients"]


@dataclass(frozen=True, slots=True)
class _Scale:
    """How finite differences are taken in an arithmetic.

    Attributes:
        step: length of a difference, as a share of the input's own length.
        others: shares of that step for where it does not agree.
        deviation: largest deviation of a difference from the derivative, as a share of the derivative's
            usual size in a random direction (its norm over the root of the number of coordinates), or
            of its own where that is more.
        noise: rounding of the difference of two values, as a share of the tolerance of answers.
        uphill: part of the second direction along the gradient, in units of what a random direction has
            of it. An error in the gradient's size shows there, which a random direction hides where it
            is across the gradient.
    """

    step: float
    others: tuple[float, ...]
    deviation: float
    noise: float
    uphill: float


FINE = _Scale(1e-2, (0.5, 0.1, 0.03, 0.01), deviation=0.01, noise=0.02, uphill=3.0)
"""Of float32. Of a smooth function a step and its half together cancel the term of third order
(Richardson); over 1 % of the way a function with kinks can bend, and experts change. In the test zoo smooth
families deviate by less than 0.001, those with kinks or experts by less than 0.006, each at its best step."""
COARSE = _Scale(3e-2, (10 / 3, 1 / 3), deviation=0.25, noise=0.25, uphill=3.0)
"""Of half precision, whose rounding hides shorter steps and most errors: the tightest that refuses none of the
families of the zoo whose gradients are right."""
HALF = 0.5
ONE_SIDED = 0.1
"""From this share on a difference forwards or backwards may agree: where an expert changes on one side
of the input, the value jumps there, and the other side shows the derivative."""
CLEAR = 5
"""Rounding, in units of the allowed deviation, above which agreement with another step decides nothing."""
HIDDEN = (
    "gradients were compared with finite differences, in which rounding would hide an error of half their "
    "size"
)


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
    another way too; and the derivatives in two directions with finite differences, one of them random,
    one turned towards the gradient.

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
    tolerance = model.tolerance(readout)
    scale = FINE if tolerance <= TOLERANCE else COARSE
    moved = np.broadcast_to(~encoding.frozen[:, None], point.shape)
    random = np.random.default_rng(0).standard_normal((2, *point.shape)) * moved
    random *= (
        scale.step
        * np.linalg.norm(point[moved])
        / np.linalg.norm(random, axis=(1, 2), keepdims=True)
    )
    first = random[0].astype(np.float32)
    ids = np.tile(encoding.ids, (4, 1))
    ids[1] = _others(encoding)
    points = np.stack([point, point, point + first, point - first])
    values, slopes, passes = _at(model, (ids, points), encoding.token_types, readout, plain)
    _same_value(values, plain, tolerance)

    def ends(move: np.ndarray) -> np.ndarray:
        nonlocal passes
        passes += 2
        around = np.stack([point + move, point - move])
        return model.slopes(ids[2:], around, encoding.token_types, readout)[0].numpy()

    here = values[0].numpy()
    derivative = _Derivative(here, slopes[0] * moved, ends, scale, tolerance)
    second = random[1] + scale.uphill * derivative.uphill(float(np.linalg.norm(random[1])))
    deviation = derivative.deviation(first, values[2:].numpy()) or derivative.deviation(
        second.astype(np.float32)
    )
    if deviation:
        raise GradientError(
            "parts of the model pass no gradient, or another than their own (they are detached, "
            f"rounded to integers, or run without autograd): {deviation}"
        )
    remarks = readout.shortcuts.remarks
    if derivative.hidden and HIDDEN not in remarks:
        remarks.append(HIDDEN)
    return passes


@dataclass(slots=True, eq=False)
class _Derivative:
    """The derivative of some outputs at a point, compared with finite differences.

    Attributes:
        here: values at the point.
        slope: gradients, zero where nothing moves.
        ends: function of a move that gives the values behind it, forwards and backwards.
        scale: way in which differences are taken.
        tolerance: deviation of two answers that rounding explains, as a share of their size or of 1.
        hidden: flag that an error of half the gradient's size would not show in the last move.
    """

    here: Float[np.ndarray, " outputs"]
    slope: Float[np.ndarray, "outputs tokens width"]
    ends: Callable[[np.ndarray], np.ndarray]
    scale: _Scale
    tolerance: float
    hidden: bool = False

    @property
    def noise(self) -> Float[np.ndarray, " outputs"]:
        """Rounding of the difference of two values."""
        return self.scale.noise * self.tolerance * np.maximum(1, np.abs(self.here))

    def uphill(self, length: float) -> Float[np.ndarray, "tokens width"]:
        """Gradients of all outputs, so long that each has there what it has in a random move."""
        norms = np.linalg.norm(self.slope, axis=(1, 2), keepdims=True)
        # Weights, since gradients of two labels can be each other's opposite.
        weights = np.random.default_rng(0).standard_normal(norms.shape)
        units = (weights * self.slope / np.where(norms > 0, norms, 1)).sum(axis=0)
        size = np.linalg.norm(units) * np.sqrt(max(1, np.count_nonzero(units)))
        return units * (length / size if size else 0.0)

    def deviation(
        self, move: Float[np.ndarray, "tokens width"], far: np.ndarray | None = None
    ) -> str:
        """What finite differences show beside the derivative; empty where one of them agrees.

        Args:
            move: step.
            far: values behind the whole step, where they are known.
        """
        derivative = (self.slope * move).sum(axis=(1, 2))
        usual = np.linalg.norm(self.slope, axis=(1, 2)) * np.linalg.norm(move)
        usual = np.maximum(usual / np.sqrt(max(1, np.count_nonzero(move))), np.abs(derivative))
        far = self.ends(move) if far is None else far
        whole = (far[0] - far[1]) / 2
        why = self._beside(derivative, usual, [whole], 1.0)
        unseen = self.scale.deviation * usual + self.noise > usual / 2
        self.hidden = bool(np.any(unseen & (usual > 0)))
        for share in self.scale.others:
            if not why:
                break
            near = self.ends((share * move).astype(np.float32))
            central = (near[0] - near[1]) / 2 / share
            differences = [central, (4 * central - whole) / 3] if share == HALF else [central]
            if share <= ONE_SIDED:
                differences += [(near[0] - self.here) / share, (self.here - near[1]) / share]
            if np.all(self.noise / share < CLEAR * self.scale.deviation * usual):
                why = why if self._beside(derivative, usual, differences, share) else ""
            # Where large numbers cancel in a value, its rounding is more than its size tells. What the
            # shortest step moves it beyond its gradient is rounding: a wrong gradient adds a hundredth
            # of its error there.
            if why and share == min(self.scale.others) <= ONE_SIDED:
                moved = share * derivative
                rounding = np.abs([near[0] - self.here - moved, near[1] - self.here + moved]).max(0)
                rounding = np.minimum(rounding, self.tolerance * np.maximum(1, np.abs(self.here)))
                allowed = self.scale.deviation * usual + self.noise + rounding
                if np.all(np.abs(whole - derivative) <= allowed):
                    self.hidden = bool(np.any((allowed > usual / 2) & (usual > 0)))
                    return ""
        return why

    def _beside(
        self,
        derivative: Float[np.ndarray, " outputs"],
        usual: Float[np.ndarray, " outputs"],
        differences: list[Float[np.ndarray, " outputs"]],
        share: float,
    ) -> str:
        """The first output that no difference agrees with, in words; empty: none."""
        allowed = self.scale.deviation * usual + self.noise / share
        # Not ">": NaN agrees with nothing.
        wrong = (~(np.abs(np.stack(differences) - derivative) <= allowed)).all(axis=0)
        if not wrong.any():
            return ""
        first = int(np.argmax(wrong))
        return (
            f"along a random direction the value changes by {differences[0][first]:.3g}, its gradient "
            f"says {derivative[first]:.3g}"
        )


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
    # Rows of one pass differ by less than passes of several shapes.
    if not agree(values[1], values[0], tolerance if tolerance <= TOLERANCE else tolerance / 4):
        raise GradientError(
            "the model reads token ids on another way beside their embeddings (tables of each layer, "
            f"routes chosen by id): with other ids and the same embeddings the value is "
            f"{_listed(values[1])} in place of {_listed(values[0])}"
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
