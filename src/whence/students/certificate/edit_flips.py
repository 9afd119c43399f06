"""Whether a student follows its teacher when a text is edited."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np

from whence.students.certificate.fidelity import Flips, flips
from whence.students.data.augmentation import EDITS, edited
from whence.students.data.collect import ask_readable
from whence.students.data.run import Run
from whence.students.data.training_set import HoldOut
from whence.students.families.base import Fitted

__all__ = ["flips_on_edits"]


def flips_on_edits(
    fitted: Fitted, holdout: HoldOut, run: Run, *, learnt: AbstractSet[str], most: int
) -> dict[str, Flips]:
    """Flip-recall and flip-precision on edited ``certify`` texts, by family of edits.

    An edit that was learnt from is no new text, and one that is longer than the teacher reads has
    no answer; both are left out.

    Cost: one pass an edit, of ``most`` texts in each family.

    Args:
        fitted: student.
        holdout: parts held out.
        run: teacher, level of the bounds, and seed of the edits.
        learnt: texts of the training set.
        most: texts that are edited; drawn at random where there are more.
    """
    certify, seed = holdout.parts.certify, run.terms.seed
    rows = certify
    if most < len(rows):
        # Drawn and not the first ones: texts often come ordered by source or date.
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    parents: list[int] = rows.tolist()
    teacher = holdout.answers("certify").top
    student = holdout.of(fitted, "certify").argmax(axis=1).astype(np.int64)
    result: dict[str, Flips] = {}
    for family in EDITS:
        edits = edited(holdout.all_texts, parents, family=family, seed=seed)
        edits = [edit for edit in edits if edit.text not in learnt]
        readable, answers = ask_readable(run, [e.text for e in edits], f"edits ({family})")
        edits = [edits[row] for row in readable]
        # Rows of a part are ascending, so the place of a parent in its part is found by bisection;
        # decisions before the edit are then known without asking again.
        place = np.searchsorted(certify, [edit.parent for edit in edits])
        chances = fitted.predict_proba([e.text for e in edits], answers.read_to.tolist())
        after = chances.argmax(axis=1).astype(np.int64)
        result[family] = flips(
            (teacher[place], answers.top), (student[place], after), level=run.terms.level
        )
    return result
