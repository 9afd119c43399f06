"""Slices of texts on which agreement is told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import InputError
from whence.students.data.applicability_domain import unmet_share
from whence.students.features.tokenizer import denies, words
from whence.students.teacher.teacher import Answers

__all__ = ["CONTRASTS", "own_slices", "slices_of"]

CONTRASTS = frozenset(
    [
        "although",
        "but",
        "despite",
        "except",
        "however",
        "than",
        "though",
        "unless",
        "whereas",
        "yet",
    ]
)
"""English words that turn what was said."""

UNSURE, SURE = 0.7, 0.9
"""Probabilities of the teacher's decision below and from which it is called unsure and sure."""


def slices_of(
    texts: Sequence[str], answers: Answers, known: AbstractSet[str]
) -> dict[str, Bool[np.ndarray, " texts"]]:
    """Texts by length, denial, contrast, words never learnt from, and certainty of the teacher.

    Args:
        texts: as the teacher read them.
        answers: the teacher's.
        known: words and marks that were learnt from; see :class:`whence.students.data.applicability_domain.Reach`.
    """
    said = [words(text) for text in texts]
    length = np.array([len(own) for own in said])
    middle = float(np.median(length)) if len(length) else 0.0
    strange: Float[np.ndarray, " texts"] = np.array([unmet_share(t, known) for t in texts])
    found = {
        f"at most {middle:g} words and marks": length <= middle,
        f"more than {middle:g} words and marks": length > middle,
        "with a word of denial": np.array([any(map(denies, own)) for own in said], dtype=np.bool_),
        "with a word of contrast": np.array(
            [not CONTRASTS.isdisjoint(own) for own in said], dtype=np.bool_
        ),
        "a tenth or more of the words and marks never seen": strange >= 0.1,
    }
    if answers.soft:
        certain = answers.probabilities.max(axis=1)
        found[f"teacher unsure (below {UNSURE})"] = certain < UNSURE
        found[f"teacher sure ({SURE} and above)"] = certain >= SURE
    return found


def own_slices(
    slices: Mapping[str, Sequence[bool]], rows: Sequence[int], texts: int
) -> dict[str, Bool[np.ndarray, " texts"]]:
    """The caller's own slices on some rows.

    Raises:
        InputError: a slice that is not one mark a text.
    """
    found: dict[str, Bool[np.ndarray, " texts"]] = {}
    for name, marks in slices.items():
        if len(marks) != texts:
            raise InputError(
                f"slice {name!r} has {len(marks)} marks for {texts} texts; one each is due"
            )
        found[name] = np.array([bool(marks[row]) for row in rows], dtype=np.bool_)
    return found
