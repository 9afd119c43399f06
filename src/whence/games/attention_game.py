"""What a model's attention layers did on one input, and what changing it does.

What :class:`~whence.games.game.Game` is to coalitions, this is to attention: the one place where
methods over attention reach a model, and where their passes are batched and counted. Tokens that
are in no feature (special tokens, the markup of a chat template, what the model writes) keep their
share; a method notes how much that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, GradientError
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.pass_game import PassGame
from whence.games.token_alignment import FeatureTokens
from whence.models.access import GivesHeads
from whence.models.internals.trace import Trace, TracedCall, trace
from whence.models.internals.trace_hooks import TraceParts
from whence.models.protocols import Encoding, Evaluated, GivesGradients, Readout, TokenModel

__all__ = ["AttentionGame", "Passes", "Run", "row_blocks"]

_BLOCK = 1 << 22
"""Numbers of a block of rows in memory at a time: 16 MB in float32. Chosen by hand."""


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

    def unfollowed(self) -> tuple[str, ...]:
        """Blocks that are no attention, of which the passes say nothing."""
        blocks = self.trace.blocks_without_attention
        if not blocks:
            return ()
        return (
            f"{len(blocks)} blocks hold no attention layer ({', '.join(blocks[:3])}"
            f"{', ...' if len(blocks) > 3 else ''}): what they pass from token to token, as by a state "
            "or a convolution, is not followed",
        )

    def notes(self) -> tuple[str, ...]:
        """What the scores of attention weights leave out, or rest on that the model did not use."""
        return self.unfollowed() + tuple(
            f"the weights of {name}, computed again, miss its kernel's output by {error:.1e} of "
            "its size: the scores rest on weights that the model did not use"
            for name, error in self.trace.misses()
        )


class AttentionGame(PassGame):
    """Attention on one input: traced in one pass, or changed and evaluated again.

    Args:
        model: token model that gives gradients and the outputs of heads.
        encoding: input.
        readout: outputs.
        tokens: tokens of each feature.
        budget: most passes of either kind, or ``None``.
        token_budget: most tokens in one batch; halved when memory runs out.
        alternatives: methods to name where the model does not give what is needed.

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
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        alternatives: Sequence[str] = (),
    ) -> None:
        self._alternatives = tuple(alternatives)
        self._ref = model.identity.ref
        if not isinstance(model, GivesHeads) or not isinstance(model, GivesGradients):
            raise self.refusal(f"{self._ref} gives no attention")
        super().__init__(encoding, readout, tokens, budget=budget, token_budget=token_budget)
        self._heads = model

    @property
    def size(self) -> int:
        """Number of tokens of the input, those of no feature included."""
        return len(self._encoding.ids)

    def refusal(self, reason: str, *also: str) -> CapabilityError:
        """An error that gives the reason, and names the methods that work here."""
        return CapabilityError(
            f"{reason}. Methods that work here: {', '.join((*also, *self._alternatives))}"
        )

    def follow(self, *, slopes: bool = False, stream: bool = False, blocks: bool = False) -> Passes:
        """One forward-and-backward pass, followed; see :func:`whence.models.internals.trace.trace`.

        Raises:
            CapabilityError: the model's layers keep their softmax to themselves.
            BudgetError: no pass is left.
        """
        parts = TraceParts(gradients=slopes, stream=stream, blocks=blocks)
        with self._passes(1):
            try:
                prove = getattr(self._heads, "prove_gradients", None)
                if slopes and prove is not None:
                    self.probes += prove(self._encoding, self._readout)
                result = trace(self._heads, self._encoding, self._readout, parts=parts)
            # That tells what is wrong by itself, and which methods are left is another list.
            except GradientError:
                raise
            except CapabilityError as error:
                raise self.refusal(str(error)) from error
        self.gradient_passes += 1
        self._tokens_read += self.size + self._readout.extra_tokens
        return self._by_run(result)

    def _by_run(self, result: Trace) -> Passes:
        cross = any(call.kind == "cross" for call in result.calls)
        encoder = tuple(c for c in result.calls if c.kind == "bidirectional") if cross else ()
        rest = tuple(c for c in result.calls if not cross or c.kind != "bidirectional")
        count = len(getattr(self._readout, "sequences", ())) or 1
        # A trace lists calls in the order in which they ran, and forced sequences are evaluated one
        # after the other, so equal stretches of the list are the runs. A model that skips layers,
        # or runs a decoder in pieces, breaks this, and one run's weights would be read as
        # another's.
        if cross and self._heads.task == "causal":
            name = next(call.name for call in result.calls if call.kind == "cross")
            raise self.refusal(
                f"{name} of {self._ref} reads something else than the tokens of the text "
                "(cross-attention), so its weights cannot be tied to features"
            )
        if cross and not encoder:
            raise self.refusal(
                f"no attention layer of the encoder of {self._ref} calls an attention function that "
                "transformers shares, so what the decoder reads of the text cannot be followed"
            )
        if encoder and self._heads.task != "seq2seq":
            raise self.refusal(
                f"the decoder of {self._ref} reads the text as well as its encoder, so its attention "
                "cannot be tied to features"
            )
        for call in result.calls:
            # A decoder's own positions are those that it writes; all others begin with the text.
            keys = self.size if call.kind == "cross" or call in encoder else call.queries
            if call.keys != keys or (not cross and call.queries < self.size):
                raise self.refusal(
                    f"the keys of {call.name} are not the tokens that were read ({call.keys} keys, "
                    f"{call.queries} queries, a text of {self.size} tokens), so its weights cannot be "
                    "tied to features"
                )
        if not rest or len(rest) % count:
            raise self.refusal(
                f"the attention layers of {self._ref} ran {len(rest)} times for {count} forced "
                "sequence(s), so the passes cannot be told apart"
            )
        calls = len(rest) // count
        groups = [rest[i * calls : (i + 1) * calls] for i in range(count)]
        # The last attention layer: behind it only layers that work at each position by itself and
        # the readout follow, so a position without a gradient here is read by nothing.
        reach = [result.reach[group[-1].index] for group in groups]
        total = sum((r.sum(axis=1) for r in reach), np.zeros(self.k))
        # An output without a gradient has shares of zero everywhere in place of 0 / 0.
        safe = np.where(total > 0, total, 1.0)[:, None]
        runs = tuple(
            Run(calls=group, shares=r / safe) for group, r in zip(groups, reach, strict=True)
        )
        return Passes(trace=result, encoder=encoder, runs=runs)

    def changed(
        self, count: int, change: Callable[[int], Sequence[Any]]
    ) -> Float[np.ndarray, "rows k"]:
        """The outputs with ``change(b)`` made to the model's attention, for each ``b``; a pass each.

        No change: no row, and no pass.

        Raises:
            BudgetError: more changes than passes left; none is made.
            MemoryError: one row does not fit.
        """
        values = np.empty((count, self.k))

        def run(rows: range) -> Evaluated:
            changes = [change(row) for row in rows]
            return self._heads.evaluate_with_changes(self._encoding, self._readout, changes)

        with self._passes(count):
            for rows, batch in self._token_budget.batches(count, self._length, run):
                values[rows.start : rows.stop] = batch.values
                # Counted batch by batch: after a stop or a lack of memory the count is of what did
                # run.
                self.evaluations += len(rows)
                self._tokens_read += batch.tokens
        return values

    @property
    def batch(self) -> int:
        """Passes that fit the token budget at once."""
        return self._token_budget.fits(self._length)

    @property
    def _length(self) -> int:
        return max(1, self.size + self._readout.extra_tokens)

    def count(self, passes: int) -> None:
        """Count passes that a trace ran, one for each token through each layer.

        Raises:
            BudgetError: more than are left.
        """
        with self._passes(passes):
            self.evaluations += passes
        self._tokens_read += passes * self.size


def row_blocks(call: TracedCall, each: int) -> Iterator[tuple[int, int]]:
    """The rows of a call in blocks that hold few enough of ``each`` numbers a row."""
    # One row at least, since a row cannot be divided, however long the text.
    step = max(1, _BLOCK // max(1, each))
    for start in range(0, call.queries, step):
        yield start, min(start + step, call.queries)
