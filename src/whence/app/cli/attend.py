"""``whence attend``: where a model reads, head by head, with the measured effect of heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from whence.app.cli.exits import failing_plainly
from whence.app.cli.inputs import Format, check_sources, source_of, target_of, teller
from whence.core.errors import OptionError

if TYPE_CHECKING:
    from whence.attention.kept import Attention
    from whence.attention.size import AttentionSize

__all__ = ["attend", "write_attention"]


def attend(
    text: Annotated[
        str | None, typer.Argument(help="The text; '-' or nothing reads standard input.")
    ] = None,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Hugging Face id, folder, or embedded:NAME."),
    ] = "embedded:credit",
    file: Annotated[Path | None, typer.Option(help="Read the text from a file.")] = None,
    pair: Annotated[str | None, typer.Option(help="Second text, for pair classifiers.")] = None,
    messages: Annotated[
        Path | None, typer.Option(help='JSON file of chat messages [{"role":..,"content":..}].')
    ] = None,
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
        typer.Option("--head", help="LAYER:HEAD, by place or name; its whole matrix is kept."),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="auto, states (any weight on demand) or summary.")
    ] = "auto",
    target: Annotated[
        str | None, typer.Option(help="Label, or continuation; default: what the model says.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Effects on --target rather than this one.")
    ] = None,
    next_token: Annotated[
        bool, typer.Option("--next-token", help="Effects on the next token only.")
    ] = False,
    similar_to: Annotated[
        str | None, typer.Option(help="For embedding models: the text to compare with.")
    ] = None,
    link: Annotated[
        str | None, typer.Option(help="logit, log_probability, probability or log_odds.")
    ] = None,
    measure: Annotated[
        int, typer.Option(help="Heads whose effect is measured, by estimate; 0: none.")
    ] = 32,
    control: Annotated[int, typer.Option(help="Heads measured beside them, at random.")] = 32,
    ablation: Annotated[str, typer.Option(help="resample, mean or zero.")] = "resample",
    draws: Annotated[int, typer.Option(help="Stand-ins of each head.")] = 8,
    flow: Annotated[
        bool, typer.Option("--flow/--no-flow", help="What each token takes from each.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of whatever is drawn.")] = 0,
    top: Annotated[int, typer.Option(help="Heads of the ranking in the terminal.")] = 10,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 ...")] = "auto",
    task: Annotated[
        str | None, typer.Option(help="classification, causal, seq2seq or embedding.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of an id.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Show where a model reads, head by head, beside what each head does to its decision."""
    with failing_plainly():
        tell = teller(quiet)
        from whence.attention.attending import attend as run
        from whence.attention.effects import HeadAblation
        from whence.models import load

        check_sources(text, file, messages)
        heads = heads_of(head or [])
        effects = HeadAblation(measure=measure, control=control, ablation=ablation, draws=draws)
        source = source_of(text, file, pair, messages)
        loaded = load(model, task=cast("Any", task), device=device, dtype=dtype, revision=revision)
        found = run(
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
            tell(f"saved to {found.save(save)}")
        if format_ is None:
            page = output is not None and output.suffix.lower() in (".html", ".htm")
            format_ = Format.html if page else Format.text
        write_attention(found, format_, output, top)


def heads_of(given: Sequence[str]) -> list[tuple[str | int, int]]:
    """``LAYER:HEAD`` strings as pairs; a layer by place or by name.

    Raises:
        OptionError: not of that form.

    Example:
        >>> heads_of(["0:3", "model.layers.1.attn:2"])
        [(0, 3), ('model.layers.1.attn', 2)]
    """
    found: list[tuple[str | int, int]] = []
    for item in given:
        layer, colon, head = item.rpartition(":")
        if not colon or not layer or not head.isdecimal():
            raise OptionError(f"--head {item!r} given; LAYER:HEAD is due, such as 0:3")
        found.append((int(layer) if layer.isdecimal() else layer, int(head)))
    return found


def _announcer(tell: Callable[[str], None]) -> Callable[[AttentionSize], None]:
    def announce(size: AttentionSize) -> None:
        tell(
            f"{size.heads:,} heads in {size.layers} layers over {size.tokens:,} tokens: "
            f"{size.summary / 1e6:,.1f} MB summary, {size.states / 1e6:,.1f} MB queries and keys "
            f"(all weights would take {size.weights / 1e6:,.0f} MB)"
        )

    return announce


def write_attention(found: Attention, format_: Format, output: Path | None, top: int) -> None:
    """Print a record, or write it."""
    from whence.core.files import write_atomic

    if format_ is Format.text and output is None:
        from rich.console import Console

        from whence.app.attention_terminal import render

        render(found, Console(), top=top)
        return
    if format_ is Format.json:
        data = found.record.to_json() + b"\n"
    elif format_ is Format.html:
        from whence.app.attention_page import page

        data = page(found).encode("utf-8")
    else:
        from whence.app.attention_terminal import plain_text

        data = (plain_text(found, top=top) + "\n").encode("utf-8")
    if output is None:
        typer.echo(data.decode("utf-8"), nl=False)
    else:
        write_atomic(output, data)
