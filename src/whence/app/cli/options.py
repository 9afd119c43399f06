"""Options that several commands have, each said once: what it is called and what it helps with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whence.app.cli.inputs import Format

__all__ = [
    "DeviceOption",
    "DtypeOption",
    "FileOption",
    "FormatOption",
    "LinkOption",
    "MaskerOption",
    "MessagesOption",
    "ModelOption",
    "OutputOption",
    "PairOption",
    "QuietOption",
    "RevisionOption",
    "SeedOption",
    "SimilarOption",
    "TargetOption",
    "TaskOption",
    "TextArgument",
    "UnitOption",
]

TextArgument = Annotated[
    str | None, typer.Argument(help="The text; '-' or nothing reads standard input.")
]
ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Hugging Face id, folder, or embedded:NAME.")
]
FileOption = Annotated[Path | None, typer.Option(help="Read the text from a file.")]
PairOption = Annotated[str | None, typer.Option(help="Second text, for pair classifiers.")]
MessagesOption = Annotated[
    Path | None, typer.Option(help='JSON file of chat messages [{"role":..,"content":..}].')
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write there.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to write.")]
TargetOption = Annotated[
    str | None, typer.Option(help="Label, or continuation; default: what the model says.")
]
SimilarOption = Annotated[
    str | None, typer.Option(help="For embedding models: the text to compare with.")
]
LinkOption = Annotated[
    str | None, typer.Option(help="logit, log_probability, probability or log_odds.")
]
UnitOption = Annotated[str, typer.Option(help="token, word, sentence, paragraph, passage or turn.")]
MaskerOption = Annotated[str, typer.Option(help="How absence is made, or auto.")]
SeedOption = Annotated[int, typer.Option(help="Of whatever is drawn.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda ...")]
DtypeOption = Annotated[str, typer.Option(help="auto, float32, bfloat16 ...")]
TaskOption = Annotated[
    str | None, typer.Option(help="classification, causal, seq2seq or embedding.")
]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit of an id.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
