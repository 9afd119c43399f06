"""The smallest edit where student and teacher part: words deleted one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.core.record import Number, Value
from whence.core.statistics.proportions import Proportion, proportion
from whence.students.families.base import Fitted
from whence.students.teacher.teacher import Teacher

__all__ = ["Parted", "Parting", "parting"]

SHOWN = 3
"""Examples that are kept."""

AT_ONCE = 8
"""Texts asked at a time: most of those behind the one that parts are questions for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parted(Value):
    """A text on which both agree, and what is left of it where they do not.

    Attributes:
        text: the whole text.
        edited: what is left.
        deleted: the words that are missing, in their order.
        agreed: what both said of the whole text.
        teacher: what the teacher says of what is left.
        student: what the student says of it.
    """

    text: str
    edited: str
    deleted: tuple[str, ...]
    agreed: str
    teacher: str
    student: str

    def __str__(self) -> str:
        return (
            f"without {', '.join(map(repr, self.deleted))}: teacher {self.teacher}, student "
            f"{self.student}, both {self.agreed} before: {self.edited}"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parting(Value):
    """How far an adversary must go to part student and teacher.

    Attributes:
        found: share of the texts on which both agree that were parted within the budget.
        deleted: median number of words deleted where they were; NaN where none was.
        length: median number of words of the texts.
        teacher_left: partings in which the teacher left the common label and the student stayed.
        student_left: the reverse; where both left, for different labels, neither counts.
        examples: those of the fewest words deleted, the shortest texts first.
        budget: texts asked of the teacher for each text at most, the whole one not counted.
        disagreed: texts passed over because they did not agree on the whole text.
        asked: texts the teacher was asked, answers from its cache not counted.
    """

    found: Proportion
    deleted: Number
    length: Number
    teacher_left: int
    student_left: int
    examples: tuple[Parted, ...]
    budget: int
    disagreed: int
    asked: int

    def __str__(self) -> str:
        lines = [f"parted within {self.budget} questions: {self.found}"]
        if self.examples:
            lines[0] += (
                f", by {self.deleted:g} of {self.length:g} words at the median; the teacher alone "
                f"moved in {self.teacher_left}, the student alone in {self.student_left}"
            )
        return "\n".join([*lines, *map(str, self.examples)])


def parting(
    fitted: Fitted,
    teacher: Teacher,
    texts: Sequence[str],
    *,
    most: int = 30,
    budget: int = 40,
    queries: int | None = None,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Parting:
    """Search, text by text, for the fewest words whose deletion parts student and teacher.

    From a text on which both agree, one word is deleted after the other. Of the texts one word
    shorter, those on which the student changes its decision are asked first (they are known
    without a question) and then the others in an order drawn at random, so that words the student
    does not look at have their turn; the first that parts them ends the search. Else the one with
    the greatest distance between both distributions, ``sum_l |t_l - s_l| / 2``, is gone on from.
    Words are then put back as long as both stay parted. At least one word is left.

    The search is greedy: a smaller edit may exist, so the share is a lower bound of what an
    adversary finds. Deletions leave sentences nobody would write; what is found is where the two
    differ, and no error of the teacher.

    Cost: at most ``budget + 1`` passes for each of the ``most`` texts, and one for each text
    passed over, less what the cache holds; the student decides on every text one word shorter.
    Li et al. (2016), arXiv:1612.08220; Feng et al. (2018), arXiv:1804.07781.

    Args:
        fitted: the student.
        teacher: its teacher.
        texts: held out, as far as the teacher reads them; of fewer than two words are passed over.
        most: texts searched, drawn at random among those on which both agree.
        budget: questions for each of them.
        queries: questions at most for all texts together; another text is begun only where its
            whole budget is left.
        level: of the bounds.
        seed: of what is drawn.
        progress: told how many texts are searched, of how many at most.

    Raises:
        OptionError: a number below 1.

    Example:
        >>> import whence
        >>> from whence.students.families.baselines import majority
        >>> rule = lambda ts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in ts]
        >>> teacher = Teacher.of(whence.load(rule, labels=["no", "yes"]), gives="probability")
        >>> always = majority(np.array([[0.1, 0.9]]), ["no", "yes"])
        >>> found = parting(always, teacher, ["he paid late twice"])
        >>> found.found.hits, found.deleted, found.examples[0].edited
        (1, 1.0, 'he paid twice')
    """
    if min(most, budget) < 1:
        raise OptionError(f"most={most}, budget={budget}: at least 1 each")
    before, disagreed = teacher.asked, 0
    rng = np.random.default_rng(seed)
    results: list[Parted | None] = []
    lengths: list[int] = []
    order: list[int] = rng.permutation(len(texts)).tolist()
    for row in order:
        spent = teacher.asked - before
        if len(results) == most or (queries is not None and spent + budget + 1 > queries):
            break
        words = texts[row].split()
        if len(words) < 2:
            continue
        search = _Search(fitted, teacher, words, budget, rng)
        if not search.agreed:
            disagreed += 1
            continue
        results.append(search.run())
        lengths.append(len(words))
        if progress is not None:
            progress(len(results), most)
    hits = [result for result in results if result is not None]
    hits.sort(key=lambda hit: (len(hit.deleted), len(hit.text), hit.text))
    return Parting(
        found=proportion(len(hits), len(results), level=level),
        deleted=float(np.median([len(hit.deleted) for hit in hits])) if hits else float("nan"),
        length=float(np.median(lengths)) if lengths else float("nan"),
        teacher_left=sum(hit.student == hit.agreed for hit in hits),
        student_left=sum(hit.teacher == hit.agreed for hit in hits),
        examples=tuple(hits[:SHOWN]),
        budget=budget,
        disagreed=disagreed,
        asked=teacher.asked - before,
    )


class _Search:
    """The search in one text; ``left`` questions remain."""

    def __init__(
        self,
        fitted: Fitted,
        teacher: Teacher,
        words: list[str],
        budget: int,
        rng: np.random.Generator,
    ) -> None:
        self._fitted, self._teacher, self._words = fitted, teacher, words
        self._rng, self.left = rng, budget + 1
        self._all = tuple(range(len(words)))
        said, taught = self._student([self._all])[0], self._ask([self._all])[0]
        self._label = int(said.argmax())
        self.agreed = bool(taught.argmax() == self._label)

    def run(self) -> Parted | None:
        """What was found; ``None`` where the budget or the words ran out."""
        kept = self._all
        while len(kept) > 1 and self.left > 0:
            shorter = [kept[:at] + kept[at + 1 :] for at in range(len(kept))]
            said = self._student(shorter)
            order = self._rng.permutation(len(shorter))
            moved = said.argmax(axis=1) != self._label
            order = order[np.argsort(~moved[order], kind="stable")]
            furthest, kept = -1.0, tuple[int, ...]()
            for start in range(0, len(order), AT_ONCE):
                places: list[int] = order[start : start + AT_ONCE][: self.left].tolist()
                answers = self._ask([shorter[place] for place in places])
                for place, taught in zip(places, answers, strict=True):
                    if taught.argmax() != said[place].argmax():
                        return self._told(self._restored(shorter[place]))
                    apart = float(np.abs(taught - said[place]).sum()) / 2
                    # Where both have moved together there is nothing left to part.
                    if apart > furthest and taught.argmax() == self._label:
                        furthest, kept = apart, shorter[place]
        return None

    def _restored(self, kept: tuple[int, ...]) -> tuple[int, ...]:
        """With all words put back that can be while both stay parted."""
        for word in [word for word in self._all if word not in kept]:
            fuller = tuple(sorted((*kept, word)))
            if self.left == 0 or len(fuller) == len(self._all):
                break
            if self._ask([fuller])[0].argmax() != self._student([fuller])[0].argmax():
                kept = fuller
        return kept

    def _text(self, kept: tuple[int, ...]) -> str:
        return " ".join(self._words[word] for word in kept)

    def _student(self, kept: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "texts labels"]:
        return self._fitted.predict_proba([self._text(own) for own in kept])

    def _ask(self, kept: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "texts labels"]:
        if not kept:
            return np.zeros((0, len(self._fitted.labels)))
        self.left -= len(kept)
        return self._teacher.ask([self._text(own) for own in kept]).probabilities

    def _told(self, kept: tuple[int, ...]) -> Parted:
        labels = self._fitted.labels
        return Parted(
            text=self._text(self._all),
            edited=self._text(kept),
            deleted=tuple(word for at, word in enumerate(self._words) if at not in kept),
            agreed=labels[self._label],
            teacher=labels[int(self._ask([kept])[0].argmax())],
            student=labels[int(self._student([kept])[0].argmax())],
        )
