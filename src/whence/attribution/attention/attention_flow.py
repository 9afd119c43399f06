"""Attention flow: the maximum flow from a feature to the explained position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from whence.attribution.attention.rollout import MeanAttention
from whence.attribution.method import AttentionMethod, Estimate
from whence.core.errors import OptionError
from whence.games.attention_game import AttentionGame, Passes, Run, row_blocks
from whence.models.internals.trace import TracedCall

__all__ = ["AttentionFlow"]

SCALE = 1 << 24
"""Capacities are integers: 1 is this many, as finely as float32 tells weights apart (24 bits)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionFlow(AttentionMethod):
    """The maximum flow from a feature to the explained position through the layers' attention.

    The graph has a node for every token at every layer; the edge from token ``j`` before a layer
    to position ``i`` after it can carry ``(mean over heads of A[i, j] + [i = j]) / 2``. A score is
    the maximum flow from the feature's tokens together to the explained position; where several
    positions are explained, the mean of the flows to each, weighted by their shares (see
    ``Rollout``). Capacities are rounded to 2^-24.

    A flow between 0 and 1, without a sign. Features' flows use the same edges, so they overlap and
    do not add up; a feature of several tokens can have less than its tokens one by one. It depends
    on the target only through the positions that are read, and takes weights for influence, as
    ``Rollout`` does.

    Args:
        exact: number of tokens up to which every edge is kept. All three defaults are chosen by
            hand.
        keep: heaviest edges of each position and layer that a longer text keeps; a note says how
            much attention the others carry.
        limit: number of tokens beyond which a text is refused.

    Cost: one forward-and-backward pass, and a maximum flow for each feature and each explained
    position (one for most classifiers, every token where states are pooled), whose time grows with
    layers x tokens x edges kept.

    Abnar & Zuidema (2020), arXiv:2005.00928.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> e = whence.explain(model, "She has missed 3 payments.", method="attention-flow")
        >>> e.unit, bool(((e.scores >= 0) & (e.scores <= 1)).all())
        ('flow of attention', True)
    """

    exact: int = 128
    keep: int = 32
    limit: int = 1024

    quantity: ClassVar[str] = "attention flow"
    rank: ClassVar[int] = 120

    def __post_init__(self) -> None:
        for name in ("exact", "keep", "limit"):
            if getattr(self, name) < 1:
                raise OptionError(f"expected {name} of 1 or more, got {name}={getattr(self, name)}")

    def least(self, n: int, tokens: int) -> int:
        """1 pass."""
        return 1

    def estimate(self, game: AttentionGame, *, budget: int, seed: int) -> Estimate:
        """See :class:`AttentionFlow`."""
        if game.size > self.limit:
            raise OptionError(
                f"expected at most limit={self.limit:,} tokens, got {game.size:,}: the time of a "
                "maximum flow grows faster than the text. Shorten the text, raise limit, or take "
                "Rollout, which reads the same weights in one pass"
            )
        passes = game.follow()
        keep = None if game.size <= self.exact else self.keep
        owned = np.concatenate([*game.groups])
        # Tokens of no feature are one more source: what could flow from them alone goes into the
        # note.
        rest = np.setdiff1d(np.arange(game.size), owned)
        sources = [*game.groups, rest]
        flows = np.zeros((len(sources), game.k))
        hidden = 0.0
        for run in passes.runs:
            graph = _Graph.of(passes, run, game.size, keep)
            hidden = max(hidden, graph.hidden)
            # A flow is the expensive part, and a position with no share would be multiplied by
            # zero.
            positions = np.flatnonzero(run.shares.max(axis=0) > 0)
            for index, tokens in enumerate(sources):
                each = np.array([graph.flow(tokens, int(position)) for position in positions])
                flows[index] += run.shares[:, positions] @ each
        notes = [
            f"{100 * flows[-1].max():.0f} % of the flow could come from special tokens alone, in "
            "no feature; flows overlap and do not add up"
        ]
        if keep is not None:
            notes.append(
                f"{game.size:,} tokens are more than exact={self.exact:,}: the {keep} heaviest "
                "edges of each position were kept in each layer; at most "
                f"{100 * hidden:.0f} % of a position's attention was left out"
            )
        misses = passes.notes()
        return Estimate(
            scores=flows[:-1],
            values=passes.values,
            base_values=np.full(game.k, np.nan),
            unit="flow of attention",
            outcome="not_converged" if misses else "converged",
            notes=(*notes, *misses),
        )


