"""Questions to the teacher once a student is chosen: edits, evidence taken out, small partings."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from whence.students.certificate.attribution_agreement import (
    AttributionAgreement,
    attribution_agreement,
)
from whence.students.certificate.fidelity import Flips, flips
from whence.students.certificate.minimal_disagreement import Parting, parting
from whence.students.data.augmentation import EDITS, edited
from whence.students.data.collect import asked_where_read
from whence.students.data.training_set import Held
from whence.students.families.base import Fitted
from whence.students.teacher.teacher import Teacher

__all__ = ["attributions_within", "flips_of", "parting_within"]

TEXTS = 30
"""Texts whose evidence is taken out, and texts that are searched, at most."""

EACH = 40
"""Questions in search of a parting of one text."""


def flips_of(
    student: Fitted,
    teacher: Teacher,
    texts: Sequence[str],
    held: Held,
    *,
    learnt: AbstractSet[str],
    most: int,
    level: float,
    seed: int,
) -> dict[str, Flips]:
    """Flip-recall and flip-precision on edited ``certify`` texts, by family.

    Cost: one pass an edit, of ``most`` texts in each family.

    Args:
        student: the chosen one.
        teacher: its teacher.
        texts: all texts, as they are.
        held: the parts held out.
        learnt: texts that were learnt from; an edit that is one of them does not count.
        most: parents; drawn at random where there are more.
        level: of the bounds.
        seed: of the edits.
    """
    rows = held.parts.certify
    if most < len(rows):
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    t0 = held.answers("certify").top
    s0 = held.of(student, "certify").argmax(axis=1).astype(np.int64)
    found: dict[str, Flips] = {}
    for family in EDITS:
        made = edited(texts, rows.tolist(), family=family, seed=seed)
        # An edit that was learnt from is no new text, and one that is too long has no answer.
        made = [edit for edit in made if edit.text not in learnt]
        read, answers = asked_where_read(teacher, [edit.text for edit in made])
        made = [made[row] for row in read]
        place = np.searchsorted(held.parts.certify, [edit.parent for edit in made])
        new = [edit.text for edit in made]
        after = student.predict_proba(new, answers.read_to.tolist()).argmax(axis=1)
        found[family] = flips(
            (t0[place], answers.top), (s0[place], after.astype(np.int64)), level=level
        )
    return found


def attributions_within(
    student: Fitted,
    teacher: Teacher,
    texts: Sequence[str],
    *,
    queries: int,
    level: float,
    seed: int,
) -> AttributionAgreement | None:
    """Agreement with the teacher's leave-one-out effects, on as many texts as the questions allow.

    ``None`` where they do not allow one.
    """
    pieces = [sum(bool(e.spans) for e in student.explain(text).evidence) for text in texts]
    most = min(TEXTS, queries // (1 + max(pieces, default=0)))
    if most == 0:
        return None
    return attribution_agreement(student, teacher, texts, most=most, level=level, seed=seed)


def parting_within(
    student: Fitted,
    teacher: Teacher,
    texts: Sequence[str],
    *,
    queries: int,
    level: float,
    seed: int,
) -> Parting | None:
    """Search for small edits that part them, on as many texts as the questions allow.

    ``None`` where they do not allow one.
    """
    most = min(TEXTS, queries // (EACH + 1))
    if most == 0:
        return None
    return parting(
        student, teacher, texts, most=most, budget=EACH, queries=queries, level=level, seed=seed
    )
