"""Values and gradients of the outputs at points of embedding space.

What :class:`~whence.games.game.Game` is to coalitions, this is to paths between embeddings: the
one place where gradient methods reach a model, and where their passes are batched and counted.
Only the tokens of features move; frozen tokens (special tokens, the markup of a template) keep their
own embedding, so that scores over the features can add up exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, unknown
from whence.core.targets import Output
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.pass_game import PassGame
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import Encoding, GivesGradients, Gradients, Readout, TokenModel

__all__ = ["BASELINES", "Baseline", "EmbeddingGame"]

Baseline = Literal["mean", "zero", "mask", "pad", "unknown", "bos"]
BASELINES: tuple[Baseline, ...] = ("mean", "zero", "mask", "pad", "unknown", "bos")


class EmbeddingGame(PassGame):
    """Values and gradients along paths in embedding space, counted and batched.

    Args:
        model: token model that gives gradients.
        encoding: input.
        readout: outputs.
        tokens: tokens of each feature.
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
        token_budget: int = DEFAULT_TOKEN_BUDGET,
    ) -> None:
        if not isinstance(model, GivesGradients):
            raise CapabilityError(f"{model.identity.ref} gives no gradients")
        super().__init__(encoding, readout, tokens, budget=budget, token_budget=token_budget)
        self._model = model
        self._gradients = model

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What is explained."""
        return self._readout.outputs

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
                others = [key for key, value in ids.items() if value is not None]
                raise CapabilityError(
                    f"the tokenizer of {self._model.identity.ref} has no token for baseline "
                    f"{name!r}. Baselines that work here: {', '.join(['mean', 'zero', *others])}"
                )
            absent = self._gradients.embed_ids([token])[0]
        for group in self._tokens.groups:
            # Of tokens alone: positions are added inside the model, so what is absent keeps its
            # place.
            point[group] = absent
        return point

    def random_baselines(
        self, count: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "count tokens width"]:
        """The input with tokens drawn from the vocabulary in the place of the features'.

        Each as likely as any other, special ones left out.
        """
        vocabulary = self._model.vocabulary
        special = (
            vocabulary.mask_id,
            vocabulary.pad_id,
            vocabulary.unknown_id,
            vocabulary.bos_id,
        )
        plain = np.setdiff1d(np.arange(vocabulary.size), [i for i in special if i is not None])
        points = np.repeat(self.point()[None], count, axis=0)
        free = np.concatenate(self._tokens.groups)
        ids = rng.choice(plain, size=(count, len(free)))
        embedded = self._gradients.embed_ids(ids.ravel().tolist())
        points[:, free] = embedded.reshape(count, len(free), -1)
        return points

    def portions(self, count: int, each: int = 1) -> Iterator[range]:
        """``count`` points in portions whose gradients take some 32 MB, ``each`` gradients a point."""
        size = max(1, self.point().size * self.k * each)
        # 4 million numbers in float64; chosen by hand.
        step = max(1, 2**22 // size)
        for start in range(0, count, step):
            yield range(start, min(start + step, count))

    def at(
        self, points: Float[np.ndarray, "batch tokens width"]
    ) -> tuple[Float[np.ndarray, "batch k"], Float[np.ndarray, "batch k tokens width"]]:
        """Values and gradients at some embedded inputs; of none, none, and no pass.

        Raises:
            BudgetError: more points than passes left; none is evaluated.
            GradientError: the derivatives are not those of the model's answer to the ids.
        """
        count, length, width = points.shape
        values = np.empty((count, self.k))
        slopes = np.empty((count, self.k, length, width))

        def run(rows: range) -> Gradients:
            batch = points[rows.start : rows.stop]
            return self._gradients.gradients(self._encoding, batch, self._readout)

        with self._passes(count):
            for rows, batch in self._token_budget.batches(count, length, run):
                values[rows.start : rows.stop] = batch.values
                slopes[rows.start : rows.stop] = batch.gradients
                # Counted batch by batch: after a stop or a lack of memory the count is of what did
                # run.
                self.gradient_passes += len(rows)
                self.probes += batch.probes
                each = length + self._readout.extra_tokens
                self._tokens_read += (len(rows) + batch.probes) * each
        return values, slopes
