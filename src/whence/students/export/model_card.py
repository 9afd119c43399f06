"""The model card: what a student is, what was measured of it, and where it must not be used."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any, cast

from whence.core.errors import OptionError
from whence.core.statistics.proportions import Interval, Proportion
from whence.students.certificate.certificate import Certificate
from whence.students.export.student_card import StudentCard
from whence.students.export.text import inline
from whence.students.families.base import Fitted

__all__ = ["model_card"]

_TERMS = (
    "The terms of service of some hosted models forbid training other models on their outputs. "
    "Whoever uses this student has to find out whether that applies to its teacher."
)

_LIMITS = (
    "Everything measured holds for texts like those it was measured on. It says nothing of other "
    "texts, other languages or other times.",
    "The student imitates the teacher, mistakes included. Agreement with the teacher is not "
    "being right.",
    "A weight, a rule or a question is a habit of the teacher on these texts, not a cause of what "
    "the texts are about.",
    "Another version of the teacher voids the certificate.",
)


def model_card(
    student: Fitted,
    certificate: Certificate,
    origin: StudentCard,
    *,
    written: Sequence[str] = ("model.json",),
    left_out: Mapping[str, str] | None = None,
) -> str:
    """The card in Markdown, every number of the certificate with its n and bounds in it.

    The certificate is rendered field by field, so that one that is added later is shown too.
    Examples in it are texts, word for word.

    Args:
        student: student that is described.
        certificate: measurements of the student.
        origin: teacher, date, parts of the texts and limits.
        written: names of the files beside the card.
        left_out: files that could not be written, and why.

    Raises:
        OptionError: a date that is none.
    """
    try:
        dt.date.fromisoformat(origin.date)
    except ValueError as error:
        raise OptionError(
            f"expected a date such as '2026-01-31', got date={origin.date!r}"
        ) from error
    sections = [
        f"# {_line(origin.name)}",
        _what(student, origin),
        f"## Verdict\n\n**{certificate.verdict}**: {_line(certificate.because)}.",
        _measured(certificate),
        _texts(origin),
        _limits(student, origin),
        f"## Terms\n\n{_TERMS}",
        _run(written, left_out or {}),
    ]
    return "\n\n".join(sections) + "\n"


def _what(student: Fitted, origin: StudentCard) -> str:
    cost, fingerprint = student.reading_cost, origin.fingerprint
    known = "none: it is a function without a version, and cannot be told from another"
    rows = [
        ("Kind", student.kind),
        ("Labels", ", ".join(inline(label) for label in student.labels)),
        ("Features", f"{len(student.features):,}"),
        ("To read", f"{cost.words:,} words and {cost.numbers:,} numbers"),
        ("Teacher", inline(origin.teacher)),
        ("Fingerprint of the teacher", known if fingerprint is None else inline(fingerprint)),
        ("Date", origin.date),
    ]
    lead = (
        "A readable student: it was distilled from the teacher's answers and decides in its place "
        "by words that a person can read. It calls no model."
    )
    return f"{lead}\n\n" + _table(("", ""), rows)


def _measured(certificate: Certificate) -> str:
    rows = [
        row
        for field in fields(certificate)
        if field.name not in ("verdict", "because", "kind", "schema_version")
        for row in _rows(getattr(certificate, field.name), (field.name,), certificate.level)
    ]
    lead = (
        "Measured on texts that no fitting and no choosing has seen. Of shares, the bounds are "
        f"exact and one-sided, each at level {certificate.level:g} unless a row says otherwise; "
        "of other numbers, they are those of a two-sided interval by resampling."
    )
    head = ("what", "value", "at least", "at most", "n")
    return f"## What was measured\n\n{lead}\n\n" + _table(head, rows)


def _rows(value: Any, path: tuple[str, ...], level: float) -> Iterator[tuple[str, ...]]:
    """One row for every number, whatever it is in; a level other than the given one is named."""
    title = _line(": ".join(part.replace("_", " ") for part in path))
    if isinstance(value, Interval | Proportion):
        bounds = (_number(value.value), _number(value.lower), _number(value.upper))
        # Bounds that hold together over slices are each at a stricter level than the certificate's.
        if isinstance(value, Proportion) and value.level != level:
            title += f" (level {value.level:.4g})"
        yield (title, *bounds, f"{value.n:,}")
    elif value is None:
        yield title, "too few texts" if len(path) > 1 else "not measured", "", "", ""
    elif is_dataclass(value):
        for field in fields(value):
            yield from _rows(getattr(value, field.name), (*path, field.name), level)
    elif isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        if not items:
            yield title, "none", "", "", ""
        for name, item in items.items():
            yield from _rows(item, (*path, str(name)), level)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = cast("Sequence[Any]", value)
        if all(isinstance(item, str | int | float) for item in items):
            yield title, ", ".join(_scalar(item) for item in items) or "none", "", "", ""
            return
        for place, item in enumerate(items, start=1):
            yield from _rows(item, (*path, str(place)), level)
    else:
        yield title, _scalar(value), "", "", ""


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    # True is an int, and would be written as 1.
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return inline(value) if isinstance(value, str) else str(value)


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4g}"


def _texts(origin: StudentCard) -> str:
    if not origin.parts:
        return "## Texts\n\nNothing was told of the texts it was distilled on."
    rows = [(name, f"{part.texts:,}", f"`{part.sha256}`") for name, part in origin.parts.items()]
    lead = (
        "Parts were drawn before any question to the teacher. The digest is over the SHA-256 of "
        "each text of a part, in order: whoever has the texts can tell that they are the same."
    )
    if origin.near_duplicates is not None:
        lead += (
            f" Texts of a similarity of {origin.near_duplicates:g} or more, by the words that not "
            "all texts share, are in one part."
        )
    return f"## Texts\n\n{lead}\n\n" + _table(("part", "texts", "SHA-256"), rows)


def _limits(student: Fitted, origin: StudentCard) -> str:
    domain = origin.applicability_domain
    lines: list[str] = list(_LIMITS)
    if origin.least_texts is not None:
        lines.append(
            "It holds the words that it decides by, each of which stands in "
            f"{origin.least_texts:,} or more of the texts it was fitted on."
        )
    if student.quotes_texts:
        lines.append("It holds training texts word for word, and so does every file of it.")
    if domain is not None:
        lines.append(
            f"The router asks the teacher of texts of more than {domain.longest:,} words, and of "
            f"those of whose words and marks more than {100 * domain.rarest:.3g} % were never met."
        )
        if domain.cut_from is not None:
            lines.append(
                f"Texts from {domain.cut_from:,} characters on were read in part by the teacher, and "
                "what was measured holds for that part. The student reads all that it is given: "
                "give it only what the teacher reads."
            )
    lines += [f"Not to be trusted: {_line(region)}" for region in origin.regions]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _run(written: Sequence[str], left_out: Mapping[str, str]) -> str:
    lines = [
        "## How to run it\n\n```python\nfrom whence.students.export.runtime import Runtime\n\n"
        'student = Runtime.load("the folder of this file")\n'
        'student.decide("a text").label\n```\n',
        "It needs NumPy and no model library. `model.json` is the source of truth.\n",
        _table(("file", "what it is"), [(f"`{file}`", _FILES.get(file, "")) for file in written]),
    ]
    if left_out:
        rows = [(f"`{file}`", _line(why)) for file, why in left_out.items()]
        lines += ["\nLeft out:\n", _table(("file", "why"), rows)]
    return "\n".join(lines)


_FILES = {
    "README.md": "this card",
    "certificate.json": "all that was measured",
    "compact": "a small transformer, as transformers writes it",
    "manifest.json": "the SHA-256 of every file, which each load checks",
    "model.json": "the student, readable, with its SHA-256",
    "model.onnx": "the student over words; its labels and probabilities were compared",
    "provenance.json": "teacher, date, parts of the texts, regions of distrust, applicability domain",
    "report.html": "the report, in one page",
    "router.json": "from which certainty on the student answers, where it must not, and the audits",
    "rules.md": "the whole student, for a reader",
    "rules.sql": "the student as a query over a table of raw texts, for SQLite",
    "tree.svg": "the tree, drawn",
    "weights.safetensors": "large arrays of the student",
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    # A line break would end the table, and a bar the cell.
    return " ".join(text.split()).replace("|", "\\|")


def _line(text: str) -> str:
    """Words in a row, in which nothing is a tag."""
    # Markdown hands HTML on: a text of the corpus must not become a tag of the page.
    return escape(" ".join(text.split()), quote=False)
