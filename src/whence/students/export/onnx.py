"""A student as an ONNX model over words, kept only where it decides as the student does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whence.core.errors import CapabilityError, InputError
from whence.core.files import write_atomic
from whence.students.export.model_file import digest
from whence.students.families.base import Fitted
from whence.students.features.tokenizer import words
from whence.students.features.word_features import EDGE, Feature, WordFeatures
from whence.students.formats.onnx_graph import Graph, modules

__all__ = ["PROBES", "TOLERANCE", "export_onnx"]

# Rounding of sums in 64 bits moves a probability by some 1e-15, a feature that was missed by far
# more in nearly every student. Chosen by hand between the two.
TOLERANCE = 1e-5
"""Difference of a probability at which an export is refused."""

# Where exports of text pipelines went wrong: a text without a word; one letter, and accents, of
# which skl2onnx makes other words than scikit-learn; signs of several code points; letters whose
# small form is longer; 14,000 words.
PROBES = (
    "",
    "a",
    "é",
    "👍🏽 👩‍👩‍👧",
    "Naïve\u0301 café, İstanbul’s Straße — 日本 מאוחר",
    "a few words, then others; " * 2000,
)
"""Texts whose answers are compared whatever other texts are given."""


def export_onnx(student: Fitted, path: str | Path, texts: Sequence[str]) -> Path:
    """Write a student as an ONNX model, after comparing the two on some texts.

    ONNX has no tokenizer of ours, so the input is the words of one text as
    :func:`whence.students.features.tokenizer.words` splits them; they are looked up by the standard operator
    ``TfIdfVectorizer`` and no text needs more than one pass. All sums are of 64-bit numbers. On
    each text, and on :data:`PROBES`, ONNX Runtime must give the same label, and every probability
    within 1e-5; otherwise nothing is written. What is stored is a model, not the certificate.

    Args:
        student: linear, additive, a scorecard, a rule list, a tree or a sum of trees.
        path: path of the file, usually ``model.onnx``.
        texts: texts to compare on, such as those of the report part.

    Raises:
        CapabilityError: the extra is not installed, the student is of another kind, a feature is
            no matter of words in a row, or an answer differs; what stood at ``path`` stays.
        InputError: no text to compare on.
        WriteError: the file could not be written.
    """
    if not texts:
        raise InputError("no text given to compare the ONNX model on; give one at least")
    data = _model(student)
    _compare(student, data, [*texts, *PROBES])
    return write_atomic(path, data)


def _compare(student: Fitted, data: bytes, texts: Sequence[str]) -> None:
    runtime = modules()[1]
    # First, for the runtime would fail on it without naming the text.
    for place, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {place} ({text[:60]!r}) holds half a surrogate pair; mend its encoding"
            ) from error
    options = runtime.SessionOptions()
    # One thread adds in one order, so a comparison comes out the same each time; 3 leaves errors
    # alone in the log.
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    expected = student.predict_proba(texts)
    for place, (text, chances) in enumerate(zip(texts, expected, strict=True)):
        label = student.labels[int(chances.argmax())]
        answer, result = session.run(None, {"tokens": np.array(words(text), dtype=object)})
        gap = float(np.abs(result - chances).max())
        # "not at most" where "above" would pass NaN.
        if answer[0] != label or not gap <= TOLERANCE:
            raise CapabilityError(
                f"the ONNX model is not written: on text {place} ({text[:60]!r}) it says "
                f"{answer[0]!r} where the student says {label!r}, and a probability differs by "
                f"{gap:.2g} ({TOLERANCE:g} is allowed)"
            )


def _model(student: Fitted) -> bytes:
    onnx, _ = modules()
    graph = Graph(onnx, len(student.features))
    notes = {"kind": student.kind, "student_sha256": digest(student.to_json())}
    notes.update({f"label_{place}": label for place, label in enumerate(student.labels)})
    try:
        presence = _present(graph, student.features)
        chances = student.to_onnx(graph, presence)
        # An operator that only gives the output its name, whichever the family's last one was.
        chances = graph.add("Identity", chances, output="probabilities")
        top = graph.add("ArgMax", chances, axis=0, keepdims=1)
        graph.add("Gather", graph.texts(student.labels), top, output="label")
        model = graph.model(len(student.labels), notes)
    except UnicodeEncodeError as error:
        raise CapabilityError(
            "a label or feature holds half a surrogate pair, which no ONNX model can carry"
        ) from error
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _present(graph: Graph, features: WordFeatures) -> str:
    """One number a feature: 1 where the text has it; of no feature, a single 0."""
    denied = [f.describe() for f in features.kept if f.kind == "denied"]
    if denied:
        raise CapabilityError(
            f"{len(denied)} features ask what a negation reaches, which no ONNX operator counts: "
            f"{', '.join(denied[:5])}. Distil with ReadableFeatures(negation=False)."
        )
    numeric = [f.describe() for f in features.kept if f.numeric]
    if numeric:
        raise CapabilityError(
            f"{len(numeric)} features are numbers of a text, which no ONNX operator reads: "
            f"{', '.join(numeric[:5])}. Distil with ReadableFeatures(numbers=False)."
        )
    order: list[int] = []
    parts: list[str] = []
    for kind in ("ngram", "first", "last", "lexicon"):
        columns = [j for j, f in enumerate(features.kept) if f.kind == kind]
        if columns:
            chosen = [features.kept[j] for j in columns]
            parts.append(_part(graph, kind, chosen, features))
            order.extend(columns)
    if not parts:
        return graph.constant(np.zeros(1))
    if order == sorted(order) and len(parts) == 1:
        return parts[0]
    # Parts come by kind, columns in the student's order: argsort is the permutation back.
    whole = graph.add("Concat", *parts, axis=0)
    return graph.add("Gather", whole, graph.constant(np.argsort(order)))


def _part(graph: Graph, kind: str, chosen: Sequence[Feature], features: WordFeatures) -> str:
    if kind == "lexicon":
        return _lists(graph, chosen, features)
    source = "tokens"
    if kind != "ngram":
        # Slice counts from the end below 0 and cuts bounds to the text, so short texts need no case
        # of their own.
        ends = (0, EDGE) if kind == "first" else (-EDGE, np.iinfo(np.int64).max)
        bounds = [graph.constant(np.array([end], dtype=np.int64)) for end in ends]
        source = graph.add("Slice", source, *bounds)
    # The operator counts; a feature is there or not.
    counts = graph.counts(source, [feature.words.split(" ") for feature in chosen])
    return graph.double(graph.add("Min", counts, graph.constant(np.ones(1, dtype=np.float32))))


def _lists(graph: Graph, chosen: Sequence[Feature], features: WordFeatures) -> str:
    """Whether enough entries of each list are in the text."""
    # Entries are counted once, and a table of entries by lists adds them up for all lists.
    lists = [set(features.spec.lexicons[feature.words]) for feature in chosen]
    known = sorted(set.union(*lists))
    inside = np.array([[float(entry in entries) for entries in lists] for entry in known])
    counts = graph.double(graph.counts("tokens", [entry.split(" ") for entry in known]))
    result = graph.add("MatMul", counts, graph.constant(inside))
    least = graph.constant(np.array([float(feature.least) for feature in chosen]))
    return graph.double(graph.add("GreaterOrEqual", result, least))
