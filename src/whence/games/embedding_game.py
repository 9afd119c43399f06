"""The embedded game: values and gradients of the outputs at points of embedding space.

What :class:`~whence.games.game.Game` is to coalitions, this is to paths between embeddings: the
one place where gradient methods touch a model, and where their passes are batched and counted.
Only the tokens of features move; frozen tokens (special tokens, a template's glue) keep their
own embedding, so that scores over the features can add up exactly.
"""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
from jaxtyping import Float

from whence.core.errors import BudgetError, CapabilityError, unknown
from whence.core.provenance import Cost
from whence.core.targets import Output
from whence.games.batching import TokenBudget
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, GivesGradients, Gradients, Readout, TokenModel

__all__ = ["BASELINES", "Baseline", "EmbeddedGame"]

Baseline = Literal["mean", "zero", "mask", "pad", "unknown", "bos"]
BASELINES: tuple[Baseline, ...] = ("mean", "zero", "mask", "pad", "unknown", "bos")


class EmbeddedGame:
    """Values and gradients along paths in embedding space, counted and batched.

    Args:
        model: a token model that gives gradients.
        encoding: the input.
        readout: the outputs.
        tokens: which tokens make up each feature.
        budget: most forward-and-backward passes (one per embedded input), or ``None``.
        token_budget: most tokens in one batch; halved when memory runs out.

    Raises:
        CapabilityError: the model gives no gradients.
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
    ) -> None:
        if not isinstance(model, GivesGradients):
            raise CapabilityError(f"{model.identity.ref} gives no gradients")
        self._model = model
        self._gradients = model
        self._encoding = encoding
        self._readout = readout
        self._tokens = tokens
        self._token_budget = TokenBudget(token_budget)
        self.budget = budget
        self.passes = 0
        self._pushed = 0
        self._seconds = 0.0

    @property
    def n(self) -> int:
        """Number of features."""
        return len(self._tokens.groups)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What is explained."""
        return self._readout.outputs

    @property
    def k(self) -> int:
        """Number of outputs."""
        return len(self._readout.outputs)

    @property
    def remaining(self) -> int | None:
        """Passes left of the budget; ``None`` for no limit."""
        return None if self.budget is None else self.budget - self.passes

    @property
    def cost(self) -> Cost:
        """What the game has cost so far."""
        return Cost(gradient_evaluations=self.passes, tokens=self._pushed, seconds=self._seconds)

    def point(self) -> Float[np.ndarray, "tokens width"]:
        """The embeddings of the input itself."""
        return self._gradients.embed(self._encoding)

    def baseline(self, name: str) -> Float[np.ndarray, "tokens width"]:
        """The embeddings of absence: features' tokens at a baseline, frozen tokens as they are.

        ``mean`` is the mean of the embedding table, ``zero`` the zero vector; the others are the
        embedding of that special token.

        Raises:
            OptionError: unknown name.
            CapabilityError: the tokenizer has no such token.
        """
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)
        point = self.point().copy()
        if name == "mean":
            absent = self._gradients.mean_embedding()
        elif name == "zero":
            absent = np.zeros(point.shape[1], dtype=point.dtype)
        else:
            vocabulary = self._model.vocabulary
            ids = {
                "mask": vocabulary.mask_id,
                "pad": vocabulary.pad_id,
                "unknown": vocabulary.unknown_id,
                "bos": vocabulary.bos_id,
            }
            token = ids[name]
            if token is None:
                there = [key for key, value in ids.items() if value is not None]
                raise CapabilityError(
                    f"baseline {name!r} asked; the tokenizer of {self._model.identity.ref} has no "
                    f"such token. Baselines that work here: {', '.join(['mean', 'zero', *there])}"
                )
            absent = self._gradients.embed_ids([token])[0]
        for group in self._tokens.groups:
            point[group] = absent
        return point

    def at(
        self, points: Float[np.ndarray, "batch tokens width"]
    ) -> tuple[Float[np.ndarray, "batch k"], Float[np.ndarray, "batch k tokens width"]]:
        """Values and gradients at some embedded inputs; of none, none, and no pass.

        Raises:
            BudgetError: more points than passes left; none is evaluated.
        """
        count, length, width = points.shape
        if self.remaining is not None and count > self.remaining:
            raise BudgetError(
                f"{count:,} gradient passes asked, {self.remaining:,} of {self.budget:,} left",
                needed=self.passes + count,
                budget=self.budget or 0,
            )
        started = time.perf_counter()
        values = np.empty((count, self.k))
        slopes = np.empty((count, self.k, length, width))

        def run(places: range) -> Gradients:
            batch = points[places.start : places.stop]
            return self._gradients.gradients(self._encoding, batch, self._readout)

        try:
            for places, found in self._token_budget.batches(count, length, run):
                values[places.start : places.stop] = found.values
                slopes[places.start : places.stop] = found.gradients
                self.passes += len(places)
                self._pushed += len(places) * (length + self._readout.extra_tokens)
        finally:
            self._seconds += time.perf_counter() - started
        return values, slopes

    def gather(self, per_token: Float[np.ndarray, "tokens k"]) -> Float[np.ndarray, "n k"]:
        """Scores of the features: the sum over each feature's tokens."""
        return np.stack([per_token[group].sum(axis=0) for group in self._tokens.groups])
