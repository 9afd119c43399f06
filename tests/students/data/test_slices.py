import numpy as np
import pytest

from whence.core.errors import InputError
from whence.students.data.applicability_domain import unknown_token_rate
from whence.students.data.slices import given_slices, text_slices
from whence.students.teacher.teacher import Answers

TEXTS = ["paid late", "paid but not late, never again", "never seen before this"]


def answers(values):
    return Answers(
        labels=("no", "yes"), gives="probability", values=np.array(values),
        read_to=np.array([len(t) for t in TEXTS]),
    )  # fmt: skip


def test_slices_by_what_stands_in_the_text():
    known = frozenset(["paid", "late", "but", "not", ",", "never", "again"])
    found = text_slices(TEXTS, answers([[0.6, 0.4], [0.05, 0.95], [0.2, 0.8]]), known)
    assert found["with a word of denial"].tolist() == [False, True, True]
    assert found["with a word of contrast"].tolist() == [False, True, False]
    assert found["a tenth or more of the words and marks never seen"].tolist() == [
        False,
        False,
        True,
    ]
    assert found["teacher unsure (below 0.7)"].tolist() == [True, False, False]
    assert found["teacher sure (0.9 and above)"].tolist() == [False, True, False]
    assert found["at most 4 words and marks"].tolist() == [True, False, True]
    assert (found["at most 4 words and marks"] ^ found["more than 4 words and marks"]).all()


def test_marks_of_the_caller_are_one_a_text():
    found = given_slices({"old": [True, False, True]}, [0, 2], 3)
    assert found["old"].tolist() == [True, True]
    with pytest.raises(InputError, match="2 marks for 3 texts"):
        given_slices({"old": [True, False]}, [0], 3)


def test_what_is_never_seen_is_measured_as_by_the_reach():
    known = frozenset(["paid", "late", "but", "not", "never", "again", "before", "this", "seen"])
    found = text_slices(TEXTS, answers([[0.6, 0.4], [0.05, 0.95], [0.2, 0.8]]), known)
    # One mark of seven words and marks; no word of it is strange.
    strange = found["a tenth or more of the words and marks never seen"]
    assert strange.tolist() == [unknown_token_rate(text, known) >= 0.1 for text in TEXTS]
    assert strange.tolist() == [False, True, False]
