"""What is measured of fitted students on the parts held out, without a question to the teacher."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from scipy import sparse

from whence.students.certificate.distribution_shift import Shift, other_corpora, other_topics
from whence.students.certificate.frontier import TIMED, Shown, median_microseconds
from whence.students.data.applicability_domain import Reach
from whence.students.data.split import Part
from whence.students.data.training_set import Held, Lesson
from whence.students.families.base import Fitted, Student
from whence.students.features.vectorizer import Features
from whence.students.regions.region import Region
from whence.students.regions.region import held as in_any
from whence.students.regions.search import Judged, regions
from whence.students.routing.selective_prediction import (
    Scored,
    SelectivePrediction,
    certified_answering,
)
from whence.students.teacher.teacher import Teacher

__all__ = ["answering_of", "pace_of", "regions_of", "shift_of", "shown_of"]


def regions_of(
    student: Fitted, held: Held, known: Features, permutations: int, level: float, seed: int
) -> tuple[Region, ...]:
    """Regions of distrust; none are looked for with no permutation."""
    if not permutations:
        return ()
    select, report = (
        Judged(held.texts(part), held.tables[part], held.answers(part), held.of(student, part))
        for part in ("select", "report")
    )
    return regions(
        select, report, features=known, permutations=permutations, level=level, seed=seed
    )


def answering_of(
    student: Fitted,
    held: Held,
    found: Sequence[Region],
    reach: Reach,
    target: float,
    level: float,
) -> SelectivePrediction:
    """Certified on the texts that the router would let the student answer."""
    vetoes = [region for region in found if region.veto]

    def scored(part: Part) -> Scored:
        asked = in_any(vetoes, held.texts(part)) | reach.outside(held.whole(part))
        return Scored.of(held.answers(part).probabilities, held.of(student, part), asked)

    return certified_answering(
        scored("select"), scored("certify"), scored("report"), target=target, level=level
    )


def shift_of(
    spec: Student,
    student: Fitted,
    teacher: Teacher,
    lesson: Lesson,
    known: Features,
    table: sparse.csr_array,
    topics: int,
    shifted: Mapping[str, Sequence[str]] | None,
    level: float,
    seed: int,
) -> Shift | None:
    """Agreement on topics left out of the fit, and on other corpora; ``None`` of neither."""
    found: Shift | None = None
    if topics:
        found = other_topics(
            spec, table, lesson.targets, features=known, labels=lesson.labels,
            tested=lesson.kinds == 0, groups=lesson.groups, weights=lesson.weights_for(spec),
            texts=lesson.texts, clusters=topics, level=level, seed=seed,
        )  # fmt: skip
    if shifted:
        elsewhere = other_corpora(
            student, teacher, shifted, learnt=lesson.texts, level=level, seed=seed
        )
        found = elsewhere if found is None else found | elsewhere
    return found


def shown_of(student: Fitted, held: Held, texts: Sequence[str], *, control: bool = False) -> Shown:
    """What the frontier shows of a student or a control, timed on some of the texts."""
    return Shown(
        probabilities=held.of(student, "report"),
        reading=0 if control else student.reading_cost.total,
        a_text=None if control else _read_of_one(student, texts[:TIMED]),
        microseconds=median_microseconds(student.predict_proba, texts),
        bytes=len(json.dumps(student.to_json()).encode()) if student.readable else None,
    )


def pace_of(teacher: Teacher, before: tuple[int, float]) -> float | None:
    """Microseconds of the teacher a text, over what this run asked; ``None`` where it asked none."""
    count = teacher.asked - before[0]
    return 1e6 * (teacher.seconds - before[1]) / count if count else None


def _read_of_one(student: Fitted, texts: Sequence[str]) -> float:
    """Words and numbers of what a student goes by in one text, the mean over some."""
    found = [student.explain(text).evidence for text in texts]
    return sum(len(e.says.split()) + 1 for own in found for e in own) / len(found)
