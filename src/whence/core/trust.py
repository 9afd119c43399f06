"""The trust label: the measured evidence that travels with an explanation, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from whence.core.arrays import FloatMatrix, FloatVector
from whence.core.display import fragment_of, text_of
from whence.core.errors import TrustError
from whence.core.measurements import Measurement
from whence.core.provenance import Cost, MethodSpec
from whence.core.record import Record, Value

__all__ = [
    "GRADES",
    "LEVELS",
    "Finding",
    "Grade",
    "KeptPool",
    "Level",
    "Quantity",
    "TrustLabel",
]

Finding = Literal["pass", "caution", "fail", "not_measured"]
Level = Literal["quick", "default", "audit"]
LEVELS: tuple[Level, ...] = ("quick", "default", "audit")

Grade = Literal["A", "B", "C", "uncalibrated", "abstain"]
GRADES: tuple[Grade, ...] = ("A", "B", "C", "uncalibrated", "abstain")
"""``A``: nothing failed, at most one caution, and calibrated to be wrong in at most one case of
twenty. ``B``: nothing failed. ``C``: one test failed. ``uncalibrated``: nothing that forbids its
use, but no thresholds were measured for this family of models. ``abstain``: do not use."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Quantity(Value):
    """One question about an explanation, and the measured answer.

    Attributes:
        question: question in a reader's words: ``"Better than chance?"``.
        finding: pass, caution, fail; or not measured, and then ``says`` tells why.
        says: one sentence, with the numbers.
        measurements: measurements behind the answer.
    """

    question: str
    finding: Finding
    says: str
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptPool(Value):
    """Masks and answers, kept so that any metric can be computed again without the model.

    ``masks`` are written out, one character a feature: ``1`` where it is present. ``values`` are
    ``[masks, outputs]``, ``full`` those of the whole input.
    """

    masks: tuple[str, ...]
    values: FloatMatrix
    full: FloatVector
    complete: bool
    seed: int
    masker: MethodSpec

    def __post_init__(self) -> None:
        if len(self.masks) != len(self.values):
            raise ValueError(f"{len(self.masks)} masks and {len(self.values)} rows of answers")
        if len({len(mask) for mask in self.masks}) > 1 or set("".join(self.masks)) - {"0", "1"}:
            raise ValueError("masks are strings of 0 and 1, all of one length")
        if self.full.shape != self.values.shape[1:]:
            raise ValueError("the whole input has as many answers as each mask")

    def coalitions(self) -> np.ndarray:
        """The masks as booleans ``[masks, features]``."""
        # Masks are text since a JSON list takes five characters or six for each true or false.
        rows = [np.frombuffer(mask.encode(), dtype=np.uint8) == ord("1") for mask in self.masks]
        return np.stack(rows) if rows else np.zeros((0, 0), dtype=bool)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrustLabel(Record):
    """What was measured of one explanation of one output, and whether it may be used.

    Attributes:
        output: output whose scores were judged.
        level: how thorough the judgement was.
        grade, says: verdict, and one measured sentence for a lay reader.
        reasons: reasons why the grade is no higher.
        calibration: identity of the thresholds; ``None``: none cover this family of models.
        quantities: answers to the questions, in order: four in a quick label, seven in a default
            one, nine in an audit.
        additive_share: share of the variance of the model's answers over the pool that the best
            sum over features explains; ``None`` where there was nothing to explain.
        reliable: for each feature, whether its effect is distinguishable from zero: by the pool, or by the
            standard errors of its score.
        pool: masks and answers.
        discarded: perturbations that were not counted, since they changed the prediction.
        cost: evaluations of the label alone, those of explaining again included.
        explanations: number of times that the method ran again.
        notes: sentences that a reader must know.
    """

    output: str
    level: Level
    grade: Grade
    says: str
    reasons: tuple[str, ...]
    calibration: str | None
    quantities: tuple[Quantity, ...]
    additive_share: Measurement | None
    reliable: tuple[bool, ...]
    pool: KeptPool
    discarded: tuple[str, ...]
    cost: Cost
    explanations: int
    notes: tuple[str, ...]
    kind: Literal["trust-label"] = "trust-label"
    schema_version: Literal[1] = 1

    @property
    def usable(self) -> bool:
        """Whether the explanation may be shown as a reason at all."""
        return self.grade != "abstain"

    def measurement(self, name: str) -> Measurement | None:
        """A measurement by its name, ``None`` where it was not made."""
        every = (m for q in self.quantities for m in q.measurements)
        return next((m for m in every if m.name == name), None)

    def require(self, least: Grade = "B") -> None:
        """Do nothing if the grade is ``least`` or better, in the order of :data:`GRADES`.

        Raises:
            TrustError: it is worse; the message gives the reasons.
        """
        if GRADES.index(self.grade) > GRADES.index(least):
            because = "; ".join(self.reasons) or self.says
            raise TrustError(
                f"grade {least} or better was required; this explanation of {self.output!r} has "
                f"grade {self.grade!r}: {because}"
            )

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return fragment_of(self)
