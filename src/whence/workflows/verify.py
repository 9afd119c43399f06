"""``whence.verify``: whether a record agrees with itself, and a model still gives its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whence.core.errors import OptionError
from whence.core.explanations import Attribution
from whence.evaluation.trust.consistency import consistency
from whence.games.question import Question, ask_again, recorded_masker
from whence.models.protocols import Input
from whence.models.public_call import public_call

__all__ = ["Verification", "verify"]

TOLERANCE = 1e-4
"""Relative deviation: float32 on another machine, or in batches of another size, differs by less.
Chosen by hand above the 3e-5 that the conformance battery allows between batch sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """Result of checking a record, and replaying it against a model.

    Attributes:
        holds: whether the record agrees with itself, every answer is within the tolerance, and the model
            is the recorded one.
        asked: number of replayed inputs: the whole input, and masks of the record's pool.
        worst: largest deviation, in the unit of the outputs.
        tolerance: largest deviation allowed for that answer.
        same_model: whether the fingerprint is the recorded one; ``None`` where one has none.
        says: verdict in a sentence.
        checked: names of what was checked beside the answers; ``unchecked``: what could not be, and why.
        faults: contradictions in the record itself.
    """

    holds: bool
    asked: int
    worst: float
    unit: str
    tolerance: float
    same_model: bool | None
    says: str
    checked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@public_call
def verify(
    model: Any,
    explanation: Attribution,
    *,
    masks: int = 4,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    source: Input | None = None,
) -> Verification:
    """Check a record against itself, and replay its whole input and some of its masks.

    Checked without the model: that the scores add up as the record states, and that the measurements
    of its trust label follow from its scores and its pool of masks. That the file is as it was written is
    checked by its digest when it is read (:class:`~whence.core.errors.DigestError`). A digest shows that a
    record was changed, not who wrote it.

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
    inner = consistency(explanation)
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
    says = "; ".join([*inner.faults, says] if not agrees or not inner.faults else inner.faults)
    return Verification(
        holds=agrees and same is not False and not inner.faults,
        asked=count,
        worst=worst,
        unit=unit,
        tolerance=limit,
        same_model=same,
        says=says,
        checked=inner.checked,
        unchecked=inner.unchecked,
        faults=inner.faults,
    )


def _same_model(question: Question, explanation: Attribution) -> bool | None:
    now, then = question.model.identity.fingerprint, explanation.provenance.model.fingerprint
    return None if now is None or then is None else now == then
