"""All files of a student in one folder: what a reader, a database or another runtime needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from whence.core.errors import CapabilityError, InputError
from whence.core.files import write_atomic
from whence.students.certificate.certificate import Certificate
from whence.students.export.model_card import model_card
from whence.students.export.onnx import export_onnx
from whence.students.export.sql import as_sql
from whence.students.export.store import save_student
from whence.students.export.student_card import StudentCard
from whence.students.export.svg import as_svg
from whence.students.export.text import as_markdown
from whence.students.families.base import Fitted
from whence.students.file_names import CARD, CERTIFICATE, MODEL, ORIGIN, WEIGHTS

__all__ = ["Artefacts", "save_artefacts"]


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What was written, and what was left out and why.

    Attributes:
        written: names of the files, in the order in which they were written.
        left_out: names of files that this student cannot have, with the reason.
    """

    written: tuple[str, ...]
    left_out: dict[str, str]


def save_artefacts(
    student: Fitted,
    folder: str | Path,
    certificate: Certificate,
    origin: StudentCard,
    *,
    texts: Sequence[str],
    also: Sequence[str] = (),
) -> Artefacts:
    """Write every file that a student can have, and say which it cannot.

    ``model.json`` (with ``weights.safetensors`` where there is much), ``rules.md``, ``rules.sql``,
    ``tree.svg``, ``model.onnx``, ``certificate.json``, ``provenance.json`` and the card,
    ``README.md``. Each is written whole or not at all. A file of these names that is left out is
    removed where it stood: it would be another student's.

    Args:
        student: student that is written.
        folder: folder to write to; created if missing.
        certificate: measurements of the student.
        origin: name, teacher, date, parts of the texts and limits.
        texts: texts on which the ONNX model must answer alike; those of the report part.
        also: names of files that the caller writes into the folder afterwards; the card lists them.

    Raises:
        CapabilityError: a student that is not stored.
        OptionError: a date that is none.
        WriteError: a file could not be written; those before it stand.
    """
    place = Path(folder)
    card = partial(model_card, student, certificate, origin)
    # What cannot be written is found out before anything is.
    card()
    certificate.to_json()
    origin.to_json()
    save_student(student, place)
    written = [MODEL, *([WEIGHTS] if (place / WEIGHTS).exists() else [])]
    left_out: dict[str, str] = {}

    def attempt(file: str, write: Callable[[Path], object]) -> None:
        try:
            write(place / file)
            written.append(file)
        except (CapabilityError, InputError) as error:
            # What stands there is of an earlier student, and would be taken for this one's.
            (place / file).unlink(missing_ok=True)
            left_out[file] = str(error)

    verdict = f"{certificate.verdict}: {certificate.because}"
    written_out = as_markdown(student, name=origin.name).rstrip() + f"\n\nVerdict: {verdict}.\n"
    attempt("rules.md", lambda path: write_atomic(path, _utf8(written_out)))
    # In one line: behind a line break the rest of a verdict would be run as SQL.
    lead = f"-- {origin.name}. Verdict: {' '.join(verdict.split())}.\n"
    attempt("rules.sql", lambda path: write_atomic(path, _utf8(lead + as_sql(student))))
    attempt("tree.svg", lambda path: write_atomic(path, _utf8(as_svg(student, title=origin.name))))
    attempt("model.onnx", lambda path: export_onnx(student, path, texts))
    certificate.save(place / CERTIFICATE)
    origin.save(place / ORIGIN)
    written += [CERTIFICATE, ORIGIN, CARD]
    # The card comes last, because it lists what was written and what could not be.
    names = [*written, *also]
    write_atomic(place / CARD, _utf8(card(written=names, left_out=left_out)))
    return Artefacts(tuple(written), left_out)


def _utf8(text: str) -> bytes:
    """The bytes of a text; half a surrogate pair, which UTF-8 lacks, is written as its number."""
    return text.encode("utf-8", "backslashreplace")
