"""``whence decide``: a stored student answers what it is certified for, its teacher the rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from whence.app.cli.exit_codes import Exit, failing_plainly
from whence.app.cli.inputs import Format, format_of
from whence.app.cli.options import DeviceOption, DtypeOption, RevisionOption, TableFormatOption
from whence.app.cli.options import TaskOption as Task
from whence.app.cli.table_files import read_table
from whence.app.cli.teacher_options import (
    GivesOption,
    LabelOption,
    LongOption,
    PromptOption,
    TeacherOptions,
    VersionOption,
    WordOption,
    teaching,
)
from whence.app.shared.formatting import visible
from whence.core.errors import OptionError, RecordError
from whence.students.file_names import ROUTER

if TYPE_CHECKING:
    from whence.students.routing.decision import Routed
    from whence.students.routing.state import RouterState
    from whence.students.teacher.replies import Askable

__all__ = ["decide"]


def decide(
    folder: Annotated[Path, typer.Argument(help="What 'whence distill' wrote.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; '-' reads them from standard input.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The teacher, asked where the student may not answer."),
    ] = None,
    rows: Annotated[
        Path | None, typer.Option("--input", help=".txt, .jsonl, .csv, .tsv or .parquet of texts.")
    ] = None,
    column: Annotated[str, typer.Option(help="The column of --input that holds texts.")] = "text",
    gives: GivesOption = None,
    prompt: PromptOption = None,
    label: LabelOption = None,
    word: WordOption = None,
    long: LongOption = "refuse",
    version: VersionOption = None,
    format_: TableFormatOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    task: Task = None,
    revision: RevisionOption = None,
) -> None:
    """Decide texts by a stored student where it is certified, else by its teacher.

    Says of each who decided, how probable it is, and why. Without the teacher the student abstains
    where it is not certified; exit code 6 says that some texts have no decision.
    """
    with failing_plainly():
        chosen = _texts(texts or [], rows, column)
        options = None if model is None else TeacherOptions(
            model=model, gives=gives, prompt=prompt, labels=label, words=word, long=long,
            version=version, task=task, device=device, dtype=dtype, revision=revision,
        )  # fmt: skip
        state = _stored(folder)
        # The lock is held from reading the counts to writing them: of two processes on one folder
        # the second waits, and no decision or audit of either is lost.
        lock = nullcontext() if model is None else _locked(folder)
        with _asked(options, folder, state) as teacher, lock:
            decisions = _decided(folder, teacher, chosen, alone=model is None)
        _show(chosen, decisions, state.labels, format_of(format_, None))
        if any(routed.label is None for routed in decisions):
            raise typer.Exit(Exit.SOME_ROWS_FAILED)


def _texts(entries: Sequence[str], rows: Path | None, column: str) -> list[str]:
    if rows is not None:
        if entries:
            raise OptionError("give the texts once: as arguments, or with --input")
        return read_table(rows, column)[0]
    if list(entries) in ([], ["-"]):
        if not entries and sys.stdin.isatty():
            raise OptionError("expected a text, got none; write it after the folder, or pipe it in")
        return [line for line in sys.stdin.read().splitlines() if line.strip()]
    return list(entries)


def _stored(folder: Path) -> RouterState:
    from whence.students.routing.state import RouterState

    path = folder / ROUTER
    if not path.is_file():
        raise RecordError(f"could not read {path}: no such file. 'whence distill' writes it.")
    return RouterState.load(path)


@contextmanager
def _asked(options: TeacherOptions | None, folder: Path, state: RouterState) -> Generator[Askable]:
    if options is None:
        from whence.students.teacher.offline import OfflineTeacher

        yield OfflineTeacher("--model", state.certified, state.labels)
        return
    with teaching(options, folder) as teacher:
        yield teacher


def _locked(folder: Path) -> AbstractContextManager[None]:
    from whence.students.export.folder import locked

    return locked(folder)


def _decided(folder: Path, teacher: Askable, texts: Sequence[str], *, alone: bool) -> list[Routed]:
    """Decisions; with a teacher, counts and audits are kept for the next time."""
    from whence.students.export.store import load_student
    from whence.students.routing.router import Router

    state, student = _stored(folder), load_student(folder)
    # Nobody can be asked to audit, and an audit that cannot be made is none.
    settings = replace(state, audit_rate=0.0) if alone else state
    router = Router.of(settings, student=student, teacher=teacher)
    decisions = router.decide_many(texts)
    if not alone:
        router.state.save(folder / ROUTER)
    return decisions


def _show(
    texts: Sequence[str], decisions: Sequence[Routed], labels: Sequence[str], format_: Format
) -> None:
    if format_ is Format.json:
        for text, routed in zip(texts, decisions, strict=True):
            typer.echo(json.dumps(_plain(text, routed, labels)))
        return
    for text, routed in zip(texts, decisions, strict=True):
        if len(decisions) > 1:
            typer.echo(visible(text))
        lead = "  " if len(decisions) > 1 else ""
        if routed.label is None or routed.probabilities is None:
            typer.echo(f"{lead}no decision: {visible(routed.reason)}")
            continue
        chance = float(np.max(routed.probabilities))
        typer.echo(f"{lead}{visible(routed.label)} ({chance:.3f}) by the {routed.by}")
        typer.echo(f"{lead}because: {visible(routed.reason)}")
        for says in _evidence(routed):
            typer.echo(f"{lead}went by: {visible(says)}")


def _evidence(routed: Routed) -> list[str]:
    from whence.students.families.base import Reasons

    if isinstance(routed.evidence, Reasons):
        top = int(np.argmax(routed.evidence.probabilities))
        return [
            f"{piece.says} ({float(piece.shares[top]):+.2f} {routed.evidence.unit})"
            for piece in routed.evidence.evidence
        ]
    return list(routed.evidence or ())


def _plain(text: str, routed: Routed, labels: Sequence[str]) -> dict[str, Any]:
    chances = None if routed.probabilities is None else routed.probabilities.tolist()
    return {
        "text": text,
        "label": routed.label,
        "probabilities": None if chances is None else dict(zip(labels, chances, strict=True)),
        "by": routed.by,
        "reason": routed.reason,
        "evidence": _evidence(routed),
        "audited": routed.audited,
        "audit_agreed": routed.audit_agreed,
    }
