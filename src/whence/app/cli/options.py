"""Options that several commands have, each written once, and groups of them that go together."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer

from whence._class_files import class_files
from whence.app.cli.functions import PYTHON, function_named
from whence.app.cli.inputs import Format, TableFormat
from whence.core.errors import InputError, OptionError
from whence.core.registry import slug

__all__ = [
    "NO_MODEL",
    "AgainstOption",
    "DeviceOption",
    "DtypeOption",
    "FormatOption",
    "LinkOption",
    "MaskerOption",
    "ModelOption",
    "ModelOptions",
    "NextTokenOption",
    "OptionGroup",
    "OutputOption",
    "OverwriteOption",
    "QuietOption",
    "RequireOption",
    "RevisionOption",
    "SeedOption",
    "SimilarOption",
    "SourceOptions",
    "TableFormatOption",
    "TargetOption",
    "TaskOption",
    "UnitOption",
    "with_groups",
]


def _names(package: str) -> str:
    """What the classes of a folder are called on the command line; none of them is imported.

    ``Spans`` are given in Python alone.
    """
    return ", ".join(slug(name) for name in class_files([package]) if name != "Spans")


NO_MODEL = (
    "no model given: --model with a Hugging Face id, a folder, or an example model (embedded:health, "
    "embedded:credit, embedded:law; 'whence models' lists them)"
)

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Hugging Face id, folder, embedded:NAME, or python:MODULE:FUNCTION, which is called with a "
        "list of texts.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to write; default: the terminal.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that whence did not write.")
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="text, json or html; default: text, or what the suffix of an output file names.",
    ),
]
TableFormatOption = Annotated[
    TableFormat | None,
    typer.Option(
        "--format",
        "-f",
        help="text or json; default: text, or what the suffix of an output file names.",
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(help="Label or continuation to explain; default: what the model answers."),
]
AgainstOption = Annotated[
    str | None, typer.Option(help="Second answer: explain what speaks for --target against it.")
]
RequireOption = Annotated[
    str | None,
    typer.Option(
        help="Least grade of trust: A, B, C or uncalibrated; a worse one is shown, with exit code 7."
    ),
]
NextTokenOption = Annotated[
    bool, typer.Option("--next-token", help="Explain the next token alone.")
]
SimilarOption = Annotated[
    str | None, typer.Option(help="For embedding models: text to compare with.")
]
LinkOption = Annotated[
    str | None, typer.Option(help="Scale of scores: logit, log_probability, probability, log_odds.")
]
UnitOption = Annotated[
    str, typer.Option(help=f"Kind of feature: {_names('whence.games.segmenters')}.")
]
MaskerOption = Annotated[
    str, typer.Option(help=f"How a feature is removed: auto, {_names('whence.games.maskers')}.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of the random generator.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda ...")]
DtypeOption = Annotated[str, typer.Option(help="auto, float32, bfloat16 ...")]
TaskOption = Annotated[
    str | None,
    typer.Option(
        help="Task of the model: classification, token-classification, causal, seq2seq, masked-lm, "
        "embedding or sparse-embedding."
    ),
]
RevisionOption = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a Hugging Face id.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


class OptionGroup:
    """Options that go together: a dataclass whose fields are annotated as options of a command."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OptionGroup):
    """Which model, and how it is loaded."""

    model: ModelOption = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = "auto"
    task: TaskOption = None
    revision: RevisionOption = None

    def load(self, stored: str | None = None) -> Any:
        """Load the model, or the one that a record names; see :func:`whence.load`.

        Raises:
            OptionError: there is neither.
        """
        from whence.models import load

        model = self.model or stored
        if model is None:
            raise OptionError(NO_MODEL)
        task = cast("Any", self.task)
        if model.startswith(PYTHON):
            given = (self.device, self.dtype, task, self.revision)
            if given != ("auto", "auto", None, None):
                raise OptionError(
                    "--device, --dtype, --task and --revision go with a model, not with a function"
                )
            function = load(function_named(model.removeprefix(PYTHON)))
            function.ref = model
            return function
        return load(model, task=task, device=self.device, dtype=self.dtype, revision=self.revision)


@dataclass(frozen=True, kw_only=True)
class SourceOptions(OptionGroup):
    """Where the input comes from."""

    text: Annotated[
        str | None, typer.Argument(help="Text to read; '-' or nothing reads standard input.")
    ] = None
    file: Annotated[Path | None, typer.Option(help="File to read the text from.")] = None
    pair: Annotated[str | None, typer.Option(help="Second text, for pair classifiers.")] = None
    messages: Annotated[
        Path | None, typer.Option(help='JSON file of chat messages [{"role":..,"content":..}].')
    ] = None

    def check(self, rows: Path | None = None) -> None:
        """Refuse a text that is given twice.

        Raises:
            OptionError: more than one of the options is there, or the name of a file as a text.
        """
        if self.text is not None and self.text != "-" and rows is None and _is_file(self.text):
            raise OptionError(
                f"{self.text} is a file; to explain what stands in it, give --file {self.text}"
            )
        sources = [self.text not in (None, "-"), *map(bool, (self.file, self.messages, rows))]
        if sum(sources) > 1:
            raise OptionError("give the text once: as an argument, --file, --messages or --input")

    def read(self) -> Any:
        """The input: a text, a pair, or messages.

        Raises:
            InputError: a file that cannot be read, or is not what it should be.
            OptionError: there is no text.
        """
        if self.messages is not None:
            try:
                return json.loads(self.messages.read_text("utf-8"))
            # Nested some thousand deep, JSON ends in RecursionError.
            except (OSError, ValueError, RecursionError) as error:
                raise InputError(
                    f"could not read messages from {self.messages}: {error}"
                ) from error
        text = self._text()
        return text if self.pair is None else (text, self.pair)

    def _text(self) -> str:
        if self.file is not None:
            try:
                return self.file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"could not read {self.file} as UTF-8 text: {error}") from error
        if self.text is not None and self.text != "-":
            return self.text
        # At a terminal, reading would wait for a text without a word.
        if self.text is None and sys.stdin.isatty():
            raise OptionError("no text given; write it after the options, or pipe it in")
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is not UTF-8: {error}") from error


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    # Longer than a name may be, or with a character that none may have.
    except (OSError, ValueError):
        return False


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters of type :class:`OptionGroup` are filled from options of their own.

    Typer sees the fields of a group as options of the command.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[OptionGroup]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        hint = hints[name]
        if isinstance(hint, type) and issubclass(hint, OptionGroup):
            groups[name] = hint
            group_hints = get_type_hints(hint, include_extras=True)
            parameters += [
                _parameter(field.name, group_hints[field.name], field.default)
                for field in fields(cast("Any", hint))
            ]
        else:
            parameters.append(_parameter(name, hint, parameter.default))

    @wraps(command)
    def run(**options: Any) -> None:
        for name, group in groups.items():
            settings = {field.name: options.pop(field.name) for field in fields(cast("Any", group))}
            options[name] = group(**settings)
        command(**options)

    # Typer takes names and defaults from the signature and types from the annotations, and wraps()
    # has copied both from the command: each has to be replaced.
    cast("Any", run).__signature__ = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )
