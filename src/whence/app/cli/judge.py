"""``whence evaluate``, ``compare``, ``select`` and ``verify``: explanations judged by measurement."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whence.app.cli.exit_codes import Exit, failing_plainly
from whence.app.cli.inputs import (
    Format,
    check_output,
    format_of,
    grade_of,
    table_format_of,
    target_of,
    teller,
    write_out,
)
from whence.app.cli.options import (
    AgainstOption,
    FormatOption,
    LinkOption,
    MaskerOption,
    ModelOptions,
    NextTokenOption,
    OutputOption,
    OverwriteOption,
    QuietOption,
    RequireOption,
    SeedOption,
    SourceOptions,
    TableFormatOption,
    TargetOption,
    UnitOption,
    with_groups,
)
from whence.app.cli.table_files import TableRow
from whence.app.shared.formatting import visible
from whence.core.errors import DigestError, InputError, OptionError

if TYPE_CHECKING:
    from whence.core.explanations import Attribution
    from whence.core.specification_curve import SpecificationCurve
    from whence.workflows.select import Comparison

__all__ = ["compare", "evaluate", "select", "verify"]

OtherModelOption = Annotated[
    bool,
    typer.Option("--other-model", help="Go on although the model is not the one of the record."),
]
MethodsOption = Annotated[
    list[str] | None, typer.Option("--method", help="A candidate; repeat the option for more.")
]


@with_groups
def evaluate(
    record: Annotated[
        Path, typer.Argument(help="File of an explanation of whence, or of a text with scores.")
    ],
    model: ModelOptions,
    level: Annotated[str, typer.Option(help="quick, default or audit.")] = "default",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="A metric to measure in place of the label (see whence metrics); repeat it for more.",
        ),
    ] = None,
    span: Annotated[
        list[str] | None,
        typer.Option(
            "--span", help="START:END of characters that people marked; repeat it for more."
        ),
    ] = None,
    robust: Annotated[
        bool,
        typer.Option(
            "--robust",
            help="In place of the label a specification curve: what stays of the first reason under "
            "every combination of methods, maskers, scales, units and seeds.",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the masks; default: the record's.")
    ] = None,
    masker: MaskerOption = "auto",
    other_model: OtherModelOption = False,
    require: RequireOption = None,
    format_: FormatOption = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Judge a saved explanation, of whence or from elsewhere, by asking its model."""
    with failing_plainly():
        check_output(output, record, overwrite=overwrite)
        from whence.workflows.adopt import read_explanation
        from whence.workflows.judge import judge
        from whence.workflows.measure import measure
        from whence.workflows.specification_curve import specification_curve

        tell = teller(quiet)
        least = grade_of(require)
        if (metric or robust) and least is not None:
            raise OptionError("--require goes with the label, not with --metric or --robust")
        if robust and (metric or seed is not None or masker != "auto"):
            raise OptionError(
                "--robust tries every masker and seeds of its own; it goes without --metric, --seed "
                "and --masker"
            )
        if metric:
            form = table_format_of(format_, output, "metrics")
        elif span:
            raise OptionError("--span goes with --metric, such as --metric token-f1")
        else:
            form = format_of(format_, output)
        spans = None if span is None else [_span(text) for text in span]
        loaded = model.load(model_of(record))
        explanation = read_explanation(loaded, record)
        same_model(loaded, explanation, other_model)
        if robust:
            curve = specification_curve(
                loaded,
                explanation,
                progress=lambda what, done, total: tell(f"{done} of {total} {what}"),
            )
            write_out(_shown(curve, form), output)
            return
        if metric:
            result = measure(loaded, explanation, metric, seed=seed, masker=masker, spans=spans)
            if form is Format.json:
                trees = [json.loads(measurement.to_json()) for measurement in result]
                write_out(json.dumps(trees, indent=1) + "\n", output)
            else:
                from whence.app.trust.measurements_terminal import measurements_text

                write_out(measurements_text(result), output)
            return
        judged = judge(loaded, explanation, level=level, seed=seed, masker=masker)
        write_out(_shown(judged, form), output)
        if least is not None:
            judged.assert_trust(least)


def model_of(record: Path) -> str | None:
    """The model that a record names; ``None`` where the file names none.

    Raises:
        RecordError: the file cannot be read, or is not JSON.
    """
    from whence.core.record import parse_json, read_file

    try:
        return str(parse_json(read_file(record), str(record))["provenance"]["model"]["ref"])
    # Whatever else the file is, its reader says.
    except (KeyError, TypeError):
        return None


def same_model(loaded: Any, explanation: Attribution, other: bool) -> None:
    """Refuse a model that is not the one of the record, unless that is asked for.

    Raises:
        OptionError: the fingerprints differ.
    """
    now, then = loaded.identity, explanation.provenance.model
    # A callable has none; what it answers is all there is to go by.
    if other or now.fingerprint is None or then.fingerprint is None:
        return
    if now.fingerprint == then.fingerprint:
        return
    raise OptionError(
        f"the record is of {then.ref} (fingerprint {then.fingerprint[:12]}), and {now.ref} has "
        f"fingerprint {now.fingerprint[:12]}: another model, or other weights. Give that model, or "
        "--other-model to go on with this one"
    )


def _span(text: str) -> tuple[int, int]:
    start, colon, end = text.partition(":")
    if not (colon and start.isdecimal() and end.isdecimal()):
        raise OptionError(f"expected --span START:END, such as 7:15; got {text!r}")
    return int(start), int(end)


