"""A student that runs with NumPy alone, one text at a time.

Nothing here imports SciPy, pydantic or a model library, so that it starts fast and fits beside
whatever calls it; jaxtyping, whose import takes as long as NumPy's, is left out too, so shapes are
said in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np

from whence.students.export.model_file import read_tree, refuse
from whence.students.families.scorers.common import Scorer
from whence.students.features.word_features import WordFeatures

__all__ = ["SCORERS", "Decision", "Runtime"]

SCORERS = "whence.students.families.scorers"
"""Package with a file for each kind; the file of a kind is imported when a student needs it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decision:
    """What a student decided of one text.

    Attributes:
        label: most probable label; the first of equals.
        probabilities: probability of each label, in their order; 64-bit numbers.
        found: features of the student that the text has, as a reader sees them.
    """

    label: str
    probabilities: np.ndarray
    found: tuple[str, ...]


class Runtime:
    """A stored student that decides as it did when it was fitted.

    The label is the same, and so are the probabilities, up to 1e-12. Cost: finding the words of
    the text, and one addition or question for each feature found; no model is called. A family
    without a scorer of its own decides as the fitted student, which needs SciPy.

    Args:
        tree: stored form of a student, as its ``to_json`` gives it.

    Raises:
        RecordError: no valid student, or a kind that this whence does not know.

    Example:
        >>> rules = {"kind": "rule-list", "labels": ["accept", "reject"],
        ...          "features": {"longest": 1, "negation": False, "position": False,
        ...                       "lexicons": {}, "features": [["ngram", "late", 1]]},
        ...          "rules": [[[[0, True]], [0.1, 0.9], 12.0], [[], [0.8, 0.2], 40.0]]}
        >>> decision = Runtime(rules).decide("Paid LATE.")
        >>> decision.label, decision.probabilities.tolist(), decision.found
        ('reject', [0.1, 0.9], ("'late'",))
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        kind = self.kind = tree.get("kind")
        scorer = _scorer(kind)
        try:
            self.labels = tuple(str(label) for label in tree["labels"])
            self.features = WordFeatures.from_json(tree["features"])
            self._score = scorer(tree, self.features, len(self.labels))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            from whence.core.errors import RecordError

            if isinstance(error, RecordError):
                raise
            raise RecordError(
                f"no valid student of kind {kind!r}: {type(error).__name__} {error}"
            ) from error

    @classmethod
    def load(cls, folder: str | Path) -> Runtime:
        """The student in a folder that :func:`whence.students.export.store.save_student` wrote.

        Raises:
            RecordError: missing, damaged, or not valid.
            NewerVersionError: written by a newer whence.
        """
        return cls(read_tree(folder))

    def decide(self, text: str) -> Decision:
        """The student's label and probabilities of one text."""
        columns = self.features.of(text)
        chances = self._score(columns)
        result = tuple(self.features.describe(column) for column in columns)
        return Decision(
            label=self.labels[int(chances.argmax())], probabilities=chances, found=result
        )

    def __repr__(self) -> str:
        return f"Runtime({self.kind!r}, {len(self.features)} features)"


def _scorer(kind: Any) -> Scorer:
    """The scorer of a kind: that of its own file, or else the fitted student."""
    # The kind comes from a file and becomes the name of a module: letters and single hyphens only,
    # so that nothing else can be imported.
    if isinstance(kind, str) and re.fullmatch("[a-z]+(-[a-z]+)*", kind):
        name = f"{SCORERS}.{kind.replace('-', '_')}"
        if find_spec(name) is not None:
            return import_module(name).scorer
        from whence.students.families.registry import FITTED

        if kind in FITTED and FITTED[kind].readable:
            return import_module(f"{SCORERS}.fitted").scorer
    names = {module.name for module in iter_modules(import_module(SCORERS).__path__)}
    known = sorted(name.replace("_", "-") for name in names - {"common", "fitted"})
    return refuse(f"a student of kind {kind!r} has no runtime; these have: {', '.join(known)}")
