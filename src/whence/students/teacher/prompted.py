"""A prompted causal model as a classifier: the log-probability of each label as a continuation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, OptionError, TextTooLongError
from whence.core.targets import Continuation
from whence.models.protocols import Encoding, Readout, Row, TokenModel
from whence.students.teacher.backends import Gives, Long, Replies

__all__ = ["CONTENT_FREE", "PromptAnswerer"]

# The paper's third is the empty string, which no teacher is asked here; "nothing" stands for it.
CONTENT_FREE = ("N/A", "[MASK]", "nothing")
"""Texts that say nothing, as in Zhao et al. (2021)."""


class PromptAnswerer:
    """Labels scored by the log-probability of the whole words that stand for them.

    The logit of label ``l`` is the mean over orders of the options of
    ``log p(words_l | prompt) - log mean_c p(words_l | prompt of content-free text c)``; the second
    term, contextual calibration, takes away what the prompt alone makes the model prefer.

    Cost: one pass of the model for each text, order and label; three more texts, once, to
    calibrate. Long label words have low probability whatever the text says; calibration cancels
    that only where the text does not change it, so words of like length are safest.
    Zhao et al. (2021), arXiv:2102.09690; Holtzman et al. (2021), arXiv:2104.08315.

    Args:
        model: causal model.
        prompt: text with ``{text}`` and, where the options are listed, ``{options}``.
        labels: label names.
        words: text the model would write for each label, first space included; the names with a
            space before them where not given.
        calibrate: whether the content-free answer is taken away.
        orders: number of rotations of the options that are averaged; needs ``{options}``.
        long: treatment of texts longer than the model reads: ``"refuse"`` or ``"cut"``.
    """

    gives: Gives = "logit"

    def __init__(
        self,
        model: TokenModel,
        *,
        prompt: str,
        labels: Sequence[str],
        words: Sequence[str] | None = None,
        calibrate: bool = True,
        orders: int = 1,
        long: Long = "refuse",
    ) -> None:
        self.ref = model.identity.ref
        if model.task != "causal":
            raise CapabilityError(f"{self.ref} is a {model.task} model; prompts need a causal one")
        if len(set(labels)) < 2 or len(set(labels)) != len(labels):
            raise OptionError(f"expected two or more different labels, got {list(labels)}")
        if prompt.count("{text}") != 1:
            raise OptionError("the prompt must hold {text} once, where the text goes")
        if not 1 <= orders <= len(labels) or (orders > 1 and "{options}" not in prompt):
            raise OptionError(
                f"orders={orders} asked; rotations are 1 to {len(labels)}, and more than one needs "
                "{options} in the prompt"
            )
        # With its space: tokenizers of causal models join it to the word, and the bare word is
        # another token, which seldom follows a prompt.
        chosen = [f" {label}" for label in labels] if words is None else list(words)
        if len(chosen) != len(labels) or len(set(chosen)) != len(chosen) or not all(chosen):
            raise OptionError(
                f"expected one word for each of the labels {list(labels)}, got {chosen}"
            )
        self._model = model
        # Split, not format(): prompts and texts may hold braces, and a text that says {options}
        # must stay as it is.
        self._before, self._after = prompt.split("{text}")
        self._words = chosen
        self._calibrate = calibrate
        self._orders = orders
        self._long: Long = long
        self._prior: Float[np.ndarray, "orders labels"] | None = None
        self._prior_of: str | None = None
        self.labels = tuple(labels)

    @property
    def fingerprint(self) -> str | None:
        """The model's, and a hash of the prompt and everything that shapes the answer."""
        fingerprint = self._model.identity.fingerprint
        if fingerprint is None:
            return None
        parts = [self._before, self._after, self.labels, self._words]
        settings = json.dumps([*parts, self._calibrate, self._orders, self._long])
        return f"{fingerprint}|{hashlib.sha256(settings.encode()).hexdigest()}"

    def answer(self, texts: Sequence[str]) -> Replies:
        """Calibrated log-probabilities of all labels."""
        fingerprint = self._model.identity.fingerprint
        # Anew where weights were changed in place: the prior is of the model as it was.
        if self._calibrate and (self._prior is None or fingerprint != self._prior_of):
            empty = np.stack([self._ask(text)[0] for text in CONTENT_FREE])
            # The mean of probabilities, as in the paper, taken in logarithms because words of
            # several tokens have probabilities near 0.
            self._prior = np.logaddexp.reduce(empty, axis=0) - np.log(len(CONTENT_FREE))
            self._prior_of = fingerprint
        result = [self._ask(text) for text in texts]
        prior = 0.0 if self._prior is None else self._prior
        values = np.stack([(scores - prior).mean(axis=0) for scores, _ in result])
        return Replies(values, np.array([end for _, end in result], dtype=np.int64))

    def _ask(self, text: str) -> tuple[Float[np.ndarray, "orders labels"], int]:
        rows: list[np.ndarray] = []
        read_to = len(text)
        for shift in range(self._orders):
            options = ", ".join((*self.labels[shift:], *self.labels[:shift]))
            before = self._before.replace("{options}", options)
            after = self._after.replace("{options}", options)
            # Each order begins from what the one before had room for, so the last cut is the
            # shortest: no order reads less than what is recorded as read.
            encoding, readout, read_to = self._fitting(before, text[:read_to], after)
            rows.append(self._model.evaluate([Row(ids=encoding.ids)], readout).values[0])
        return np.stack(rows), read_to

    def _fitting(self, before: str, text: str, after: str) -> tuple[Encoding, Readout, int]:
        """The prompt as it is read; a cut falls in the text, never in what is asked of it."""
        try:
            return (*self._encoded(before + text + after), len(text))
        except TextTooLongError:
            if self._long == "refuse":
                raise
        # Characters cannot be counted in tokens beforehand, so the longest beginning that fits is
        # sought by halving. A longer one may rarely take fewer tokens; the answer then still fits.
        low, high, best = 1, len(text) - 1, None
        while low <= high:
            middle = (low + high) // 2
            try:
                best = (*self._encoded(before + text[:middle] + after), middle)
                low = middle + 1
            except TextTooLongError:
                high = middle - 1
        if best is None:
            raise InputError(
                f"{self.ref} has no room for any of the text after the prompt itself; "
                "shorten the prompt"
            )
        return best

    def _encoded(self, prompt: str) -> tuple[Encoding, Readout]:
        encoding = self._model.encode(prompt)
        targets = [Continuation(text=words) for words in self._words]
        return encoding, self._model.readout(encoding, targets, link="log_probability")