def _shown(result: Attribution | SpecificationCurve, format_: Format) -> str:
    if format_ is Format.json:
        return result.to_json().decode("utf-8") + "\n"
    return result.to_html() if format_ is Format.html else f"{result}\n"


@with_groups
def compare(
    source: SourceOptions,
    model: ModelOptions,
    methods: MethodsOption = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A metric (see whence metrics); repeat the option for more."),
    ] = None,
    target: TargetOption = None,
    against: AgainstOption = None,
    next_token: NextTokenOption = False,
    link: LinkOption = None,
    unit: UnitOption = "word",
    masker: MaskerOption = "auto",
    seed: SeedOption = 0,
    format_: TableFormatOption = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Explain one text by several methods, judged side by side on the same masks."""
    with failing_plainly():
        source.check()
        check_output(output, source.file, source.messages, overwrite=overwrite)
        form = table_format_of(format_, output, "a comparison")
        from whence.evaluation.metrics.registry import METRICS
        from whence.workflows.select import compare as run

        metrics = [METRICS.make(name) for name in metric] if metric else None
        loaded = model.load()
        result = run(
            loaded,
            source.read(),
            methods=methods,
            target=target_of(target, against, next_token, False, None),
            link=link,
            unit=unit,
            masker=masker,
            metrics=metrics,
            seed=seed,
        )
        if form is Format.json:
            write_out(json.dumps(_tree(result), indent=1) + "\n", output)
        else:
            from whence.app.trust.measurements_terminal import comparison_text

            write_out(comparison_text(result), output)


def _tree(result: Comparison) -> dict[str, Any]:
    return {
        "judging_evaluations": result.judging,
        "failed": result.failed,
        "methods": {
            name: {
                "p_value": result.p_values[name],
                "measurements": [json.loads(m.to_json()) for m in result.measurements[name]],
                "explanation": json.loads(explanation.to_json()),
            }
            for name, explanation in result.explanations.items()
        },
    }


@with_groups
def select(
    texts: Annotated[
        Path,
        typer.Argument(
            help="Texts of the task: JSONL, CSV, TSV or Parquet, or a folder of .txt files."
        ),
    ],
    model: ModelOptions,
    column: Annotated[str, typer.Option(help="The column that holds texts.")] = "text",
    limit: Annotated[int, typer.Option(help="Number of texts to read, from the top.")] = 50,
    methods: MethodsOption = None,
    target: TargetOption = None,
    link: LinkOption = None,
    unit: UnitOption = "word",
    masker: MaskerOption = "auto",
    seed: SeedOption = 0,
    format_: TableFormatOption = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose the method for a model and its task, on some of the task's texts."""
    with failing_plainly():
        from itertools import islice

        from whence.app.cli.table_files import table_rows
        from whence.workflows.select import select as run

        if limit < 1:
            raise OptionError(f"expected --limit of 1 or more, got {limit}")
        check_output(output, texts, overwrite=overwrite)
        form = table_format_of(format_, output, "a selection")
        tell = teller(quiet)
        # Only so many rows are read, of a file of any length.
        rows = _texts(islice(table_rows(texts, column)(), limit), column)
        loaded = model.load()
        result = run(
            loaded,
            rows,
            methods=methods,
            target=target,
            link=link,
            unit=unit,
            masker=masker,
            seed=seed,
            progress=lambda what, done, total: tell(f"{done} of {total} {what}"),
        )
        if form is Format.json:
            write_out(result.to_json() + b"\n", output)
        else:
            from whence.app.trust.measurements_terminal import selection_text

            write_out(selection_text(result), output)


def _texts(rows: Iterable[TableRow], column: str) -> list[str]:
    """The texts of some rows; a row without one is left out, with a line on stderr that says so.

    Raises:
        InputError: no row has a text.
    """
    texts: list[str] = []
    problem: InputError | None = None
    for row in rows:
        try:
            texts.append(row.text(column))
        except InputError as error:
            problem = error
            typer.echo(f"whence: left out: {visible(str(error))}", err=True)
    if problem is not None and not texts:
        raise problem
    return texts


@with_groups
def verify(
    record: Annotated[Path, typer.Argument(help="A saved explanation.")],
    model: ModelOptions,
    masks: Annotated[int, typer.Option(help="Masks of the record that are replayed.")] = 4,
    seed: SeedOption = 0,
    tolerance: Annotated[
        float, typer.Option(help="Largest deviation allowed, as a share of the answer or of 1.")
    ] = 1e-4,
    other_model: OtherModelOption = False,
) -> None:
    """Check a saved explanation and replay its answers; exit code 7 where it does not hold."""
    with failing_plainly():
        from whence.workflows.adopt import read_explanation
        from whence.workflows.verify import verify as run

        try:
            stored = model_of(record)
            loaded = model.load(stored)
            explanation = read_explanation(loaded, record)
        except DigestError as error:
            typer.echo(f"does not hold: {error}")
            raise typer.Exit(Exit.NOT_VERIFIED) from None
        same_model(loaded, explanation, other_model)
        result = run(loaded, explanation, masks=masks, seed=seed, tolerance=tolerance)
        typer.echo(("holds: " if result.holds else "does not hold: ") + result.says)
        sealed = "digest" if '"digest"' in record.read_text("utf-8") else None
        typer.echo("checked: " + ", ".join(["answers", *filter(None, [sealed]), *result.checked]))
        missing = (
            () if sealed else ("the record carries no digest (it was written by an older whence)",)
        )
        for why in (*missing, *result.unchecked):
            typer.echo(f"not checked: {why}")
        if not result.holds:
            raise typer.Exit(Exit.NOT_VERIFIED)
