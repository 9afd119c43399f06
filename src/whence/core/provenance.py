"""Where a result came from: model, method, masker, seed, cost, versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from whence.core.record import Value

__all__ = [
    "Cost",
    "MethodSpec",
    "ModelIdentity",
    "Provenance",
    "Setting",
    "environment",
    "now",
]

Setting = str | int | float | bool | None
"""What an option's value may be in a record."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cost(Value):
    """What a computation took.

    Attributes:
        evaluations: coalitions asked of the game.
        distinct_evaluations: inputs that the model really read: those of these coalitions that no
            cache held, and those read once more to show that a shortcut changes no answer.
        gradient_evaluations: forward-and-backward passes, one per embedded input; those that
            compare the gradients with the model's own answer count too.
        tokens: tokens pushed through the model, padding left out.
        seconds: wall time, in seconds.
    """

    evaluations: int = 0
    distinct_evaluations: int = 0
    gradient_evaluations: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @classmethod
    def total(cls, costs: Iterable[Cost]) -> Cost:
        """What several computations took together.

        Example:
            >>> Cost.total([Cost(evaluations=2), Cost(evaluations=3, tokens=7)]).evaluations
            5
        """
        each = list(costs)
        return cls(
            evaluations=sum(cost.evaluations for cost in each),
            distinct_evaluations=sum(cost.distinct_evaluations for cost in each),
            gradient_evaluations=sum(cost.gradient_evaluations for cost in each),
            tokens=sum(cost.tokens for cost in each),
            # From 0.0: a sum of none is the int 0 otherwise, which is written as other bytes.
            seconds=sum((cost.seconds for cost in each), 0.0),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelIdentity(Value):
    """Which model answered.

    ``fingerprint`` is a SHA-256 over the configuration, the weights and the tokenizer; for a
    callable, which cannot be hashed, it is ``None``, and its answers are never cached on disk.
    """

    ref: str
    task: str
    architecture: str
    fingerprint: str | None
    parameters: int | None = None
    dtype: str | None = None
    device: str | None = None
    revision: str | None = None
    quantisation: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MethodSpec(Value):
    """A method, masker or segmenter by name, with every option's value."""

    name: str
    options: dict[str, Setting] = field(default_factory=dict[str, Setting])

    @classmethod
    def of(cls, thing: Any) -> MethodSpec:
        """The specification of a dataclass instance: its class name and fields."""
        from dataclasses import fields

        options = {f.name: _setting(getattr(thing, f.name)) for f in fields(thing)}
        return cls(name=type(thing).__name__, options=options)

    def __str__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.name}({settings})"


def _setting(value: Any) -> Setting:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Provenance(Value):
    """Everything needed to say how a result was made, and to make it again.

    Attributes:
        created: time of the run, ISO 8601 in UTC.
        choice: choice of ``method="auto"`` and its reason; ``None`` where the caller chose.
        environment: versions of the packages that computed, by name.
    """

    whence: str
    created: str
    model: ModelIdentity
    method: MethodSpec
    masker: MethodSpec | None
    segmenter: MethodSpec
    seed: int
    cost: Cost
    choice: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])


def now() -> str:
    """The time, as records have it: ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, str]:
    """Versions of the packages that compute, of those that are installed."""
    return dict(_versions())


# Once a process, which has loaded one version of each: every explanation names them.
@cache
def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    # From the metadata of packages, so that core need not import torch to name its version.
    for name in ("numpy", "torch", "transformers", "tokenizers"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
