"""``whence counterfactuals``, ``subsets``, ``anchor`` and ``interactions``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from whence.app.cli.exit_codes import failing_plainly
from whence.app.cli.inputs import Format, check_output, format_of, target_of, write_out
from whence.app.cli.options import (
    AgainstOption,
    FormatOption,
    LinkOption,
    MaskerOption,
    ModelOptions,
    OutputOption,
    OverwriteOption,
    SeedOption,
    SourceOptions,
    TargetOption,
    UnitOption,
    with_groups,
)
from whence.core.errors import OptionError

__all__ = ["anchor", "counterfactuals", "interactions", "subsets"]

ThresholdOption = Annotated[
    float | None,
    typer.Option(help="Edge of the one output that decides, for a model that gives a number."),
]
CountOption = Annotated[int, typer.Option(help="Most results; no two share a word.")]
SearchOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="NAME=VALUE, a setting of the search; repeat it for more."),
]
BudgetOption = Annotated[int, typer.Option(help="Most model evaluations.")]


@with_groups
def counterfactuals(
    source: SourceOptions,
    model: ModelOptions,
    wanted: Annotated[
        str | None, typer.Option(help="Decision to bring about; default: any other.")
    ] = None,
    language_model: Annotated[
        str | None,
        typer.Option(help="Causal or masked language model that says how plausible a text is."),
    ] = None,
    target: TargetOption = None,
    against: AgainstOption = None,
    threshold: ThresholdOption = None,
    unit: UnitOption = "word",
    count: CountOption = 3,
    budget: BudgetOption = 1000,
    option: SearchOption = None,
    seed: SeedOption = 0,
    format_: FormatOption = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Find the smallest edits that change the model's decision, each asked of the model."""
    with failing_plainly():
        from whence.decisions.counterfactual import EditOptions
        from whence.decisions.counterfactual import counterfactuals as run
        from whence.models import load

        form = _checked(source, format_, output, overwrite)
        settings = _settings(EditOptions, option)
        results = run(
            model.load(),
            source.read(),
            wanted=wanted,
            target=target_of(target, against, False, False, None),
            threshold=threshold,
            unit=unit,
            count=count,
            budget=budget,
            language_model=None if language_model is None else load(language_model),
            options=settings,
            seed=seed,
        )
        _show(results, form, output)


@with_groups
def subsets(
    source: SourceOptions,
    model: ModelOptions,
    kind: Annotated[str, typer.Option(help="sufficient or necessary.")] = "sufficient",
    least: Annotated[
        float | None, typer.Option(help="Value the decision's output must reach.")
    ] = None,
    target: TargetOption = None,
    against: AgainstOption = None,
    threshold: ThresholdOption = None,
    link: LinkOption = None,
    unit: UnitOption = "word",
    masker: MaskerOption = "auto",
    count: CountOption = 3,
    budget: BudgetOption = 5000,
    format_: FormatOption = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Find words that alone give the decision, or words it cannot do without."""
    with failing_plainly():
        from whence.decisions.subsets import subsets as run

        form = _checked(source, format_, output, overwrite)
        results = run(
            model.load(),
            source.read(),
            kind=kind,
            least=least,
            target=target_of(target, against, False, False, None),
            threshold=threshold,
            link=link,
            unit=unit,
            masker=masker,
            count=count,
            budget=budget,
        )
        _show(results, form, output)


@with_groups
def anchor(
    source: SourceOptions,
    model: ModelOptions,
    precision: Annotated[
        float, typer.Option(help="Share of texts that must keep the decision.")
    ] = 0.95,
    target: TargetOption = None,
    against: AgainstOption = None,
    threshold: ThresholdOption = None,
    unit: UnitOption = "word",
    masker: MaskerOption = "auto",
    budget: BudgetOption = 5000,
    option: SearchOption = None,
    seed: SeedOption = 0,
    format_: FormatOption = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Find the fewest words whose presence fixes the decision, whatever else is taken out."""
    with failing_plainly():
        from whence.decisions.anchors import AnchorOptions
        from whence.decisions.anchors import anchor as run

        form = _checked(source, format_, output, overwrite)
        settings = _settings(AnchorOptions, option)
        result = run(
            model.load(),
            source.read(),
            precision=precision,
            target=target_of(target, against, False, False, None),
            threshold=threshold,
            unit=unit,
            masker=masker,
            budget=budget,
            options=settings,
            seed=seed,
        )
        _show([result], form, output)


@with_groups
def interactions(
    source: SourceOptions,
    model: ModelOptions,
    order: Annotated[int, typer.Option(help="Largest group: 2 or 3 words.")] = 2,
    index: Annotated[str, typer.Option(help="faith-shap or shapley-taylor.")] = "faith-shap",
    target: TargetOption = None,
    against: AgainstOption = None,
    link: LinkOption = None,
    unit: UnitOption = "word",
    masker: MaskerOption = "auto",
    budget: Annotated[int | None, typer.Option(help="Most model evaluations.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="SQLite file that keeps evaluations between runs.")
    ] = None,
    seed: SeedOption = 0,
    format_: FormatOption = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Score what pairs of words do together beyond what they do apart."""
    with failing_plainly():
        from contextlib import ExitStack

        from whence.attribution.interactions import interactions as run
        from whence.games.disk_cache import DiskCache

        form = _checked(source, format_, output, overwrite)
        with ExitStack() as opened:
            result = run(
                model.load(),
                source.read(),
                order=order,
                index=index,
                target=target_of(target, against, False, False, None),
                link=link,
                unit=unit,
                masker=masker,
                budget=budget,
                seed=seed,
                cache=None if cache is None else opened.enter_context(DiskCache(cache)),
            )
        _show([result], form, output)


def _checked(
    source: SourceOptions, format_: Format | None, output: Path | None, overwrite: bool
) -> Format:
    source.check()
    form = format_of(format_, output)
    check_output(output, source.file, source.messages, overwrite=overwrite)
    return form


def _settings(kind: type, items: list[str] | None) -> dict[str, Any]:
    """``NAME=VALUE`` strings as typed settings; the class checks names and ranges."""
    from dataclasses import fields

    known = {field.name: field for field in fields(kind)}
    settings: dict[str, Any] = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise OptionError(f"expected --option NAME=VALUE, got {item!r}")
        default = known[name].default if name in known else ""
        try:
            settings[name] = type(default)(value)
        except ValueError as error:
            raise OptionError(f"expected a number for {name}, got --option {item!r}") from error
    return settings


def _show(records: Sequence[Any], form: Format, output: Path | None) -> None:
    if form is Format.json:
        trees = [record.to_tree() for record in records]
        write_out(json.dumps(trees[0] if len(trees) == 1 else trees, indent=1) + "\n", output)
    elif form is Format.html:
        from whence.app.decisions.html import pages

        write_out(pages(records), output)
    elif output is None:
        from rich.console import Console

        from whence.app.decisions.terminal import render

        console = Console()
        for place, record in enumerate(records):
            if place:
                console.print()
            render(record, console)
    else:
        write_out("\n\n".join(map(str, records)) + "\n", output)
