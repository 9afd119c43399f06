"""The game of a model: features of one input are made absent, and the model is evaluated.

The one place that perturbs, batches, caches and counts. Rows that read alike are evaluated
once; new rows are sorted by length and packed into batches of a token budget, which halves when
memory runs out; finished batches stay in the cache when the run is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from whence.core.errors import Interrupted
from whence.core.features import Document, Segmentation
from whence.core.progress import Progress
from whence.core.provenance import Cost
from whence.games.batching import DEFAULT_TOKEN_BUDGET, TokenBudget
from whence.games.cache import Cache, cache_key, call_cache
from whence.games.game import Game
from whence.games.maskers import Masker
from whence.games.token_alignment import FeatureTokens
from whence.models.protocols import (
    AnswerState,
    Encoding,
    Evaluated,
    GivesAnswerState,
    Model,
    Readout,
    Row,
    TextModel,
    TokenModel,
)

__all__ = ["ModelGame", "TextGame", "TokenGame"]


@runtime_checkable
class _KeepsStates(Protocol):
    def fresh(self) -> Readout: ...


def _state_of(model: Model) -> AnswerState:
    """What a model says decides its answers; of a model that says nothing, its fingerprint."""
    if isinstance(model, GivesAnswerState):
        return model.answer_state()
    return AnswerState(model.identity.fingerprint)


class ModelGame(Game):
    """What the games of token models and of text models share: batches, cache, counters."""

    def __init__(
        self,
        n: int,
        readout: Readout,
        *,
        state: AnswerState,
        budget: int | None,
        cache: Cache | None,
        token_budget: int,
        progress: Progress | None,
    ) -> None:
        super().__init__(n, readout.outputs, budget=budget)
        # What a readout keeps between batches was computed by the model as it was: another game may be
        # of another state.
        self.readout = readout.fresh() if isinstance(readout, _KeepsStates) else readout
        self._token_budget = TokenBudget(token_budget)
        self.distinct_evaluations = 0
        self.tokens = 0
        # Answers of a model without a key stay in this game: nothing tells two such models apart.
        self._state = state
        self._cache = call_cache(None if state.key is None else cache)
        self._progress = progress

    @property
    def cost(self) -> Cost:
        """Evaluations asked, inputs really read, tokens pushed, seconds."""
        return Cost(
            evaluations=self.evaluations,
            distinct_evaluations=self.distinct_evaluations,
            tokens=self.tokens,
            seconds=self.seconds,
        )

    def _rows(self, coalitions: Bool[np.ndarray, "m n"]) -> list[Any]:
        raise NotImplementedError

    def _key(self, row: Any) -> bytes:
        raise NotImplementedError

    def _length(self, row: Any) -> int:
        raise NotImplementedError

    def _evaluate(self, rows: Sequence[Any]) -> Evaluated:
        raise NotImplementedError

    def _answer(self, coalitions: Bool[np.ndarray, "m n"], keys: Sequence[bytes]) -> None:
        rows = self._rows(coalitions)
        name = self._state.key or ""
        row_keys = [cache_key(name, self.readout.key, self._key(row)) for row in rows]
        # Different coalitions can read alike: deleting either "very" of "very very good" does.
        askers: dict[bytes, list[int]] = {}
        for index, row_key in enumerate(row_keys):
            askers.setdefault(row_key, []).append(index)
        distinct = list(askers)
        answered_count = 0

        def store(row_key: bytes, value: Float[np.ndarray, " k"]) -> None:
            nonlocal answered_count
            for index in askers[row_key]:
                self._remember(keys[index], value)
                answered_count += 1

        first = {row_key: rows[indices[0]] for row_key, indices in askers.items()}

        def evaluate(row_keys: Sequence[bytes]) -> list[Float[np.ndarray, " k"]]:
            batch = self._evaluate([first[row_key] for row_key in row_keys])
            self.distinct_evaluations += len(row_keys) + batch.probes
            self.tokens += batch.tokens
            # Copies: a view of one row would hold the whole batch in memory for as long as it is
            # cached.
            return [np.array(value, dtype=np.float64) for value in batch.values]

        known = self._cache.known(distinct, self._state, lambda row_key: evaluate([row_key])[0])
        missing: list[bytes] = []
        for row_key, value in zip(distinct, known, strict=True):
            if value is None:
                missing.append(row_key)
            else:
                # It counts like a fresh answer: whether a budget suffices must not depend on who
                # asked before.
                store(row_key, value)
        # Longest first: the batch most likely to run out of memory is met at once.
        missing.sort(key=lambda row_key: -self._length(first[row_key]))

        def length(place: int) -> int:
            return self._length(first[missing[place]])

        def run(places: range) -> list[Float[np.ndarray, " k"]]:
            return evaluate([missing[place] for place in places])

        try:
            for places, values in self._token_budget.batches(len(missing), length, run):
                answered = missing[places.start : places.stop]
                for row_key, value in zip(answered, values, strict=True):
                    store(row_key, value)
                # After the game's own memory: a disk that is full then costs the record, not the
                # answers.
                self._cache.keep(answered, values, self._state)
                if self._progress is not None:
                    self._progress("evaluations", answered_count, len(keys))
        except KeyboardInterrupt as stop:
            raise Interrupted(
                f"stopped after {answered_count:,} of {len(keys):,} evaluations; what was computed is "
                "in the cache, where one was given (cache=whence.DiskCache(path)), so the same call with "
                "the same cache continues from here",
                evaluations=self.evaluations,
            ) from stop


class TokenGame(ModelGame):
    """The game of a model that is perturbed in token ids.

    Args:
        model: model.
        encoding: input.
        readout: outputs that are read.
        tokens: tokens of each feature.
        masker: masker that makes features absent.
        budget: most distinct coalitions, or ``None``.
        cache: store of evaluations; none: those of the game alone. Of what a store knows one
            evaluation is made again, and the store is left alone where the model answers otherwise.
        token_budget: most tokens in a batch, the forced continuation counted; halves when
            memory runs out.
        progress: callable of (what, done, total), called after each batch of evaluations.
    """

    def __init__(
        self,
        model: TokenModel,
        encoding: Encoding,
        readout: Readout,
        tokens: FeatureTokens,
        masker: Masker,
        *,
        budget: int | None = None,
        cache: Cache | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(
            len(tokens.groups),
            readout,
            state=_state_of(model),
            budget=budget,
            cache=cache,
            token_budget=token_budget,
            progress=progress,
        )
        self._model = model
        self._make = masker.bind(model, encoding, tokens.anchored(readout))

    def _rows(self, coalitions: Bool[np.ndarray, "m n"]) -> list[Row]:
        return self._make(coalitions)

    def _key(self, row: Row) -> bytes:
        return row.key()

    def _length(self, row: Row) -> int:
        return len(row) + self.readout.extra_tokens

    def _evaluate(self, rows: Sequence[Row]) -> Evaluated:
        return self._model.evaluate(rows, self.readout)


class TextGame(ModelGame):
    """The game of a model that is perturbed in text: a callable, an endpoint.

    Args:
        model: model.
        document: input.
        segmentation: features.
        readout: outputs that are read.
        masker: masker that works on text.
        budget: most distinct coalitions, or ``None``.
        cache: store of evaluations; not used for a model whose state cannot be read.
        batch: number of texts in one call at most; 64 by default, chosen by hand.
        progress: callable of (what, done, total), called after each batch of evaluations.
    """

    def __init__(
        self,
        model: TextModel,
        document: Document,
        segmentation: Segmentation,
        readout: Readout,
        masker: Masker,
        *,
        budget: int | None = None,
        cache: Cache | None = None,
        batch: int = 64,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(
            len(segmentation),
            readout,
            state=_state_of(model),
            budget=budget,
            cache=cache,
            # Each text counts as one token (see _length), which makes the budget a number of texts.
            token_budget=batch,
            progress=progress,
        )
        self._model = model
        self._make = masker.bind_text(model, document, segmentation)

    def _rows(self, coalitions: Bool[np.ndarray, "m n"]) -> list[str]:
        return self._make(coalitions)

    def _key(self, row: str) -> bytes:
        return row.encode("utf-8")

    def _length(self, row: str) -> int:
        return 1

    def _evaluate(self, rows: Sequence[str]) -> Evaluated:
        return self._model.evaluate_text(rows, self.readout)
