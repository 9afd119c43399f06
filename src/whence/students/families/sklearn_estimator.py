"""A student as scikit-learn knows classifiers, for its pipelines, searches and cross-validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from whence.core.errors import InputError, OptionError, UndefinedError
from whence.students.families.base import Fitted, Student
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures

__all__ = ["StudentClassifier"]


class StudentClassifier:
    """A classifier of texts that can be read: a student and the features it may use.

    Follows the conventions of scikit-learn without importing it. ``X`` are the texts themselves,
    so a pipeline needs no vectoriser before it. ``y`` are the names a teacher gave, or its
    probabilities, one column for each of ``labels``: the student then learns how sure it was.
    Nothing is certified here: :func:`whence.distill` splits, chooses and certifies.

    Settings of the student and the features are reached as ``student__features`` or
    ``features__longest``, in ``set_params`` and so in searches.

    Args:
        student: student to fit; :class:`SparseLinear` by default.
        features: features to learn from; :class:`ReadableFeatures` by default.
        labels: labels of the columns of a ``y`` of probabilities.

    Attributes:
        classes_: labels in the order of the columns of ``predict_proba``; names in ``y`` are
            sorted.
        student_: fitted student; it explains itself, and can be written as text and JSON.

    Example:
        >>> texts = ["paid late", "paid", "late again", "paid well"] * 10
        >>> model = StudentClassifier(student=SparseLinear(features=2))
        >>> model = model.fit(texts, ["refuse", "pay", "refuse", "pay"] * 10)
        >>> model.predict(["very late"]).tolist(), model.score(texts, ["pay"] * 40)
        (['refuse'], 0.5)
        >>> model.set_params(student__features=1).get_params()["student__features"]
        1
        >>> model.student_.explain("too late").evidence[0].says
        "'late'"
    """

    # What scikit-learn before 1.6 asks, which knows no tags.
    _estimator_type: ClassVar[str] = "classifier"

    classes_: np.ndarray
    student_: Fitted

    def __init__(
        self,
        student: Student | None = None,
        features: ReadableFeatures | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        # Kept as given: scikit-learn clones by giving a copy of each to a new object.
        self.student = student
        self.features = features
        self.labels = labels

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings; with ``deep`` those of the student and the features too."""
        result: dict[str, Any] = {
            "student": self.student, "features": self.features, "labels": self.labels,
        }  # fmt: skip
        if deep:
            for part, settings in self._parts().items():
                for field in dataclasses.fields(settings):
                    result[f"{part}__{field.name}"] = getattr(settings, field.name)
        return result

    def set_params(self, **params: Any) -> StudentClassifier:
        """Change settings; those given whole come before those inside them.

        Raises:
            OptionError: no such setting.
        """
        # A search may set student and student__features at once, in any order of its keywords: the
        # second is a setting of the first and must not be overwritten by it.
        known = self.get_params(deep=False)
        for name in [name for name in params if "__" not in name]:
            if name not in known:
                raise OptionError(f"no setting {name!r}; there are: {', '.join(known)}")
            setattr(self, name, params[name])
        for name, value in params.items():
            part, inside, setting = name.partition("__")
            if not inside:
                continue
            parts = self._parts()
            fields = [f.name for f in dataclasses.fields(parts[part])] if part in parts else []
            if setting not in fields:
                raise OptionError(
                    f"no setting {name!r}; there are: {', '.join(self.get_params(deep=True))}"
                )
            changes: dict[str, Any] = {setting: value}
            # A student is frozen and may be shared with the estimator that this is a clone of.
            setattr(self, part, dataclasses.replace(parts[part], **changes))
        return self

    def _parts(self) -> dict[str, Student | ReadableFeatures]:
        """The student and the features that are used, the defaults where none were given."""
        return {
            "student": SparseLinear() if self.student is None else self.student,
            "features": ReadableFeatures() if self.features is None else self.features,
        }

    def fit(self, X: Iterable[str], y: Any, sample_weight: Any = None) -> StudentClassifier:
        """Learn.

        Args:
            X: texts.
            y: label of each text, or its probabilities of ``labels``.
            sample_weight: weight of each text; all equal by default.

        Raises:
            InputError: no texts, entries that are none, or a ``y`` that does not fit them.
            OptionError: probabilities without ``labels``.
        """
        texts = _texts(X)
        classes, targets = self._targets(y, len(texts))
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        student = SparseLinear() if self.student is None else self.student
        spec = ReadableFeatures() if self.features is None else self.features
        known = spec.learn(texts)
        # Students name labels by text; classes_ keeps what y held, such as numbers.
        names = [str(label) for label in classes.tolist()]
        self.student_ = student.learn(
            known.table(texts), targets, features=known, labels=names, weights=weights, texts=texts
        )
        self.classes_ = classes
        return self

    def _targets(self, y: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The labels and a probability for each text and label."""
        array = np.asarray(y)
        if array.ndim not in (1, 2) or len(array) != count:
            raise InputError(
                f"expected one label or one row of probabilities for each of {count} texts, got y of "
                f"shape {array.shape}"
            )
        if array.ndim == 1:
            classes, index = np.unique(array, return_inverse=True)
            if len(classes) < 2:
                raise InputError(
                    f"y names {len(classes)} label; a student is fitted to two or more"
                )
            return classes, np.eye(len(classes))[index]
        if self.labels is None:
            raise OptionError(
                f"y holds probabilities of {array.shape[1]} labels without their names; give "
                "StudentClassifier(labels=[...]), in the order of the columns"
            )
        return np.array(list(self.labels)), array.astype(np.float64)

    def predict_proba(self, X: Iterable[str]) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of ``classes_``."""
        return self._learnt().predict_proba(_texts(X))

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The most probable label of each text; the first of equals."""
        result = self.predict_proba(X).argmax(axis=1)
        return self.classes_[result]

    def score(self, X: Iterable[str], y: Any, sample_weight: Any = None) -> float:
        """Share of the texts for which the label, or the most probable one of ``y``, is found."""
        result = self.predict(X)
        labels = np.asarray(y)
        if labels.ndim == 2:
            labels = self.classes_[labels.argmax(axis=1)]
        if len(labels) != len(result):
            raise InputError(f"{len(labels)} labels came with {len(result)} texts")
        return float(np.average(result == labels, weights=sample_weight))

    def _learnt(self) -> Fitted:
        if not hasattr(self, "student_"):
            raise UndefinedError("this StudentClassifier has not been fitted; call fit first")
        return self.student_

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator since 1.6; only it calls this."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=False, string=True),
        )

    def __repr__(self) -> str:
        settings = {k: v for k, v in self.get_params(deep=False).items() if v is not None}
        return f"StudentClassifier({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


def _texts(entries: Iterable[str]) -> list[str]:
    # A text is iterable too, and would be fitted as a list of its characters.
    if isinstance(entries, str):
        raise InputError("expected a list of texts, got one text; put it into a list")
    texts = list(entries)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"expected texts in X, got {type(text).__name__} at entry {row}")
    if not texts:
        raise InputError("no texts were given")
    return texts
