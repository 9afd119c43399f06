"""The smallest edit on which student and teacher disagree: words deleted one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.core.record import Number, Value
from whence.core.statistics.proportions import Proportion, proportion
from whence.students.data.run import Run
from whence.students.families.base import Fitted

__all__ = ["Disagreement", "DisagreementSearch", "affordable_searches", "search_disagreements"]

TEXTS = 30
"""Texts that are searched at most. Chosen by hand."""

EACH = 40
"""Questions in search of a disagreement on one text, at most. Chosen by hand; with 30 texts the
search takes 1,230 questions at most, and 14 texts fit in the 600 of a default budget."""

SHOWN = 3
"""Examples that are kept: as many as a reader looks at."""

AT_ONCE = 8
"""Texts asked at a time: most of those behind the first disagreement are questions for nothing.
Chosen by hand; not calibrated."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Disagreement(Value):
    """A text on which both agree, and what is left of it where they do not.

    Attributes:
        text: whole text.
        edited: words that are left.
        deleted: words that are missing, in their order.
        agreed: label that both gave to the whole text.
        teacher: label the teacher gives to what is left.
        student: label the student gives to what is left.
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
class DisagreementSearch(Value):
    """How far an adversary must go to make student and teacher disagree.

    Attributes:
        found: share of the texts on which both agree that were edited to a disagreement within
            the budget.
        deleted: median number of words deleted where they were; NaN where none was.
        length: median number of words of the texts.
        teacher_left: disagreements in which the teacher left the common label and the student
            stayed.
        student_left: disagreements in which the student left it and the teacher stayed; where both
            left, for different labels, neither counts.
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
    examples: tuple[Disagreement, ...]
    budget: int
    disagreed: int
    asked: int

    def __str__(self) -> str:
        lines = [f"made to disagree within {self.budget} questions: {self.found}"]
        if self.examples:
            lines[0] += (
                f", by {self.deleted:g} of {self.length:g} words at the median; the teacher alone "
                f"moved in {self.teacher_left}, the student alone in {self.student_left}"
            )
        return "\n".join([*lines, *map(str, self.examples)])


