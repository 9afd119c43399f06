"""A task: texts whose label follows a known rule, with the characters that decide each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from whence.core.errors import OptionError
from whence.core.features import Segmentation, Span

__all__ = ["Draw", "Rule", "Task", "TaskItem", "item_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskItem:
    """One text, its label, and what decides it.

    Attributes:
        truth: characters that decide the label by the task's rule.
        kind: sort of text; each task says which it has.
        either: any one of the spans is enough by itself, so naming one is naming the reason.
    """

    text: str
    label: str
    truth: tuple[Span, ...]
    kind: str
    either: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The text of a generated item, word by word."""
        return tuple(self.text.split(" "))

    def relevant(self, segmentation: Segmentation) -> Bool[np.ndarray, " n"]:
        """Which features touch a span that decides.

        Raises:
            OptionError: the segmentation is of another text.
        """
        if segmentation.document.text != self.text:
            raise OptionError(
                f"features of {segmentation.document.text[:30]!r} given for the item "
                f"{self.text[:30]!r}; segment the item's own text"
            )
        return np.array(
            [
                any(feature.start < span.end and span.start < feature.end for span in self.truth)
                for feature in segmentation.features
            ],
            dtype=bool,
        )


Draw = Callable[[int, int], list[TaskItem]]
"""``(n, seed) -> items``: the same arguments give the same items."""

Rule = Callable[[Sequence[str | None]], float]
"""Probability of the second label from a text's words, ``None`` where one is hidden."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A source of texts with known reasons.

    Attributes:
        name: ``"planted-single"``.
        about: one sentence for a reader.
        labels: two labels; a rule gives the probability of the second.
        draw: items whose reasons are known, for judging explanations.
        training: mixture that a model learns from; ``None`` where models come trained.
        rule: rule that a model is to learn; ``None`` where it is not of single words.
        vocabulary: every word the texts are made of.
        gate: least share of held-out texts a model must answer rightly before it is used.
        models: names of models that come with the package and have learned the task.
    """

    name: str
    about: str
    labels: tuple[str, str]
    draw: Draw
    training: Draw | None = None
    rule: Rule | None = None
    vocabulary: tuple[str, ...] = ()
    gate: float = 0.99
    models: tuple[str, ...] = ()

    def items(self, n: int, *, seed: int = 0) -> list[TaskItem]:
        """Items with known reasons.

        Raises:
            OptionError: ``n`` is below 1.
        """
        return self._drawn(self.draw, n, seed)

    def mixture(self, n: int, *, seed: int = 0) -> list[TaskItem]:
        """What a model learns from.

        Raises:
            OptionError: ``n`` is below 1, or the task's models come trained.
        """
        if self.training is None:
            raise OptionError(
                f"training texts of {self.name} asked; its models come with the package: "
                f"{', '.join(self.models)}"
            )
        return self._drawn(self.training, n, seed)

    def _drawn(self, draw: Draw, n: int, seed: int) -> list[TaskItem]:
        if n < 1:
            raise OptionError(f"{n} items of {self.name} asked; 1 or more is due")
        return draw(n, seed)


def item_of(
    words: Sequence[str], label: str, places: Sequence[int], kind: str, *, either: bool = False
) -> TaskItem:
    """An item from its words, and the places of those that decide.

    Example:
        >>> item = item_of(["so", "very", "late"], "poor", [2], "plain")
        >>> item.text[item.truth[0].start : item.truth[0].end]
        'late'
    """
    starts = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
    truth = tuple(
        Span(start=starts[place], end=starts[place] + len(words[place])) for place in sorted(places)
    )
    return TaskItem(text=" ".join(words), label=label, truth=truth, kind=kind, either=either)
