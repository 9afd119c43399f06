"""The attended game: what a model's attention layers did on one input, and what changing it does.

What :class:`~whence.games.game.Game` is to coalitions, this is to attention: the one place where
methods over attention touch a model, and where their passes are batched and counted. Tokens that
are in no feature (special tokens, a template's glue, what the model writes) keep their share of
whatever is handed out; a method states how much that is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from whence.core.errors import BudgetError, CapabilityError
from whence.core.provenance import Cost
from whence.games.batching import TokenBudget
from whence.games.token_alignment import FeatureTokens
from whence.models.internals.trace import Trace, TracedCall, trace
from whence.models.internals.trace_hooks import TraceParts
from whence.models.protocols import (
    Encoding,
    Evaluated,
    GivesGradients,
    GivesHeads,
    Readout,
    TokenModel,
)

__all__ = ["AttendedGame", "Passes", "Run", "row_blocks"]

_BLOCK = 1 << 22
"""Numbers of a block of rows held at a time: 16 MB in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One pass over a text with what is forced after it, or one of a decoder.

    Attributes:
        calls: attention layers in the order in which they ran.
        shares: ``[k, positions]`` how much each output is read from each position: the norm of
            its gradient by the heads' outputs of the last layer there, as a share of the sum over
            all positions of all runs. All zero for an output without a gradient.
    """

    calls: tuple[TracedCall, ...]
    shares: Float[np.ndarray, "k positions"]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """A trace sorted into runs. ``encoder`` is empty unless decoders read another stack."""

    trace: Trace
    encoder: tuple[TracedCall, ...]
    runs: tuple[Run, ...]

    @property
    def values(self) -> Float[np.ndarray, " k"]:
        """What is explained, in this pass."""
        return self.trace.values

    def notes(self) -> tuple[str, ...]:
        """Layers whose weights are not the kernel's own."""
        return tuple(
            f"the weights of {name}, computed again, miss its kernel's output by {error:.1e} of "
            "its size: the scores rest on weights that the model did not use"
            for name, error in self.trace.misses()
        )