@dataclass(slots=True, eq=False)
class _Graph:
    """Edges between levels; node 0 is where flow comes from, node 1 where it goes."""

    tokens: int
    heads: list[np.ndarray] = field(default_factory=list[np.ndarray])
    tails: list[np.ndarray] = field(default_factory=list[np.ndarray])
    sizes: list[np.ndarray] = field(default_factory=list[np.ndarray])
    nodes: int = 2
    hidden: float = 0.0
    first: int = 2
    last: int = 2
    positions: int = 0
    _built: tuple[Any, np.ndarray, np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(cls, passes: Passes, run: Run, tokens: int, keep: int | None) -> _Graph:
        """The graph of one run, with its encoder's levels below where there is one."""
        graph = cls(tokens=tokens, positions=run.shares.shape[1])
        mean = MeanAttention(passes.trace)
        below = graph._level(tokens if passes.encoder else graph.positions)
        for call in passes.encoder:
            below = graph._layer(mean, call, below, None, keep)
        text = below
        if passes.encoder:
            below = graph._level(graph.positions)
        for call in run.calls:
            below = graph._layer(mean, call, below, text if call.kind == "cross" else None, keep)
        graph.last = below
        return graph

    def _level(self, size: int) -> int:
        self.nodes += size
        return self.nodes - size

    def _layer(
        self, mean: MeanAttention, call: TracedCall, below: int, text: int | None, keep: int | None
    ) -> int:
        above = self._level(call.queries)
        source = below if text is None else text
        for start, stop in row_blocks(call, mean.each(call)):
            parts, stay = mean.rows(call, start, stop)
            weights = parts[0]
            lines = np.arange(start, stop)
            if keep is not None and keep < call.keys:
                least = np.partition(weights, -keep, axis=1)[:, -keep, None]
                cut = np.where(weights >= least, weights, 0.0)
                # Twice: the residual holds half of each row, so attention's own weights are halved
                # in it.
                self.hidden = max(self.hidden, float(2 * (weights - cut).sum(axis=1).max()))
                weights = cut
            if text is None:
                # Residual and a position's attention to itself join the same two nodes: one edge,
                # both capacities.
                weights[lines - start, lines] += stay
            else:
                # A cross layer's keys are the encoder's, its residual comes from the decoder's own
                # level.
                self._edges(below + lines, above + lines, stay)
            row, key = np.nonzero(weights)
            self._edges(source + key, above + start + row, weights[row, key])
        return above

    def _edges(
        self,
        tails: Int[np.ndarray, " edges"],
        heads: Int[np.ndarray, " edges"],
        sizes: Float[np.ndarray, " edges"],
    ) -> None:
        self.tails.append(tails)
        self.heads.append(heads)
        self.sizes.append(sizes)

    def flow(self, tokens: Int[np.ndarray, " some"], position: int) -> float:
        """The most that could flow from some tokens to a position."""
        # On demand: it is slow to import, and no other method needs it.
        from scipy.sparse.csgraph import maximum_flow

        if self._built is None:
            self._built = self._matrix()
        matrix, whole, sources, sinks = self._built
        # From flow to flow only the capacities at the two ends change, so one matrix serves them
        # all.
        whole[sources] = 0
        # Rows sum to one, so no more than 1 flows into a position: a capacity of 1 at either end
        # never limits the flow.
        whole[sources[tokens]] = SCALE
        whole[sinks] = 0
        whole[sinks[position]] = SCALE
        matrix.data[:] = whole
        return float(maximum_flow(matrix, 0, 1, method="dinic").flow_value) / SCALE

    def _matrix(self) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        """The graph as a sparse matrix, its capacities, and where those at its ends stand."""
        from scipy.sparse import csr_matrix

        texts, ends = np.arange(self.tokens), np.arange(self.positions)
        # No edge may occur twice: the matrix would add up the two numbers, and the order be lost.
        # Each layer has a level of its own, so none does.
        tails = np.concatenate([*self.tails, 0 * texts, self.last + ends])
        heads = np.concatenate([*self.heads, self.first + texts, 0 * ends + 1])
        sizes = np.concatenate([*self.sizes, np.zeros(len(texts) + len(ends))])
        count = len(sizes)
        shape = (self.nodes, self.nodes)
        # Numbered first, to learn in which order the matrix keeps its edges.
        matrix: Any = csr_matrix((np.arange(1, count + 1), (tails, heads)), shape=shape)
        matrix.sort_indices()
        order: np.ndarray = matrix.data - 1
        place = np.empty(count, dtype=np.int64)
        place[order] = np.arange(count)
        inner = count - len(texts) - len(ends)
        # maximum_flow takes whole capacities only, by which its search is sure to end.
        whole = np.rint(sizes[order] * SCALE).astype(np.int32)
        matrix.data = whole.copy()
        return matrix, whole, place[inner : inner + len(texts)], place[inner + len(texts) :]
