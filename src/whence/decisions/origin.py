"""Settings of a search, and where its record came from."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar, cast

from whence._version import __version__
from whence.core.errors import unknown
from whence.core.provenance import Cost, MethodSpec, Provenance, environment, now
from whence.games.maskers import Masker
from whence.games.question import Question

__all__ = ["origin_of", "settings_of"]

S = TypeVar("S")


def settings_of(kind: type[S], options: dict[str, Any] | None) -> S:
    """Settings from a caller's options.

    Raises:
        OptionError: no such option, or a value out of range.
    """
    names = [field.name for field in fields(cast("Any", kind))]
    for name in options or {}:
        if name not in names:
            raise unknown(f"option of {kind.__name__}", name, names)
    return kind(**(options or {}))


def origin_of(
    question: Question, method: MethodSpec, *, seed: int, cost: Cost, masker: Masker | None = None
) -> Provenance:
    """The provenance of a record that answers a question."""
    return Provenance(
        whence=__version__,
        created=now(),
        model=question.model.identity,
        method=method,
        masker=None if masker is None else MethodSpec.of(masker),
        segmenter=MethodSpec.of(question.segmenter),
        seed=seed,
        cost=cost,
        environment=environment(),
    )
