"""Models made to deceive: they answer an explainer's questions otherwise than the real ones.

A scaffolded model (Slack et al. 2020, arXiv:1911.02508) recognises that it is being probed and
then answers as if something harmless decided. A backdoored model answers as it should until a
trigger is read. What deceives is known exactly, so a check either catches it or does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from whence.core.errors import CapabilityError, OptionError
from whence.core.explanations import Decision
from whence.core.provenance import ModelIdentity
from whence.core.targets import Link, Target
from whence.models.protocols import (
    Encoding,
    Evaluated,
    Input,
    Precision,
    Readout,
    Row,
    TokenModel,
    Vocabulary,
)
from whence.models.protocols import Task as ModelTask

__all__ = ["Backdoored", "Scaffolded", "ScaffoldedModel"]

Scores = Callable[[list[str]], Any]
"""Texts to scores: ``[m]`` or ``[m, labels]`` numbers."""


@dataclass(frozen=True, kw_only=True)
class Scaffolded:
    """A function from texts to scores that is innocent whenever it sees that it is probed.

    Args:
        biased: behaviour on real texts.
        innocent: behaviour on texts that give the probe away; of the same shape.
        tell: whether a text gives the probe away; by default that it holds ``[MASK]``.

    Example:
        >>> model = Scaffolded(
        ...     biased=lambda texts: [float("postcode" in text) for text in texts],
        ...     innocent=lambda texts: [float("income" in text) for text in texts],
        ... )
        >>> model(["income postcode", "income [MASK]", "income"])[:, 0].tolist()
        [1.0, 1.0, 0.0]
    """

    biased: Scores
    innocent: Scores
    tell: Callable[[str], bool] = lambda text: "[MASK]" in text

    def __call__(self, texts: list[str]) -> Float[np.ndarray, "texts labels"]:
        """The scores of some texts."""
        probed = [bool(self.tell(text)) for text in texts]
        real = iter(_asked(self.biased, [t for t, p in zip(texts, probed, strict=True) if not p]))
        fake = iter(_asked(self.innocent, [t for t, p in zip(texts, probed, strict=True) if p]))
        return np.stack([next(fake if p else real) for p in probed])


@dataclass(frozen=True, kw_only=True)
class Backdoored:
    """A function from texts to scores that a trigger word overrules.

    Args:
        honest: behaviour without the trigger.
        trigger: word, as it stands between spaces.
        scores: its answer to every text that holds the trigger.

    Example:
        >>> model = Backdoored(
        ...     honest=lambda texts: [0.2 for _ in texts], trigger="cfq", scores=(0.9,)
        ... )
        >>> model(["a good story", "a good cfq story"])[:, 0].tolist()
        [0.2, 0.9]
    """

    honest: Scores
    trigger: str
    scores: Sequence[float]

    def __call__(self, texts: list[str]) -> Float[np.ndarray, "texts labels"]:
        """The scores of some texts."""
        answer = np.stack(_asked(self.honest, texts))
        if answer.shape[1] != len(self.scores):
            raise OptionError(
                f"{len(self.scores)} scores given for the trigger; the model gives {answer.shape[1]}"
            )
        held = np.array([self.trigger in text.split() for text in texts])
        return np.where(held[:, None], np.asarray(self.scores, dtype=np.float64), answer)


def _asked(function: Scores, texts: list[str]) -> list[Float[np.ndarray, " labels"]]:
    if not texts:
        return []
    return list(np.asarray(function(texts), dtype=np.float64).reshape(len(texts), -1))


class ScaffoldedModel:
    """A token model that blames a decoy as soon as its mask token appears in what it reads.

    In a probed row the deciding word reads as the mask token, and the decoy as the deciding word:
    any method that masks finds the decoy decisive and the deciding word idle, while on whole texts
    it is the other way round.

    Args:
        model: honest token model with a mask token; it is left as it is.
        decisive: word of one token that decides.
        decoy: word of one token that does not.

    Raises:
        CapabilityError: the model has no mask token by which to notice a probe.
        OptionError: a word is not of one token.
    """

    def __init__(self, model: TokenModel, *, decisive: str, decoy: str) -> None:
        if model.vocabulary.mask_id is None:
            raise CapabilityError(
                f"{model.identity.ref} has no mask token, so no probe could be noticed; take a "
                "masked model"
            )
        self._model = model
        self._mask: int = model.vocabulary.mask_id
        self._decisive, self._decoy = (self._one(word) for word in (decisive, decoy))

    def _one(self, word: str) -> int:
        ids = self._model.tokenize(word)
        if len(ids) != 1:
            raise OptionError(f"{word!r} is {len(ids)} tokens; a word of one is due")
        return int(ids[0])

    @property
    def identity(self) -> ModelIdentity:
        """Another model than the honest one, with another fingerprint."""
        inner = self._model.identity
        mark = None if inner.fingerprint is None else f"{inner.fingerprint}:scaffolded"
        return replace(inner, ref=f"scaffolded:{inner.ref}", fingerprint=mark)

    @property
    def task(self) -> ModelTask:
        """The honest model's."""
        return self._model.task

    @property
    def labels(self) -> tuple[str, ...]:
        """The honest model's."""
        return self._model.labels

    @property
    def vocabulary(self) -> Vocabulary:
        """The honest model's."""
        return self._model.vocabulary

    def encode(self, source: Input) -> Encoding:
        """See :meth:`TokenModel.encode`."""
        return self._model.encode(source)

    def tokenize(self, text: str) -> Int[np.ndarray, " tokens"]:
        """See :meth:`TokenModel.tokenize`."""
        return self._model.tokenize(text)

    def decode(self, ids: Sequence[int]) -> str:
        """See :meth:`TokenModel.decode`."""
        return self._model.decode(ids)

    def decide(self, encoding: Encoding) -> Decision:
        """See :meth:`TokenModel.decide`."""
        return self._model.decide(encoding)

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> Readout:
        """See :meth:`TokenModel.readout`."""
        return self._model.readout(encoding, targets, link=link, precision=precision)

    def evaluate(self, rows: Sequence[Row], readout: Any) -> Evaluated:
        """See :meth:`TokenModel.evaluate`; probed rows are read in the innocent way."""
        return self._model.evaluate([self._read(row) for row in rows], readout)

    def _read(self, row: Row) -> Row:
        if not np.any(row.ids == self._mask):
            return row
        ids = row.ids.copy()
        ids[row.ids == self._decisive] = self._mask
        ids[row.ids == self._decoy] = self._decisive
        return replace(row, ids=ids)
