"""The teacher: whatever is distilled, its answers kept by the hash of what it was asked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.errors import InputError, Interrupted, ModelOutputError, OptionError
from whence.core.progress import Progress
from whence.games.cache import Cache, MemoryCache, cache_key
from whence.games.disk_cache import DiskCache
from whence.models.adapters.callable import CallableModel
from whence.models.protocols import GivesAnswerState, TokenModel
from whence.students.teacher.backends import (
    Answerer,
    Gives,
    LabelAnswerer,
    Long,
    Replies,
    ScoreAnswerer,
)
from whence.students.teacher.prompted import PromptAnswerer

__all__ = ["Answers", "Teacher", "checked_texts"]

# Chosen by hand: 13.8 nats. Bare labels have probabilities of 0, which have no logarithm.
FLOOR = 1e-6
"""Probabilities are kept this far from 0 and 1 before a logarithm is taken of them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """What a teacher said of some texts.

    Attributes:
        labels: names of the columns.
        gives: form of the answers: logits, probabilities or labels alone.
        values: numbers of the answers.
        read_to: characters of each text that it read; the text's length where it read all.
    """

    labels: tuple[str, ...]
    gives: Gives
    values: Float[np.ndarray, "texts labels"]
    read_to: Int[np.ndarray, " texts"]

    @property
    def probabilities(self) -> Float[np.ndarray, "texts labels"]:
        """Softmax of logits; probabilities and labels as they are.

        Example:
            >>> answers = Answers(labels=("no", "yes"), gives="logit",
            ...                   values=np.zeros((1, 2)), read_to=np.array([4]))
            >>> answers.probabilities.tolist()
            [[0.5, 0.5]]
        """
        if self.gives != "logit":
            return self.values
        # Less the greatest, no power overflows.
        shifted = np.exp(self.values - self.values.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    @property
    def top(self) -> Int[np.ndarray, " texts"]:
        """Index of the label decided for; the first of equals."""
        # Of the values: softmax rounds logits that differ by little to equal probabilities.
        return self.values.argmax(axis=1).astype(np.int64)

    @property
    def soft(self) -> bool:
        """Whether there is more to learn from than the label."""
        return self.gives != "label"

    def centred_logits(self) -> Float[np.ndarray, "texts labels"]:
        """Log-probabilities less their mean over labels."""
        logit = self.gives == "logit"
        logs = self.values if logit else np.log(np.clip(self.values, FLOOR, 1.0))
        return logs - logs.mean(axis=1, keepdims=True)

    def part(self, rows: Int[np.ndarray, " rows"]) -> Answers:
        """The answers of some rows."""
        return Answers(
            labels=self.labels, gives=self.gives, values=self.values[rows],
            read_to=self.read_to[rows],
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.values)


class Teacher:
    """A model that is distilled: asked in batches, each text once.

    An answer is kept under a SHA-256 of the teacher's fingerprint and the text, batch by batch:
    when the teacher fails midway, what it has answered stays, and asking again goes on from
    there. Cost: one pass for each distinct text that the cache does not hold.

    Args:
        answerer: backend that answers; :meth:`of`, :meth:`of_labels` and :meth:`prompted` make it.
        cache: store of the answers; in memory by default.
        batch: texts asked at once; halved where they do not fit in memory.

    Attributes:
        asked: texts asked so far, those from the cache not counted.
        seconds: time that they took.

    Example:
        >>> import whence
        >>> model = whence.load(
        ...     lambda texts: [[0.1, 0.9] if "late" in t else [0.8, 0.2] for t in texts],
        ...     labels=["accept", "reject"],
        ... )
        >>> teacher = Teacher.of(model, gives="probability")
        >>> teacher.ask(["paid late", "paid"]).top.tolist()
        [1, 0]
        >>> teacher.ask(["paid late"]).probabilities.tolist(), teacher.asked
        ([[0.1, 0.9]], 2)
    """

    def __init__(self, answerer: Answerer, *, cache: Cache | None = None, batch: int = 32) -> None:
        if batch < 1:
            raise OptionError(f"expected batch of at least 1, got {batch}")
        if answerer.fingerprint is None and isinstance(cache, DiskCache):
            raise OptionError(
                f"{answerer.ref} cannot be hashed, so its answers on disk could be another "
                'function\'s; name it with version="..." or leave the cache out'
            )
        self._answerer = answerer
        self._cache: Cache = MemoryCache() if cache is None else cache
        # Without a fingerprint a name drawn for this object alone stands for it.
        # Not id(): Python gives it to another object once this one is gone, which would then be
        # answered from this one's cache.
        self._unnamed = f"unnamed {uuid.uuid4()}"
        self._batch = batch
        self.asked = 0
        self.seconds = 0.0

    @classmethod
    def of(
        cls,
        model: TokenModel | CallableModel,
        *,
        gives: Gives | None = None,
        cache: Cache | None = None,
        batch: int = 32,
        long: Long = "refuse",
        version: str | None = None,
    ) -> Teacher:
        """A single-label classifier or a callable, as :func:`whence.load` gives it.

        Args:
            model: model that answers.
            gives: for a callable, what its numbers are: ``"logit"`` or ``"probability"``.
            cache: store of the answers; in memory by default.
            batch: texts asked at once.
            long: treatment of texts longer than the model reads: ``"refuse"``, or ``"cut"`` and record
                where.
            version: name of a callable, under which its answers may be kept on disk.
        """
        answerer = ScoreAnswerer(model, gives=gives, long=long, version=version)
        return cls(answerer, cache=cache, batch=batch)

    @classmethod
    def of_labels(
        cls,
        function: Callable[[list[str]], Sequence[str]],
        *,
        labels: Sequence[str],
        cache: Cache | None = None,
        batch: int = 32,
        version: str | None = None,
    ) -> Teacher:
        """A teacher that answers label names alone.

        Example:
            >>> rule = lambda texts: ["reject" if "late" in t else "accept" for t in texts]
            >>> teacher = Teacher.of_labels(rule, labels=["accept", "reject"])
            >>> teacher.ask(["paid late"]).values.tolist()
            [[0.0, 1.0]]
        """
        answerer = LabelAnswerer(function, labels=labels, version=version)
        return cls(answerer, cache=cache, batch=batch)

    @classmethod
    def prompted(
        cls,
        model: TokenModel,
        *,
        prompt: str,
        labels: Sequence[str],
        words: Sequence[str] | None = None,
        calibrate: bool = True,
        orders: int = 1,
        cache: Cache | None = None,
        batch: int = 8,
        long: Long = "refuse",
    ) -> Teacher:
        """A causal model behind a prompt; see :class:`whence.students.teacher.prompted.PromptAnswerer`."""
        answerer = PromptAnswerer(
            model, prompt=prompt, labels=labels, words=words, calibrate=calibrate,
            orders=orders, long=long,
        )  # fmt: skip
        return cls(answerer, cache=cache, batch=batch)

    @property
    def ref(self) -> str:
        """A name for messages and records."""
        return self._answerer.ref

    @property
    def model(self) -> TokenModel | None:
        """The loaded model behind it; ``None`` of a callable."""
        model = getattr(self._answerer, "model", None)
        return None if model is None or isinstance(model, CallableModel) else model

    @property
    def fingerprint(self) -> str | None:
        """What its answers are kept under; ``None`` for a callable without a version."""
        return self._answerer.fingerprint

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its labels."""
        return self._answerer.labels

    @property
    def gives(self) -> Gives:
        """Whether it gives logits, probabilities or bare labels."""
        return self._answerer.gives

    def ask(
        self, texts: Sequence[str], *, what: str = "texts", progress: Progress | None = None
    ) -> Answers:
        """The teacher's answers, from the cache where it holds them.

        Args:
            texts: texts to ask, in any order, repeats allowed.
            what: name of the questions, for the progress.
            progress: callable that is told after each batch ``what``, how many distinct texts are
                answered, and of how many.

        Raises:
            InputError: a text is empty or no text.
            ModelOutputError: the teacher failed, or answered no valid numbers; what it answered
                before stays in the cache.
            Interrupted: stopped by the user; likewise.
        """
        tell = None if progress is None else partial(progress, what)
        return self._collect(texts, "teacher", tell)

    def ask_again(self, texts: Sequence[str]) -> Answers:
        """Second answers, asked apart from the first and kept beside them: for the teacher's noise.

        Asked a third time, it gives these: a run that is taken up again asks nothing twice.
        """
        return self._collect(texts, "again", None)

    def _collect(
        self, texts: Sequence[str], turn: str, tell: Callable[[int, int], None] | None
    ) -> Answers:
        checked = checked_texts(texts)
        distinct = list(dict.fromkeys(checked))
        name = self._name()
        keys = [cache_key(name, turn, text.encode()) for text in distinct]
        rows_of: dict[str, np.ndarray] = {
            text: value
            for text, value in zip(distinct, self._cache.get(keys), strict=True)
            if value is not None
        }
        missing = [text for text in distinct if text not in rows_of]
        for batch, rows in self._fresh(missing):
            # Before anything else of the batch: whatever fails later, these answers are paid for.
            self._cache.put([cache_key(name, turn, text.encode()) for text in batch], rows)
            rows_of.update(zip(batch, rows, strict=True))
            if tell is not None:
                tell(len(rows_of), len(distinct))
        return self._answers(checked, rows_of)

    def _name(self) -> str:
        """What answers are kept under, read anew each time: weights may have been changed since."""
        fingerprint = self._answerer.fingerprint
        model = getattr(self._answerer, "model", None)
        if fingerprint is None or not isinstance(model, GivesAnswerState):
            return fingerprint or self._unnamed
        state = model.answer_state()
        # Under a hook, answers are this teacher's alone: on disk nobody finds them again.
        return f"{self._unnamed if state.doubts else fingerprint} {state.key}"

    def _answers(self, texts: Sequence[str], rows_of: dict[str, np.ndarray]) -> Answers:
        width = len(self.labels)
        # The characters read lie in the cache as one number more of the row: an answer without its
        # cut would teach the student words that the teacher never saw.
        table = np.empty((len(texts), width + 1))
        for row, text in enumerate(texts):
            table[row] = rows_of[text]
        values, read_to = table[:, :width], table[:, width].astype(np.int64)
        return Answers(labels=self.labels, gives=self.gives, values=values.copy(), read_to=read_to)

    def _fresh(self, texts: Sequence[str]) -> Iterator[tuple[list[str], list[np.ndarray]]]:
        """Texts with their numbers and the characters read, batch after batch."""
        done, size = 0, self._batch
        while done < len(texts):
            batch = texts[done : done + size]
            start = perf_counter()
            try:
                replies = self._answerer.answer(batch)
            except MemoryError:
                if size == 1:
                    raise
                # For good, not for this batch: the next would not fit either.
                size //= 2
                continue
            except KeyboardInterrupt as stop:
                raise Interrupted(
                    f"stopped after {done} of {len(texts)} texts, whose answers stay in the cache",
                    evaluations=done,
                ) from stop
            # The text's fault and no failure of the teacher: it is passed on as it is.
            except InputError:
                raise
            except Exception as error:
                raise ModelOutputError(
                    f"{self.ref} failed after {done} of {len(texts)} texts: {error}. Those answers "
                    "stay in the cache; ask again to go on from there."
                ) from error
            bad = self._invalid(replies)
            self.asked += len(batch)
            self.seconds += perf_counter() - start
            rows = np.column_stack([replies.values, replies.read_to.astype(np.float64)])
            valid: list[int] = np.flatnonzero(~bad).tolist()
            # Valid answers go to the cache before the error is raised for the others.
            if valid:
                yield [batch[i] for i in valid], [rows[i] for i in valid]
            if bad.any():
                first = int(np.flatnonzero(bad)[0])
                strange = getattr(self._answerer, "strange", None)
                answer = replies.values[first].tolist() if strange is None else repr(strange)
                expected = _EXPECTED[self.gives].format(labels=", ".join(self.labels))
                raise ModelOutputError(
                    f"{self.ref} answered {answer} to {batch[first][:60]!r}; {expected}. The valid "
                    "answers stay in the cache."
                )
            done += len(batch)

    def _invalid(self, replies: Replies) -> Bool[np.ndarray, " texts"]:
        values = replies.values
        if values.ndim != 2 or values.shape[1] != len(self.labels):
            raise ModelOutputError(
                f"{self.ref} answered shape {values.shape}; it has {len(self.labels)} labels. "
                "A teacher whose labels change cannot be distilled."
            )
        bad = ~np.isfinite(values).all(axis=1)
        if self.gives == "probability":
            # The tolerances of families.base: what is let in here must be fitted there.
            sums = np.abs(values.sum(axis=1) - 1.0) > 1e-3
            bad = bad | sums | (values < -1e-9).any(axis=1)
        return np.asarray(bad)

    def __repr__(self) -> str:
        return f"Teacher({self.ref!r}, labels={list(self.labels)}, gives={self.gives!r})"


_EXPECTED = {
    "probability": "expected probabilities that are at least 0 and add up to 1",
    "logit": "expected finite logits",
    "label": "expected one of its labels: {labels}",
}


def checked_texts(texts: Iterable[object]) -> list[str]:
    """Texts that a teacher can be asked.

    Raises:
        InputError: one is no text, empty, or not valid Unicode; its row is named.
    """
    return [_checked(text, row) for row, text in enumerate(texts)]


def _checked(text: object, row: int) -> str:
    if not isinstance(text, str):
        raise InputError(f"text {row} is a {type(text).__name__}; teachers are asked texts")
    if not text.strip():
        raise InputError(f"text {row} is empty; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"text {row} holds half a surrogate pair; mend its encoding") from error
    return text
