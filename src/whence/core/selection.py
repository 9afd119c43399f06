"""What came of comparing methods on the texts of a task: every candidate's score, and the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from whence.core.arrays import FloatMatrix
from whence.core.display import fragment_of, text_of
from whence.core.measurements import Interval
from whence.core.provenance import Cost, MethodSpec, ModelIdentity
from whence.core.record import Migration, Record, Value, raised_to

__all__ = ["Candidate", "Selection"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidate(Value):
    """One method on the texts of a task.

    Attributes:
        name: name as the command line spells it.
        method: method with every option.
        fidelity, interval: mean pool fidelity over the texts, bootstrapped over them.
        behind: interval of the best candidate's fidelity less this one's, on the same texts.
        significant: share of the texts on which the scores beat shuffled ones at p <= 0.05.
        comprehensiveness, sufficiency: means over the texts, in ``unit``.
        evaluations: mean cost of one explanation, in model evaluations (a forward-and-backward
            pass counts as one).
    """

    name: str
    method: MethodSpec
    fidelity: float
    interval: Interval | None
    behind: Interval | None
    significant: float
    comprehensiveness: float
    sufficiency: float
    unit: str
    evaluations: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Selection(Record):
    """The choice of a method for a model and a task, with the log that it rests on.

    Attributes:
        model: model whose decisions were explained.
        texts: number of texts that were judged; ``documents`` are their SHA-256, in order.
        candidates: candidates in order of fidelity, the highest first.
        scores: ``[candidates, texts]`` pool fidelity of each, in the order of ``candidates``.
        chosen: winner, or the cheapest within one standard error of it.
        why: reason, in a sentence.
        explainable: whether the best candidate beat chance on more than half of the texts; where
            it did not, no list of words explains this task.
        failed: methods that could not be tried on some text, and why; they are no candidates.
        skipped: texts that could not be judged, by their number from 1, and why.
        pool: masks in each text's pool; ``judging`` evaluations that judging cost a text.
    """

    model: ModelIdentity
    texts: int
    documents: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    scores: FloatMatrix
    chosen: str
    why: str
    explainable: bool
    failed: dict[str, str]
    pool: int
    judging: float
    seed: int
    masker: MethodSpec
    segmenter: MethodSpec
    cost: Cost
    whence: str
    created: str
    skipped: dict[str, str] = field(default_factory=dict[str, str])
    kind: Literal["selection"] = "selection"
    schema_version: Literal[2] = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: raised_to(2)}

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.candidates), self.texts):
            raise ValueError(
                f"scores are {self.scores.shape}; candidates x texts is "
                f"{(len(self.candidates), self.texts)}"
            )
        if self.chosen not in [candidate.name for candidate in self.candidates]:
            raise ValueError(f"{self.chosen!r} was chosen and is no candidate")

    def __str__(self) -> str:
        return text_of(self)

    def __repr__(self) -> str:
        return f"Selection(chosen={self.chosen!r}, candidates={len(self.candidates)}, texts={self.texts})"

    def _repr_html_(self) -> str:
        return fragment_of(self)