class AttendedGame:
    """Attention on one input: followed in one pass, or changed and asked again.

    Args:
        model: a token model that gives gradients and the outputs of heads.
        encoding: the input.
        readout: the outputs.
        tokens: which tokens make up each feature.
        budget: most passes of either kind, or ``None``.
        token_budget: most tokens in one batch; halved when memory runs out.
        instead: methods to name where the model does not give what is asked.

    Raises:
        CapabilityError: the model gives no attention.
        OptionError: a token budget below 1.
    """

    def __init__(
        self,
        model: TokenModel,
        encoding: Encoding,
        readout: Readout,
        tokens: FeatureTokens,
        *,
        budget: int | None = None,
        token_budget: int = 4096,
        instead: Sequence[str] = (),
    ) -> None:
        self._instead = tuple(instead)
        self._ref = model.identity.ref
        if not isinstance(model, GivesHeads) or not isinstance(model, GivesGradients):
            raise self.refusal(f"attention asked of {self._ref}, which gives none")
        self._heads = model
        self._encoding = encoding
        self._readout = readout
        self._tokens = tokens
        self._token_budget = TokenBudget(token_budget)
        self.budget = budget
        self.gradient_passes = 0
        self.evaluations = 0
        self._pushed = 0
        self._seconds = 0.0

    @property
    def n(self) -> int:
        """Number of features."""
        return len(self._tokens.groups)

    @property
    def groups(self) -> tuple[np.ndarray, ...]:
        """For each feature the indices of its tokens."""
        return self._tokens.groups

    @property
    def size(self) -> int:
        """Number of tokens of the input, those of no feature included."""
        return len(self._encoding.ids)

    @property
    def k(self) -> int:
        """Number of outputs."""
        return len(self._readout.outputs)

    @property
    def remaining(self) -> int | None:
        """Passes left of the budget; ``None`` for no limit."""
        if self.budget is None:
            return None
        return self.budget - self.gradient_passes - self.evaluations

    @property
    def cost(self) -> Cost:
        """What the game has cost so far."""
        return Cost(
            evaluations=self.evaluations,
            distinct_evaluations=self.evaluations,
            gradient_evaluations=self.gradient_passes,
            tokens=self._pushed,
            seconds=self._seconds,
        )

    def refusal(self, why: str, *also: str) -> CapabilityError:
        """An error that says what cannot be had, and names the methods that work here."""
        return CapabilityError(
            f"{why}. Methods that work here: {', '.join((*also, *self._instead))}"
        )

    def gather(self, per_token: Float[np.ndarray, "tokens k"]) -> Float[np.ndarray, "n k"]:
        """Scores of the features: the sum over each feature's tokens."""
        return np.stack([per_token[group].sum(axis=0) for group in self._tokens.groups])

    def follow(self, *, slopes: bool = False, stream: bool = False, blocks: bool = False) -> Passes:
        """One forward-and-backward pass, followed; see :func:`whence.models.internals.trace.trace`.

        Raises:
            CapabilityError: the model's layers keep their softmax to themselves.
            BudgetError: no pass is left.
        """
        self._spend(1)
        started = time.perf_counter()
        try:
            found = trace(
                self._heads,
                self._encoding,
                self._readout,
                parts=TraceParts(gradients=slopes, stream=stream, blocks=blocks),
            )
        except CapabilityError as error:
            raise self.refusal(str(error)) from error
        finally:
            self._seconds += time.perf_counter() - started
        self.gradient_passes += 1
        self._pushed += self.size + self._readout.extra_tokens
        return self._sorted(found)

    def _sorted(self, found: Trace) -> Passes:
        cross = any(call.kind == "cross" for call in found.calls)
        encoder = tuple(c for c in found.calls if c.kind == "bidirectional") if cross else ()
        rest = tuple(c for c in found.calls if not cross or c.kind != "bidirectional")
        count = len(getattr(self._readout, "sequences", ())) or 1
        if not rest or len(rest) % count or any(c.queries != c.keys for c in (*encoder,)):
            raise self.refusal(
                f"the attention layers of {self._ref} ran {len(rest)} times for {count} forced "
                "sequence(s), so no pass can be told from another"
            )
        each = len(rest) // count
        groups = [rest[i * each : (i + 1) * each] for i in range(count)]
        reach = [found.reach[group[-1].index] for group in groups]
        total = sum((r.sum(axis=1) for r in reach), np.zeros(self.k))
        safe = np.where(total > 0, total, 1.0)[:, None]
        runs = tuple(
            Run(calls=group, shares=r / safe) for group, r in zip(groups, reach, strict=True)
        )
        return Passes(trace=found, encoder=encoder, runs=runs)

    def changed(
        self, count: int, change: Callable[[int], Sequence[Any]]
    ) -> Float[np.ndarray, "rows k"]:
        """The outputs with ``change(b)`` made to the model's attention, for each ``b``; a pass each.

        No change: no row, and no pass.

        Raises:
            BudgetError: more changes than passes left; none is made.
            MemoryError: one row does not fit.
        """
        self._spend(count)
        started = time.perf_counter()
        values = np.empty((count, self.k))

        def run(rows: range) -> Evaluated:
            batch = [change(row) for row in rows]
            return self._heads.evaluate_with_changes(self._encoding, self._readout, batch)

        try:
            for rows, found in self._token_budget.batches(count, self._length, run):
                values[rows.start : rows.stop] = found.values
                self.evaluations += len(rows)
                self._pushed += found.tokens
        finally:
            self._seconds += time.perf_counter() - started
        return values

    @property
    def batch(self) -> int:
        """Passes that fit the token budget at once."""
        return self._token_budget.fits(self._length)

    @property
    def _length(self) -> int:
        return max(1, self.size + self._readout.extra_tokens)

    def spent(self, passes: int) -> None:
        """Count passes that a trace ran by itself: each token's, through each layer once.

        Raises:
            BudgetError: more than are left.
        """
        self._spend(passes)
        self.evaluations += passes
        self._pushed += passes * self.size

    def _spend(self, count: int) -> None:
        if self.remaining is not None and count > self.remaining:
            raise BudgetError(
                f"{count:,} passes asked, {self.remaining:,} of {self.budget:,} left",
                needed=count + self.gradient_passes + self.evaluations,
                budget=self.budget or 0,
            )


def row_blocks(call: TracedCall, each: int) -> Iterator[tuple[int, int]]:
    """The rows of a call in blocks that hold few enough of ``each`` numbers a row."""
    step = max(1, _BLOCK // max(1, each))
    for start in range(0, call.queries, step):
        yield start, min(start + step, call.queries)
