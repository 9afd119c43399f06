"""``whence attend``: where a model reads, head by head, with the measured effect of heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence.app.cli.exit_codes import failing_plainly
from whence.app.cli.inputs import (
    Format,
    check_folder,
    check_output,
    format_of,
    target_of,
    teller,
    write_out,
)
from whence.app.cli.options import (
    FormatOption,
    LinkOption,
    ModelOptions,
    OverwriteOption,
    QuietOption,
    SeedOption,
    SimilarOption,
    SourceOptions,
    TargetOption,
    with_groups,
)
from whence.core.errors import OptionError

if TYPE_CHECKING:
    from whence.attention.size import AttentionSize
    from whence.attention.store import Attention

__all__ = ["attend", "write_attention"]


@with_groups
def attend(
    source: SourceOptions,
    model: ModelOptions,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; a name in .html makes a page."),
    ] = None,
    format_: FormatOption = None,
    overwrite: OverwriteOption = False,
    save: Annotated[
        Path | None, typer.Option(help="Folder for the record and its numbers.")
    ] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Read the model's continuation with the text.")
    ] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of the continuation.")] = 64,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="LAYER:HEAD, by number or name; its whole matrix is stored."),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="auto, states (any weight on demand) or summary.")
    ] = "auto",
    target: TargetOption = None,
    against: Annotated[
        str | None, typer.Option(help="Second answer: effects on --target against it.")
    ] = None,
    next_token: Annotated[
        bool, typer.Option("--next-token", help="Effects on the next token only.")
    ] = False,
    similar_to: SimilarOption = None,
    link: LinkOption = None,
    measure: Annotated[
        int, typer.Option(help="Heads whose effect is measured, the largest by estimate; 0: none.")
    ] = 32,
    control: Annotated[int, typer.Option(help="Random heads measured for comparison.")] = 16,
    ablation: Annotated[str, typer.Option(help="resample, mean or zero.")] = "resample",
    draws: Annotated[int, typer.Option(help="Replacement outputs drawn for each head.")] = 8,
    sets: Annotated[
        bool, typer.Option("--sets", help="Search a small set of heads that carries the answer.")
    ] = False,
    flow: Annotated[
        bool, typer.Option("--flow/--no-flow", help="How much each token takes from each other.")
    ] = True,
    seed: SeedOption = 0,
    top: Annotated[int, typer.Option(help="Heads of the ranking in the terminal.")] = 10,
    quiet: QuietOption = False,
) -> None:
    """Show where a model reads, head by head, beside what each head does to its decision."""
    with failing_plainly():
        tell = teller(quiet)
        from whence.attention.attend import attend as run
        from whence.attention.head_ablation import HeadAblation
        from whence.attention.store import RECORD

        source.check()
        check_output(output, source.file, source.messages, overwrite=overwrite)
        check_folder(save, RECORD, overwrite)
        form = format_of(format_, output)
        heads = heads_of(head or [])
        effects = HeadAblation(
            measure=measure, control=control, ablation=ablation, draws=draws, sets=sets
        )
        loaded = model.load()
        result = run(
            loaded,
            source.read(),
            generate=generate,
            max_new_tokens=max_new_tokens,
            heads=heads,
            keep=keep,
            target=target_of(target, against, next_token, False, similar_to),
            link=link,
            # With no head to measure, the gradient passes of the estimates are not run either.
            effects=effects if measure or control or sets else None,
            flow=flow,
            seed=seed,
            announce=_announcer(tell),
        )
        if save is not None:
            tell(f"saved to {result.save(save)}")
        write_attention(result, form, output, top)


def heads_of(items: Sequence[str]) -> list[tuple[str | int, int]]:
    """``LAYER:HEAD`` strings as pairs; a layer by number or by name.

    Raises:
        OptionError: not of that form.

    Example:
        >>> heads_of(["0:3", "model.layers.1.attn:2"])
        [(0, 3), ('model.layers.1.attn', 2)]
    """
    result: list[tuple[str | int, int]] = []
    for item in items:
        # From the right: the name of a layer may hold a colon itself.
        layer, colon, head = item.rpartition(":")
        if not colon or not layer or not head.isdecimal():
            raise OptionError(f"expected --head LAYER:HEAD such as 0:3, got {item!r}")
        result.append((int(layer) if layer.isdecimal() else layer, int(head)))
    return result


def _announcer(tell: Callable[[str], None]) -> Callable[[AttentionSize], None]:
    def announce(size: AttentionSize) -> None:
        tell(
            f"{size.heads:,} heads in {size.layers} layers over {size.tokens:,} tokens: "
            f"{size.summary / 1e6:,.1f} MB summary, {size.states / 1e6:,.1f} MB queries and keys "
            f"(all weights would take {size.weights / 1e6:,.0f} MB)"
        )

    return announce


def write_attention(result: Attention, format_: Format, output: Path | None, top: int) -> None:
    """Print a record, or write it."""
    if format_ is Format.text and output is None:
        from rich.console import Console

        from whence.app.attention.terminal import render

        render(result, Console(), top=top)
        return
    if format_ is Format.json:
        data = result.record.to_json() + b"\n"
    elif format_ is Format.html:
        from whence.app.attention.html import page

        data = page(result).encode("utf-8")
    else:
        from whence.app.attention.terminal import plain_text

        data = (plain_text(result, top=top) + "\n").encode("utf-8")
    write_out(data, output)
