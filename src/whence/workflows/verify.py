"""``whence.verify``: whether a model still gives the answers that a record holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whence.core.errors import OptionError
from whence.core.explanations import Attribution
from whence.games.question import Question, ask_again, recorded_masker
from whence.models.protocols import Input

__all__ = ["Verification", "verify"]

TOLERANCE = 1e-4
"""Relative deviation: float32 on another machine, or in batches of another size, differs by less.
Chosen by hand above the 3e-5 that the conformance battery allows between batch sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """Result of replaying a record against a model.

    Attributes:
        holds: whether every answer is within the tolerance, and the model is the recorded one.
        asked: number of replayed inputs: the whole input, and masks of the record's pool.
        worst: largest deviation, in the unit of the outputs.
        tolerance: largest deviation allowed for that answer.
        same_model: whether the fingerprint is the recorded one; ``None`` where one has none.
        says: verdict in a sentence.
    """

    holds: bool
    asked: int
    worst: float
    unit: str
    tolerance: float
    same_model: bool | None
    says: str


def verify(
    model: Any,
    explanation: Attribution,
    *,
    masks: int = 4,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    source: Input | None = None,
) -> Verification:
    """Replay the whole input and some random masks of a record, and compare the answers.

    Cost: ``masks`` + 1 evaluations, none of them from a cache, each a call of the bare module on
    one row: no batch, no padding, no stored prefix.

    Args:
        model: model from :func:`whence.load`.
        explanation: record; without a trust label only the whole input can be replayed.
        masks: number of the pool's masks that are replayed, drawn with ``seed``.
        seed: seed of the draw of masks.
        tolerance: largest deviation, as a share of the answer's size or of 1, whichever is more.
        source: input, where the record does not hold it as it was given.

    Raises:
        InputError: the question cannot be put again to this model.
        OptionError: ``masks`` is negative, or ``tolerance`` is not above 0.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> e = whence.explain(model, "late again and late")
        >>> whence.verify(model, e).holds
        True
        >>> other = whence.load(lambda texts: [2.0 * t.count("late") for t in texts])
        >>> whence.verify(other, e).holds
        False
    """
    if masks < 0:
        raise OptionError(f"expected 0 masks or more, got masks={masks}")
    if not tolerance > 0:
        raise OptionError(f"expected a tolerance above 0, got tolerance={tolerance}")
    if seed < 0:
        raise OptionError(f"expected a seed of 0 or more, got seed={seed}")
    question = ask_again(model, explanation, source=source)
    n = len(question.segmentation)
    # One row at a time: such a row is given to the bare module, and shares neither a prefix nor
    # padding nor a pass with another. What made the record's numbers cannot confirm them.
    answered = [question.game(token_budget=1).full()[None]]
    recorded = [explanation.values[None]]
    if explanation.trust is not None and masks:
        pool = explanation.trust.pool
        drawn = np.random.default_rng(seed).permutation(len(pool.masks))[:masks]
        game = question.game(masker=recorded_masker(pool.masker), token_budget=1)
        # A pool without a mask has no width either: reshape gives it that of the features.
        answered.append(game(pool.coalitions()[drawn].reshape(len(drawn), n)))
        recorded.append(pool.values[drawn])
    answers = np.concatenate(answered)
    expected = np.concatenate(recorded)
    gaps = np.abs(answers - expected)
    # Relative to large answers; near 0 a share of the answer would allow less than the rounding of
    # float32.
    allowed = tolerance * np.maximum(1.0, np.abs(expected))
    # The worst by what it was allowed: outputs may be of different size.
    row, column = np.unravel_index(int(np.argmax(gaps / allowed)), gaps.shape)
    worst, limit = float(gaps[row, column]), float(allowed[row, column])
    # Written so that a NaN agrees with nothing.
    agrees = bool(np.all(gaps <= allowed))
    same = _same_model(question, explanation)
    unit = explanation.outputs[int(column)].unit
    count = len(expected)
    # None: a callable has no fingerprint, and its answers are all there is to go by.
    if agrees and same is not False:
        says = f"{count} of {count} answers equal those of the record; the largest deviation is {worst:.2g} {unit}"
    elif agrees:
        says = (
            f"the {count} replayed answers equal those of the record, but the model's fingerprint "
            "differs: other weights, configuration or tokenizer"
        )
    else:
        wrong = int(np.any(gaps > allowed, axis=1).sum())
        says = (
            f"{wrong} of {count} answers differ from those of the record; the worst deviates by "
            f"{worst:.3g} {unit}, where {limit:.1g} is allowed"
        )
    return Verification(
        holds=agrees and same is not False,
        asked=count,
        worst=worst,
        unit=unit,
        tolerance=limit,
        same_model=same,
        says=says,
    )


def _same_model(question: Question, explanation: Attribution) -> bool | None:
    now, then = question.model.identity.fingerprint, explanation.provenance.model.fingerprint
    return None if now is None or then is None else now == then
