"""The families of students, as the files of this folder define them: a new family is one file."""

from __future__ import annotations

import re

from whence.core.errors import CapabilityError, OptionError, RecordError, unknown
from whence.core.registry import Registry, by_name
from whence.students.families.base import Fitted, Student

__all__ = [
    "FAMILIES",
    "FITTED",
    "fitted_class",
    "readable_families",
    "student_by_name",
    "students_for",
    "tie_key",
]

FAMILIES: Registry[Student] = Registry(
    "family of students", Student, ["whence.students.families"], key=lambda cls: cls.family()
)
"""Family to the class of its hyper-parameters."""

FITTED: Registry[Fitted] = Registry(
    "kind of student", Fitted, ["whence.students.families"], key=lambda cls: cls.kind
)
"""Stored kind to the class of the fitted student."""

# The family is matched lazily: greedily it would take the "-all" of sparse-linear-all with it. The
# x in a size is that of transformer-2x128.
_NAME = re.compile(r"(?P<family>[a-z-]+?)(?:-(?P<size>\d[\dx]*|all))?")


def student_by_name(name: str) -> Student:
    """The student of a family and size, or of a family alone with its default size.

    Names of earlier versions (``linear``, ``rules``, ``tree``, ``treesum``, ``cases``) stand for
    the families of today.

    Args:
        name: family, or family and size such as ``"rule-list-10"``.

    Raises:
        OptionError: no such family or size, or a family that nobody can read.

    Example:
        >>> student_by_name("rule-list-7")
        RuleList(rules=7, conditions=2, least_texts=5, least_gain=0.001)
        >>> student_by_name("rules-7").name
        'rule-list-7'
    """
    match = _NAME.fullmatch(name.strip())
    if match is None:
        raise OptionError(
            f"expected a family of students and a size, such as rule-list-10, got {name!r}"
        )
    family, size = match["family"], match["size"]
    aliases = [(alias, cls) for cls in FAMILIES.values() for alias in cls.aliases]
    cls = by_name(FAMILIES.kind, [*FAMILIES.items(), *aliases]).get(family)
    if cls is None:
        names = [*readable_families(), *(alias for alias, _ in aliases)]
        raise unknown(FAMILIES.kind, family, names)
    if not cls.readable:
        raise OptionError(
            f"a {family} cannot be read, so it is no student by name; ask for one beside the "
            "students, with compact=Transformer() or --compact"
        )
    return cls() if size is None else cls.of_size(size)


def readable_families() -> list[str]:
    """Names of the families in the catalogue."""
    return [family for family, cls in FAMILIES.items() if cls.readable]


def tie_key(name: str) -> str:
    """What decides between students that are equal in all else: their names in alphabetical order.

    A family that was renamed keeps its place in that order by its first earlier name: otherwise
    another student would be chosen, and certified, for no reason but its name.

    Args:
        name: name of a student.

    Example:
        >>> tie_key("sparse-linear-30-signed"), tie_key("optimal-tree-3")
        ('linear-30-signed', 'optimal-tree-3')
    """
    for family, cls in FAMILIES.items():
        if cls.aliases and name.startswith(f"{family}-"):
            return cls.aliases[0] + name.removeprefix(family)
    return name


def students_for(labels: int) -> tuple[Student, ...]:
    """The readable students that are fitted where the user names none.

    Args:
        labels: number of labels; families that do not take so many are left out.
    """
    students = [cls.of_size(str(size)) for cls in FAMILIES.values() for size in cls.default_sizes]
    return tuple(student for student in students if _takes(student, labels))


def _takes(student: Student, labels: int) -> bool:
    try:
        student.check([str(label) for label in range(labels)])
    except CapabilityError:
        return False
    return True


def fitted_class(kind: str) -> type[Fitted]:
    """The class of a stored kind.

    Raises:
        RecordError: no such kind.

    Example:
        >>> fitted_class("rule-list").__name__
        'FittedRuleList'
    """
    # Controls and transformers have a kind too, but no stored form that could be read.
    kinds = {name: cls for name, cls in FITTED.items() if cls.readable}
    if kind not in kinds:
        raise RecordError(
            f"expected a student of a kind that this whence knows ({', '.join(kinds)}), got {kind!r}"
        )
    return kinds[kind]