def affordable_searches(queries: int) -> int:
    """Texts that so many questions suffice for, at most ``TEXTS``."""
    return min(TEXTS, queries // (EACH + 1))


def search_disagreements(
    fitted: Fitted,
    texts: Sequence[str],
    run: Run,
    *,
    most: int = TEXTS,
    budget: int = EACH,
    queries: int | None = None,
) -> DisagreementSearch:
    """Search, text by text, for the fewest words whose deletion makes student and teacher disagree.

    From a text on which both agree, one word is deleted after the other. Of the texts one word
    shorter, those on which the student changes its decision are asked first (they are known
    without a question) and then the others in an order drawn at random, so that words the student
    does not look at have their turn; the first disagreement ends the search. Else it goes on from
    the text with the greatest distance between both distributions, ``sum_l |t_l - s_l| / 2``.
    Words are then put back as long as both still disagree. At least one word is left.

    The search is greedy: a smaller edit may exist, so the share is a lower bound of what an
    adversary finds. Deletions leave sentences nobody would write; the result is where the two
    differ, and no error of the teacher.

    Cost: at most ``budget + 1`` passes for each of the ``most`` texts, and one for each text
    passed over, less what the cache holds; the student decides on every text one word shorter.
    Li et al. (2016), arXiv:1612.08220; Feng et al. (2018), arXiv:1804.07781.

    Args:
        fitted: student.
        texts: texts held out, as far as the teacher reads them; of fewer than two words are
            passed over.
        run: teacher, level of the bounds, and seed.
        most: texts searched, drawn at random among those on which both agree.
        budget: questions for each of them.
        queries: questions at most for all texts together; another text is begun only where its
            whole budget is left.

    Raises:
        OptionError: a number below 1.

    Example:
        >>> import whence
        >>> from whence.students.families.baselines import majority
        >>> from whence.students.teacher.teacher import Teacher
        >>> rule = lambda ts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in ts]
        >>> teacher = Teacher.of(whence.load(rule, labels=["no", "yes"]), gives="probability")
        >>> always = majority(np.array([[0.1, 0.9]]), ["no", "yes"])
        >>> result = search_disagreements(always, ["he paid late twice"], Run(teacher=teacher))
        >>> result.found.hits, result.deleted, result.examples[0].edited
        (1, 1.0, 'he paid twice')
    """
    if min(most, budget) < 1:
        raise OptionError(
            f"expected most and budget of 1 or more, got most={most}, budget={budget}"
        )
    before, disagreed = run.used(), 0
    rng = np.random.default_rng(run.terms.seed)
    results: list[Disagreement | None] = []
    lengths: list[int] = []
    order: list[int] = rng.permutation(len(texts)).tolist()
    for row in order:
        spent = run.used(before).asked
        # One question more than the budget: the whole text is asked before the search of it.
        if len(results) == most or (queries is not None and spent + budget + 1 > queries):
            break
        words = texts[row].split()
        if len(words) < 2:
            continue
        search = _Search(fitted, run, words, budget, rng)
        if not search.agreed:
            disagreed += 1
            continue
        results.append(search.run())
        lengths.append(len(words))
    hits = [result for result in results if result is not None]
    # The text itself comes last, so that examples do not depend on the order of the search.
    hits.sort(key=lambda hit: (len(hit.deleted), len(hit.text), hit.text))
    return DisagreementSearch(
        found=proportion(len(hits), len(results), level=run.terms.level),
        deleted=float(np.median([len(hit.deleted) for hit in hits])) if hits else float("nan"),
        length=float(np.median(lengths)) if lengths else float("nan"),
        teacher_left=sum(hit.student == hit.agreed for hit in hits),
        student_left=sum(hit.teacher == hit.agreed for hit in hits),
        examples=tuple(hits[:SHOWN]),
        budget=budget,
        disagreed=disagreed,
        asked=run.used(before).asked,
    )


class _Search:
    """The search in one text; ``left`` questions remain."""

    def __init__(
        self, fitted: Fitted, run: Run, words: list[str], budget: int, rng: np.random.Generator
    ) -> None:
        self._fitted, self._teacher, self._words = fitted, run.teacher, words
        self._rng, self.left = rng, budget + 1
        self._all = tuple(range(len(words)))
        student, teacher = self._student([self._all])[0], self._ask([self._all])[0]
        self._label = int(student.argmax())
        self.agreed = bool(teacher.argmax() == self._label)

    def run(self) -> Disagreement | None:
        """The disagreement; ``None`` where the budget or the words ran out."""
        words = self._all
        while len(words) > 1 and self.left > 0:
            shorter = [words[:at] + words[at + 1 :] for at in range(len(words))]
            student = self._student(shorter)
            order = self._rng.permutation(len(shorter))
            moved = student.argmax(axis=1) != self._label
            # Stable: on either side of the mark the random order stays.
            order = order[np.argsort(~moved[order], kind="stable")]
            furthest, words = -1.0, tuple[int, ...]()
            for start in range(0, len(order), AT_ONCE):
                # The last questions may be fewer than a batch.
                places: list[int] = order[start : start + AT_ONCE][: self.left].tolist()
                answers = self._ask([shorter[place] for place in places])
                for place, teacher in zip(places, answers, strict=True):
                    if teacher.argmax() != student[place].argmax():
                        return self._disagreement(self._restored(shorter[place]))
                    apart = float(np.abs(teacher - student[place]).sum()) / 2
                    # Where both have moved together they agree again: nothing to go on from.
                    if apart > furthest and teacher.argmax() == self._label:
                        furthest, words = apart, shorter[place]
        return None

    def _restored(self, words: tuple[int, ...]) -> tuple[int, ...]:
        """With all words put back that can be while both still disagree."""
        for word in [word for word in self._all if word not in words]:
            fuller = tuple(sorted((*words, word)))
            # With every word back it is the text on which both agree.
            if self.left == 0 or len(fuller) == len(self._all):
                break
            if self._ask([fuller])[0].argmax() != self._student([fuller])[0].argmax():
                words = fuller
        return words

    def _text(self, words: tuple[int, ...]) -> str:
        return " ".join(self._words[word] for word in words)

    def _student(self, texts: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "texts labels"]:
        return self._fitted.predict_proba([self._text(words) for words in texts])

    def _ask(self, texts: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "texts labels"]:
        if not texts:
            return np.zeros((0, len(self._fitted.labels)))
        self.left -= len(texts)
        return self._teacher.ask([self._text(words) for words in texts]).probabilities

    def _disagreement(self, words: tuple[int, ...]) -> Disagreement:
        labels = self._fitted.labels
        return Disagreement(
            text=self._text(self._all),
            edited=self._text(words),
            deleted=tuple(word for at, word in enumerate(self._words) if at not in words),
            agreed=labels[self._label],
            # Asked before, so the teacher's cache answers and nothing is counted.
            teacher=labels[int(self._ask([words])[0].argmax())],
            student=labels[int(self._student([words])[0].argmax())],
        )
