"""``whence distill``: a readable student of a model, certified; resumed where it was stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whence.app.cli.exit_codes import failing_plainly
from whence.app.cli.inputs import Format, teller
from whence.app.cli.options import (
    NO_MODEL,
    DeviceOption,
    DtypeOption,
    FormatOption,
    QuietOption,
    RevisionOption,
    SeedOption,
    TaskOption,
)
from whence.app.cli.table_files import read_table
from whence.app.cli.teacher_options import (
    GivesOption,
    LabelOption,
    LongOption,
    PromptOption,
    TeacherModelOption,
    TeacherOptions,
    VersionOption,
    WordOption,
    teaching,
)
from whence.app.shared.formatting import visible
from whence.core.errors import InputError, OptionError, WriteError
from whence.students.file_names import ROUTER

if TYPE_CHECKING:
    from whence.core.progress import Progress
    from whence.students.result import Distilled
    from whence.students.teacher.teacher import Teacher

__all__ = ["distill", "lexicon"]


def distill(
    texts: Annotated[
        Path,
        typer.Argument(
            help="Texts: .txt, one a line, blank lines left out; or .jsonl, .csv, .tsv, .parquet."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of student, certificate, report and answers."),
    ],
    model: TeacherModelOption = None,
    column: Annotated[str, typer.Option(help="The column that holds texts.")] = "text",
    gold: Annotated[
        str | None, typer.Option(help="The column of true labels, for one more control.")
    ] = None,
    gives: GivesOption = None,
    prompt: PromptOption = None,
    label: LabelOption = None,
    word: WordOption = None,
    long: LongOption = "refuse",
    version: VersionOption = None,
    students: Annotated[
        str | None,
        typer.Option(
            help="Such as sparse-linear-30,rule-list-10; default: all that fit the labels."
        ),
    ] = None,
    target: Annotated[
        float, typer.Option(help="Agreement that replacing the teacher takes.")
    ] = 0.95,
    level: Annotated[float, typer.Option(help="Of every bound.")] = 0.95,
    budget: Annotated[
        int | None, typer.Option(help="Most questions to the teacher; fewer texts where need be.")
    ] = None,
    ngrams: Annotated[
        float | None,
        typer.Option(help="Share of single words and pairs in what is learnt from."),
    ] = None,
    edits: Annotated[
        bool, typer.Option("--edits/--no-edits", help="Ask of edited texts too; for flip-recall.")
    ] = True,
    lexicons: Annotated[
        list[str] | None,
        typer.Option("--lexicon", help="NAME=FILE, a list of words, one a line; may be repeated."),
    ] = None,
    shifted: Annotated[
        list[str] | None,
        typer.Option(
            "--elsewhere", help="NAME=FILE of other texts to be certified on; may be repeated."
        ),
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Train a small transformer too, to compare with.")
    ] = False,
    checks: Annotated[
        bool,
        typer.Option(
            "--checks/--no-checks",
            help="Fit again for stability, topics, learning curve and regions of distrust.",
        ),
    ] = True,
    near_duplicates: Annotated[
        float,
        typer.Option(
            help="Similarity, form letters' common words aside, from which texts stay in one part."
        ),
    ] = 0.8,
    least_texts: Annotated[
        int | None,
        typer.Option(help="Texts a word must stand in to be decided by; 2 where not given."),
    ] = None,
    show_texts: Annotated[
        bool, typer.Option("--show-texts", help="Show examples of the texts in what is written.")
    ] = False,
    seed: SeedOption = 0,
    format_: FormatOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    task: TaskOption = None,
    revision: RevisionOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace another teacher's student in the folder.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Distil a model into a student that can be read, with a certificate of how far it agrees."""
    with failing_plainly():
        from whence.students.certificate.check_options import Checks
        from whence.students.distill import distill as run
        from whence.students.families.registry import student_by_name
        from whence.students.families.transformer import Transformer
        from whence.students.features.vectorizer import ReadableFeatures

        if model is None:
            raise OptionError(NO_MODEL)
        rows, truth = read_table(texts, column, gold)
        chosen = None if students is None else [student_by_name(n) for n in students.split(",")]
        named = dict(lexicon(item) for item in lexicons or [])
        others = {name: read_table(file, column)[0] for name, file in _files(shifted or [])}
        asking = _budget(budget, ngrams, edits)
        options = TeacherOptions(
            model=model, gives=gives, prompt=prompt, labels=label, words=word, long=long,
            version=version, task=task, device=device, dtype=dtype, revision=revision,
        )  # fmt: skip
        options.check()
        folder = _folder(output)
        with teaching(options, folder) as teacher, _progress(quiet) as progress:
            # Before the first question: a run that is refused has spent nothing.
            _refuse_another(folder, teacher, replace)
            result = run(
                teacher,
                rows,
                gold=truth,
                students=chosen,
                features=ReadableFeatures(lexicons=named) if named else None,
                budget=asking,
                checks=None if checks else Checks(refits=0, topics=0, curve=0, permutations=0),
                compact=Transformer() if compact else None,
                shifted=others or None,
                near_duplicates=near_duplicates,
                least_texts=least_texts,
                target=target,
                level=level,
                seed=seed,
                progress=progress,
            )
        _save(result, folder, teller(quiet), show_texts=show_texts)
        _show(result if show_texts else result.without_texts(), format_ or Format.text)


