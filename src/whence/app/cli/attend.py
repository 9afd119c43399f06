"""``whence attend``: where a model reads, head by head, with the measured effect of heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from whence.app.cli.exit_codes import failing_plainly
from whence.app.cli.inputs import Format, check_sources, source_of, target_of, teller, write_out
from whence.app.cli.options import (
    DeviceOption,
    DtypeOption,
    FileOption,
    LinkOption,
    MessagesOption,
    ModelOption,
    PairOption,
    QuietOption,
    RevisionOption,
    SeedOption,
    SimilarOption,
    TargetOption,
    TaskOption,
    TextArgument,
)
from whence.core.errors import OptionError

if TYPE_CHECKING:
    from whence.attention.size import AttentionSize
    from whence.attention.store import Attention

__all__ = ["attend", "write_attention"]


def attend(
    text: TextArgument = None,
    model: ModelOption = "embedded:credit",
    file: FileOption = None,
    pair: PairOption = None,
    messages: MessagesOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write there; a name in .html is a page.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", "-f", help="text, json or html.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for the record and its numbers, to be read back.")
    ] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Read the model's continuation with the text.")
    ] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of the continuation.")] = 64,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head", help="LAYER:HEAD, layer by number or name; the whole matrix is stored."
        ),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="auto, states (any weight on demand) or summary.")
    ] = "auto",
    target: TargetOption = None,
    against: Annotated[
        str | None, typer.Option(help="Effects on --target rather than this one.")
    ] = None,
    next_token: Annotated[
        bool, typer.Option("--next-token", help="Effects on the next token only.")
    ] = False,
    similar_to: SimilarOption = None,
    link: LinkOption = None,
    measure: Annotated[
        int, typer.Option(help="Heads whose effect is measured, by estimate; 0: none.")
    ] = 32,
    control: Annotated[int, typer.Option(help="Heads measured beside them, at random.")] = 32,
    ablation: Annotated[str, typer.Option(help="resample, mean or zero.")] = "resample",
    draws: Annotated[int, typer.Option(help="Stand-ins of each head.")] = 8,
    flow: Annotated[
        bool, typer.Option("--flow/--no-flow", help="What each token takes from each.")
    ] = True,
    seed: SeedOption = 0,
    top: Annotated[int, typer.Option(help="Heads of the ranking in the terminal.")] = 10,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    task: TaskOption = None,
    revision: RevisionOption = None,
    quiet: QuietOption = False,
) -> None:
    """Show where a model reads, head by head, beside what each head does to its decision."""
    with failing_plainly():
        tell = teller(quiet)
        from whence.attention.attend import attend as run
        from whence.attention.head_ablation import HeadAblation
        from whence.models import load

        check_sources(text, file, messages)
        heads = heads_of(head or [])
        effects = HeadAblation(measure=measure, control=control, ablation=ablation, draws=draws)
        source = source_of(text, file, pair, messages)
        loaded = load(model, task=cast("Any", task), device=device, dtype=dtype, revision=revision)
        attention = run(
            loaded,
            source,
            generate=generate,
            max_new_tokens=max_new_tokens,
            heads=heads,
            keep=keep,
            target=target_of(target, against, next_token, False, similar_to),
            link=link,
            effects=effects if measure or control else None,
            flow=flow,
            seed=seed,
            announce=_announcer(tell),
        )
        if save is not None:
            tell(f"saved to {attention.save(save)}")
        if format_ is None:
            page = output is not None and output.suffix.lower() in (".html", ".htm")
            format_ = Format.html if page else Format.text
        write_attention(attention, format_, output, top)


def heads_of(names: Sequence[str]) -> list[tuple[str | int, int]]:
    """``LAYER:HEAD`` strings as pairs; a layer by number or by name.

    Raises:
        OptionError: not of that form.

    Example:
        >>> heads_of(["0:3", "model.layers.1.attn:2"])
        [(0, 3), ('model.layers.1.attn', 2)]
    """
    heads: list[tuple[str | int, int]] = []
    for item in names:
        layer, colon, head = item.rpartition(":")
        if not colon or not layer or not head.isdecimal():
            raise OptionError(f"expected --head LAYER:HEAD such as 0:3, got {item!r}")
        heads.append((int(layer) if layer.isdecimal() else layer, int(head)))
    return heads


def _announcer(tell: Callable[[str], None]) -> Callable[[AttentionSize], None]:
    def announce(size: AttentionSize) -> None:
        tell(
            f"{size.heads:,} heads in {size.layers} layers over {size.tokens:,} tokens: "
            f"{size.summary / 1e6:,.1f} MB summary, {size.states / 1e6:,.1f} MB queries and keys "
            f"(all weights would take {size.weights / 1e6:,.0f} MB)"
        )

    return announce


def write_attention(attention: Attention, format_: Format, output: Path | None, top: int) -> None:
    """Print a record, or write it."""
    if format_ is Format.text and output is None:
        from rich.console import Console

        from whence.app.attention.terminal import render

        render(attention, Console(), top=top)
        return
    if format_ is Format.json:
        data = attention.record.to_json() + b"\n"
    elif format_ is Format.html:
        from whence.app.attention.html import page

        data = page(attention).encode("utf-8")
    else:
        from whence.app.attention.terminal import plain_text

        data = (plain_text(attention, top=top) + "\n").encode("utf-8")
    write_out(data, output)
