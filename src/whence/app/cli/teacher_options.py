"""The teacher that the options of ``distill`` and ``decide`` name."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from whence.app.cli.functions import PYTHON, function_named
from whence.core.errors import InputError, OptionError, WhenceError, unknown

if TYPE_CHECKING:
    from whence.students.teacher.teacher import Teacher

__all__ = [
    "ANSWERS",
    "GivesOption",
    "LabelOption",
    "LongOption",
    "PromptOption",
    "TeacherModelOption",
    "TeacherOptions",
    "VersionOption",
    "WordOption",
    "teaching",
]

ANSWERS = "answers.sqlite"
"""The file of the teacher's answers in the folder of a distillation."""

_GIVES = ("logit", "probability", "label")

TeacherModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Hugging Face id, folder, embedded:NAME, or python:MODULE:FUNCTION, which is called "
        "with a list of texts.",
    ),
]
PromptOption = Annotated[
    str | None,
    typer.Option(help="Makes a causal model a classifier: a prompt with {text}; needs --label."),
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option("--label", help="An answer of a prompt or a function; given for each of them."),
]
WordOption = Annotated[
    list[str] | None,
    typer.Option("--word", help="What a prompted model writes for each --label, in their order."),
]
GivesOption = Annotated[
    str | None,
    typer.Option(help="What a function answers: logit, probability or label."),
]
LongOption = Annotated[
    str, typer.Option(help="Texts longer than the model reads: refuse, or cut and record where.")
]
VersionOption = Annotated[
    str | None,
    typer.Option("--version", help="Names a function, so that its answers are kept on disk."),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherOptions:
    """What the command line says of a teacher."""

    model: str
    gives: str | None = None
    prompt: str | None = None
    labels: Sequence[str] | None = None
    words: Sequence[str] | None = None
    long: str = "refuse"
    version: str | None = None
    task: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    revision: str | None = None

    def check(self) -> None:
        """Refuse what does not go together, before anything is loaded.

        Raises:
            OptionError: an unknown setting, or one that has no meaning beside the others.
        """
        if self.long not in ("refuse", "cut"):
            raise unknown("--long", self.long, ("refuse", "cut"))
        if self.gives is not None and self.gives not in _GIVES:
            raise unknown("--gives", self.gives, _GIVES)
        function = self.model.startswith(PYTHON)
        if function and self.gives is None:
            raise OptionError(
                f"expected --gives logit, probability or label for {self.model}, got none"
            )
        if not function and (self.gives is not None or self.version is not None):
            raise OptionError(f"--gives and --version go with {PYTHON}MODULE:FUNCTION alone")
        if function and self.prompt is not None:
            raise OptionError("--prompt goes with a model that writes, not with a function")
        if not function and self.prompt is None and (self.labels or self.words):
            raise OptionError("--label and --word go with --prompt, or with a function")
        if (function or self.prompt is not None) and len(self.labels or ()) < 2:
            raise OptionError("give --label twice or more: the answers to choose from")

    def teacher(self, cache: Any) -> Teacher:
        """The teacher, loaded, with its answers in a cache."""
        from whence.models import load
        from whence.students.teacher.teacher import Teacher

        long = cast("Any", self.long)
        # Another function under the same version is another teacher.
        version = None if self.version is None else f"{self.model}@{self.version}"
        if self.model.startswith(PYTHON):
            function, labels = function_named(self.model.removeprefix(PYTHON)), self.labels or ()
            if self.gives == "label":
                return Teacher.of_labels(function, labels=labels, cache=cache, version=version)
            loaded = load(function, labels=labels)
            return Teacher.of(
                cast("Any", loaded),
                gives=cast("Any", self.gives),
                cache=cache,
                version=version,
            )
        loaded = load(
            self.model,
            task=cast("Any", self.task),
            device=self.device,
            dtype=self.dtype,
            revision=self.revision,
        )
        if self.prompt is None:
            return Teacher.of(cast("Any", loaded), cache=cache, long=long)
        return Teacher.prompted(
            cast("Any", loaded), prompt=self.prompt, labels=self.labels or (),
            words=self.words or None, cache=cache, long=long,
        )  # fmt: skip

    @property
    def kept(self) -> bool:
        """Whether answers can be distinguished from those of another teacher, and so kept on disk."""
        return self.version is not None or not self.model.startswith(PYTHON)


@contextmanager
def teaching(options: TeacherOptions, folder: Path) -> Generator[Teacher]:
    """A teacher whose answers are kept in a folder, where they can be distinguished from another's.

    A run that ends early says how many answers are kept, and that the same command goes on.
    """
    options.check()
    if not options.kept:
        yield options.teacher(None)
        return
    from whence.games.disk_cache import DiskCache

    with DiskCache(folder / ANSWERS) as cache:
        teacher = options.teacher(cache)
        try:
            yield teacher
        except (WhenceError, KeyboardInterrupt) as error:
            # What was asked for wrongly fails again.
            if len(cache) and not isinstance(error, OptionError | InputError):
                print(  # noqa: T201
                    f"whence: {len(cache):,} answers are kept in {folder / ANSWERS}; run the same "
                    "command again to go on from there.",
                    file=sys.stderr,
                )
            raise