def lexicon(value: str) -> tuple[str, tuple[str, ...]]:
    """A list of words by name, from ``NAME=FILE``.

    Raises:
        OptionError: not of that form.
        InputError: the file cannot be read, or holds no word.
    """
    name, file = _named(value, "--lexicon")
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"could not read the lexicon {file} as UTF-8 text: {error}") from error
    words = tuple(line.strip() for line in lines if line.strip())
    if not words:
        raise InputError(f"the lexicon {file} holds no word")
    return name, words


def _files(values: Sequence[str]) -> list[tuple[str, Path]]:
    return [_named(item, "--elsewhere") for item in values]


def _named(value: str, option: str) -> tuple[str, Path]:
    name, equals, file = value.partition("=")
    if not equals or not name.strip() or not file:
        raise OptionError(f"expected {option} NAME=FILE, got {value!r}")
    return name.strip(), Path(file)


def _budget(queries: int | None, ngrams: float | None, edits: bool) -> Any:
    from whence.students.data.query_budget import Budget

    settings: dict[str, Any] = {"queries": queries}
    if ngrams is not None:
        settings["ngrams"] = ngrams
    if not edits:
        # --no-edits leaves out every question about a changed text, not only the edits that
        # students learn from.
        settings.update(edits=0.0, flips=0, attributions=0, parting=0)
    return Budget(**settings)


def _refuse_another(folder: Path, teacher: Teacher, replace: bool) -> None:
    """Refuse a folder that holds the student of another teacher.

    Raises:
        OptionError: it does, and nobody said to replace it.
    """
    path = folder / ROUTER
    if replace or not path.exists():
        return
    try:
        # A damaged file counts as another teacher's: nothing is written over without --replace.
        certified = json.loads(path.read_text("utf-8")).get("certified")
    except (OSError, ValueError, AttributeError):
        certified = None
    if certified is None or certified != teacher.fingerprint:
        raise OptionError(
            f"{folder} holds a student of another teacher, or one that cannot be distinguished; "
            "give another --output, or --replace"
        )


def _folder(output: Path) -> Path:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"could not make {output}: {error.strerror or error}") from error
    return output


@contextmanager
def _progress(quiet: bool) -> Generator[Progress | None]:
    """A bar for each stage on stderr, only where a person watches it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        stages: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in stages:
                stages[what] = bars.add_task(what, total=total)
            bars.update(stages[what], completed=done, total=total)

        yield show


def _save(
    result: Distilled, folder: Path, tell: Callable[[str], None], *, show_texts: bool
) -> None:
    artefacts = result.save(folder, show_texts=show_texts)
    tell(f"written to {folder}: {', '.join(artefacts.written)}")
    for file, why in artefacts.left_out.items():
        tell(f"no {file}: {visible(why)}")


def _show(result: Distilled, format_: Format) -> None:
    if format_ is Format.text:
        from rich.console import Console

        from whence.app.distill.terminal import render

        render(result, Console())
    elif format_ is Format.html:
        from whence.app.distill.html import page

        typer.echo(page(result), nl=False)
    else:
        tree = {
            "chosen": result.chosen,
            "student": result.student.to_json(),
            "certificate": result.certificate.to_tree(),
        }
        typer.echo(json.dumps(tree, indent=1, sort_keys=True))
