"""The first stage: inputs checked, questions planned and texts split, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Int

from whence.core.errors import InputError, OptionError
from whence.core.record import without_surrogates
from whence.students.certificate.check_options import Checks
from whence.students.data.inputs import gold_indices, students_named
from whence.students.data.near_duplicates import SIMILAR
from whence.students.data.query_budget import Budget, QueryPlan, plan_queries
from whence.students.data.run import Run
from whence.students.data.slices import given_slices
from whence.students.data.split import Split, split
from whence.students.families.base import Student
from whence.students.families.registry import students_for
from whence.students.families.transformer import Transformer
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.teacher.teacher import Teacher, checked_texts

__all__ = ["Inputs", "Plan", "make_plan"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Inputs:
    """What a caller gives beside the teacher, as it was given; see :func:`whence.distill`."""

    texts: Iterable[str]
    gold: Iterable[str] | None = None
    students: Sequence[Student | str] | None = None
    features: ReadableFeatures | None = None
    budget: Budget = field(default_factory=Budget)
    checks: Checks = field(default_factory=Checks)
    compact: Transformer | None = None
    shifted: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    slices: Mapping[str, Sequence[bool]] = field(default_factory=dict[str, Sequence[bool]])
    near_duplicates: float = SIMILAR
    least_texts: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Plan:
    """All that is fixed before the teacher is asked.

    Attributes:
        run: teacher, terms and progress.
        texts: texts that are asked.
        rows: row of each among the caller's texts; all where the budget allows.
        gold: indices of their true labels.
        slices: marks of them, by the caller's name.
        students: students to fit.
        spec: features that a choice starts from: those given, or words and pairs of words.
        chooses_features: whether others are tried beside them.
        compact: small transformer to fit beside them.
        shifted: texts of other corpora, by name.
        checks: checks that ask the teacher nothing.
        queries: questions of each kind, at most.
        split: part and group of near-duplicates of each text.
    """

    run: Run
    texts: list[str]
    rows: tuple[int, ...]
    gold: Int[np.ndarray, " texts"] | None
    slices: dict[str, Bool[np.ndarray, " texts"]]
    students: tuple[Student, ...]
    spec: ReadableFeatures
    chooses_features: bool
    compact: Transformer | None
    shifted: Mapping[str, Sequence[str]]
    checks: Checks
    queries: QueryPlan
    split: Split


def make_plan(run: Run, inputs: Inputs) -> Plan:
    """Check the inputs, plan the questions, and split the texts.

    What can be refused is refused here, before the teacher is asked, and perhaps paid.

    Raises:
        InputError: too few distinct texts, texts without a feature in common, gold labels or
            slices that do not fit, a corpus without a text, or a name with half a surrogate pair.
        OptionError: a setting that no student can be fitted with, or a budget that is too small.
    """
    labels = run.teacher.labels
    texts = checked_texts(inputs.texts)
    gold = None if inputs.gold is None else gold_indices(inputs.gold, labels, len(texts))
    given = inputs.students
    students = students_for(len(labels)) if given is None else students_named(given)
    _check_names(inputs, run.teacher)
    _check_settings(students, inputs, run.teacher)
    spec = _spec(inputs)
    queries = plan_queries(len(texts), inputs.budget)
    rows = np.arange(len(texts))
    if queries.texts < len(texts):
        order = np.random.default_rng(run.terms.seed).permutation(rows)
        # In the caller's order again: the split shuffles with a draw of its own, and rows in a
        # record stay readable.
        rows = np.sort(order[: queries.texts])
    chosen: list[int] = rows.tolist()
    slices = given_slices(inputs.slices, chosen, len(texts))
    asked = [texts[row] for row in chosen]
    plan = Plan(
        run=run,
        texts=asked,
        rows=tuple(chosen),
        gold=None if gold is None else gold[rows],
        slices=slices,
        students=tuple(students),
        spec=spec,
        chooses_features=inputs.features is None,
        compact=inputs.compact,
        shifted=inputs.shifted,
        checks=inputs.checks,
        queries=queries,
        split=_split(asked, len(texts), inputs, run.terms.seed),
    )
    # Texts without a feature in common are refused by this.
    fit: list[int] = plan.split.fit.tolist()
    plan.spec.learn([asked[row] for row in fit])
    return plan


def _check_names(inputs: Inputs, teacher: Teacher) -> None:
    """Refuse names that no record can store: the run would fail when it is saved."""
    lexicons = {} if inputs.features is None else inputs.features.lexicons
    names = {
        "name of the teacher": [teacher.ref],
        "label": teacher.labels,
        "name of a slice": inputs.slices,
        "name of a corpus": inputs.shifted,
        "name of a lexicon": lexicons,
        "word of a lexicon": [word for words in lexicons.values() for word in words],
    }
    for what, texts in names.items():
        for text in texts:
            if without_surrogates(text) != text:
                raise InputError(
                    f"the {what} {text!r} holds half a surrogate pair; mend its encoding"
                )


def _check_settings(students: Sequence[Student], inputs: Inputs, teacher: Teacher) -> None:
    for student in students:
        student.check(teacher.labels)
    compact = inputs.compact
    if compact is not None:
        compact.check(teacher.labels)
        if (compact.hidden_weight or compact.attention_weight) and teacher.model is None:
            raise OptionError(
                f"{compact.name} matches the layers of its teacher: expected a loaded model, got "
                f"{teacher.ref}; leave hidden_weight and attention_weight at 0"
            )
    for name, texts in inputs.shifted.items():
        if not checked_texts(texts):
            raise InputError(f"expected one text or more in corpus {name!r} of shifted=, got none")


def _spec(inputs: Inputs) -> ReadableFeatures:
    spec = ReadableFeatures() if inputs.features is None else inputs.features
    if inputs.least_texts is not None:
        spec = replace(spec, least_texts=inputs.least_texts)
    spec.check()
    return spec


def _split(texts: Sequence[str], given: int, inputs: Inputs, seed: int) -> Split:
    try:
        return split(texts, threshold=inputs.near_duplicates, seed=seed)
    except InputError as error:
        if len(texts) == given:
            raise
        raise OptionError(
            f"queries={inputs.budget.queries} leave room for {len(texts)} of {given} texts, and too few "
            f"of these differ: {error}. Or allow more queries."
        ) from error
