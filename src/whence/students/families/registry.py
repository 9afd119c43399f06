"""Every family of readable students, by name; a new one is a file and a line here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from whence.core.errors import OptionError, unknown
from whence.students.families.additive import Additive
from whence.students.families.base import Student
from whence.students.families.decision_tree import SmallTree
from whence.students.families.optimal_tree import OptimalTree
from whence.students.families.prototypes import Prototypes
from whence.students.families.rule_list import RuleList
from whence.students.families.scorecard import Scorecard
from whence.students.families.sparse_linear import SparseLinear
from whence.students.families.tree_ensemble import TreeSum

__all__ = ["STUDENTS", "student_by_name", "students_for"]

STUDENTS: Mapping[str, tuple[Callable[..., Student], str]] = MappingProxyType(
    {
        "linear": (SparseLinear, "features"),
        "scorecard": (Scorecard, "features"),
        "rules": (RuleList, "rules"),
        "tree": (SmallTree, "leaves"),
        "treesum": (TreeSum, "splits"),
        "cases": (Prototypes, "cases"),
        "additive": (Additive, "columns"),
        "optimal-tree": (OptimalTree, "depth"),
    }
)
"""Family to its class and the setting that is its size; a name is both: ``rules-10``."""

_NAME = re.compile(r"(?P<family>[a-z-]+?)(?:-(?P<size>\d+))?")


def student_by_name(name: str) -> Student:
    """The student of a family and size; of a family alone, as it is by default.

    Raises:
        UnknownNameError: no such family.
        OptionError: no such name.

    Example:
        >>> student_by_name("rules-7")
        RuleList(rules=7, conditions=2, least_texts=5, least_gain=0.001)
    """
    if name.strip() == "linear-all":
        return SparseLinear(features=None)
    match = _NAME.fullmatch(name.strip())
    if match is None:
        raise OptionError(f"student {name!r} asked; a family and a size such as rules-10 are due")
    family, size = match["family"], match["size"]
    if family not in STUDENTS:
        raise unknown("family of students", family, STUDENTS)
    kind, setting = STUDENTS[family]
    return kind() if size is None else kind(**{setting: int(size)})


def students_for(labels: int) -> tuple[Student, ...]:
    """The readable students that are fitted where none are named."""
    linear = tuple(SparseLinear(features=k) for k in (10, 30, 100, 300))
    cards = (Scorecard(features=15),) if labels == 2 else ()
    return (*linear, *cards, RuleList(rules=10), SmallTree(leaves=16), TreeSum(splits=12))
