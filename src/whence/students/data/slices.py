"""Slices of texts: subsets whose agreement is measured apart."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import InputError
from whence.students.data.applicability_domain import unknown_token_rate
from whence.students.features.tokenizer import denies, words
from whence.students.teacher.teacher import Answers

__all__ = ["CONTRASTS", "given_slices", "text_slices"]

CONTRASTS = frozenset(
    ["although", "but", "despite", "except", "however", "than", "though", "unless", "whereas", "yet"]
)  # fmt: skip
"""English words that turn what was said. Chosen by hand."""

UNSURE, SURE = 0.7, 0.9
"""Probabilities of the teacher's decision below and from which it is called unsure and sure.
Chosen by hand; not calibrated."""

UNKNOWN = 0.1
"""Share of a text's words and marks that no training text has, from which on it is in a slice.
Chosen by hand; not calibrated."""


def text_slices(
    texts: Sequence[str], answers: Answers, vocabulary: Container[str]
) -> dict[str, Bool[np.ndarray, " texts"]]:
    """Texts by length, denial, contrast, words never learnt from, and certainty of the teacher.

    Args:
        texts: texts as far as the teacher read them.
        answers: answers of the teacher to them.
        vocabulary: words and marks of the training texts; see
            :mod:`whence.students.data.applicability_domain`.
    """
    split = [words(text) for text in texts]
    length = np.array([len(tokens) for tokens in split])
    # Cut at the median of these texts: both halves are as large as they can be, and so are
    # their bounds' n.
    middle = float(np.median(length)) if len(length) else 0.0
    unknown: Float[np.ndarray, " texts"] = np.array(
        [unknown_token_rate(t, vocabulary) for t in texts]
    )
    result = {
        f"at most {middle:g} words and marks": length <= middle,
        f"more than {middle:g} words and marks": length > middle,
        "with a word of denial": np.array(
            [any(map(denies, tokens)) for tokens in split], dtype=np.bool_
        ),
        "with a word of contrast": np.array(
            [not CONTRASTS.isdisjoint(tokens) for tokens in split], dtype=np.bool_
        ),
        "a tenth or more of the words and marks never seen": unknown >= UNKNOWN,
    }
    if answers.soft:
        certainty = answers.probabilities.max(axis=1)
        result[f"teacher unsure (below {UNSURE})"] = certainty < UNSURE
        result[f"teacher sure ({SURE} and above)"] = certainty >= SURE
    return result


def given_slices(
    slices: Mapping[str, Sequence[bool]], rows: Sequence[int], texts: int
) -> dict[str, Bool[np.ndarray, " rows"]]:
    """The caller's slices on some rows.

    Raises:
        InputError: a slice that is not one mark a text.
    """
    result: dict[str, Bool[np.ndarray, " rows"]] = {}
    for name, marks in slices.items():
        if len(marks) != texts:
            raise InputError(
                f"slice {name!r}: expected one mark a text, got {len(marks)} marks for {texts} texts"
            )
        result[name] = np.array([bool(marks[row]) for row in rows], dtype=np.bool_)
    return result
