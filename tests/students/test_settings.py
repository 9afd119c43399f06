"""Settings that no student can be fitted with are refused before the teacher is asked."""

import numpy as np
import pytest
from tests.students import worlds

import whence
from whence.core.errors import CapabilityError, OptionError
from whence.students.families.additive import Additive
from whence.students.families.optimal_tree import OptimalTree
from whence.students.families.sparse_linear import SparseLinear
from whence.students.families.tree_sum import TreeSum
from whence.students.teacher.teacher import Teacher

OUT_OF_RANGE = [
    (Additive(pairs=0), "SparseLinear"),
    (Additive(columns=1), "columns=1"),
    (Additive(strength=0.0), "strength=0"),
    (Additive(least_texts=0), "least_texts=0"),
    (OptimalTree(depth=9), "depth=9"),
    (OptimalTree(least_texts=0), "least_texts=0"),
    (TreeSum(splits=0), "splits=0"),
    (TreeSum(least_gain=-1.0), "least_gain=-1"),
    (SparseLinear(features=0), "features=0"),
    (SparseLinear(strength=0.0), "strength=0"),
    (SparseLinear(mixing=1.5), "mixing=1.5"),
    (SparseLinear(signs={"'late'": 2}), "1 or -1"),
]


@pytest.mark.parametrize(("student", "says"), OUT_OF_RANGE)
class TestOutOfRange:
    def test_nothing_is_asked(self, student, says):
        texts = worlds.texts(320)
        model = whence.load(
            lambda asked: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in asked],
            labels=["accept", "reject"],
        )
        teacher = Teacher.of(model, gives="probability", version="1")
        with pytest.raises(OptionError, match=says):
            whence.distill(teacher, texts, students=[student])
        assert teacher.asked == 0

    def test_nor_is_it_fitted(self, student, says):
        table, features = worlds.table(20, 5)
        with pytest.raises(OptionError, match=says):
            student.fit(
                table, np.full((20, 2), 0.5), features=features, labels=("accept", "reject")
            )


def test_signs_are_of_two_labels():
    with pytest.raises(CapabilityError, match="3 labels"):
        SparseLinear(signs={"'late'": 1}).check(("a", "b", "c"))
