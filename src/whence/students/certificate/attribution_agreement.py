"""Whether a student goes by what moves its teacher: contributions against deletions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from whence.core.errors import OptionError
from whence.core.record import Number, Value
from whence.core.statistics.imagined_row import mean_interval
from whence.core.statistics.proportions import Interval
from whence.students.data.run import Run
from whence.students.families.base import Fitted
from whence.students.teacher.teacher import FLOOR, Answers, Teacher

__all__ = ["AttributionAgreement", "affordable_attributions", "attribution_agreement", "without"]

TEXTS = 30
"""Texts whose evidence is deleted at most. Chosen by hand: some 300 questions."""

Compared = tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]
"""Shares of the pieces of a text in the student's decision, and their effects on the teacher."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttributionAgreement(Value):
    """Agreement of a student's contributions with its teacher's leave-one-out effects.

    Attributes:
        correlation: mean rank correlation (Spearman) over texts; random contributions give 0.
        overlap: mean share of the ``top`` weightiest pieces, whatever their sign, in common.
        overlap_at_random: overlap of random contributions on the same pieces, exactly.
        chance: share of random contributions that reach so high a correlation.
        chance_of_overlap: share of them that reach so large an overlap.
        top: pieces compared by the overlap at most; never more than half of those of a text.
        unit: unit of the effects: ``"log-odds"`` of the student's label, or ``"decision"``.
        pieces: deletions that were compared.
        too_few: texts left out because the student named fewer than two pieces in them.
        unmoved: texts left out because all deletions had the same effect on the teacher.
        asked: texts the teacher was asked, answers from its cache not counted.
    """

    correlation: Interval
    overlap: Interval
    overlap_at_random: Number
    chance: Number
    chance_of_overlap: Number
    top: int
    unit: str
    pieces: int
    too_few: int
    unmoved: int
    asked: int

    def __str__(self) -> str:
        left_out = (
            f"{self.too_few} texts with fewer than two pieces of evidence and {self.unmoved} whose "
            "teacher answers every deletion alike are left out"
        )
        if self.correlation.n == 0:
            return f"attributions: not measured (n=0); {left_out}"
        return (
            f"attributions: rank correlation {self.correlation} with the teacher's leave-one-out "
            f"effects ({self.unit}), at random 0 (chance {self.chance:.3f}); "
            f"top-{self.top} overlap {self.overlap}, at random {self.overlap_at_random:.3f} "
            f"(chance {self.chance_of_overlap:.3f}); {left_out}"
        )


def attribution_agreement(
    fitted: Fitted,
    texts: Sequence[str],
    run: Run,
    *,
    most: int = TEXTS,
    top: int = 3,
    permutations: int = 2000,
) -> AttributionAgreement:
    """How the student's contributions rank beside what deleting the same characters does.

    For each piece of evidence that the student names in a text, all its characters are deleted at
    once, spaces are closed up, and the teacher is asked again. The effect of the piece is
    ``f(text) - f(text without it)``, where ``f`` is the teacher's log-odds of the label that the
    student decided for; of bare labels ``f`` is 1 where the teacher decides so and 0 elsewhere.
    Above 0 the piece spoke for the label, as a contribution above 0 does. Ranks of equals are
    their mean rank; in the overlap each of several equals counts with the chance it has to be
    among the top. A student whose contributions are all equal ranks nothing and gets 0.

    Evidence that something is absent has no characters and does not count. Nor do pieces without
    which no word is left. Pieces may overlap ("late" within "paid late"): their effects then have
    a part in common. A deletion is an edit, and its text may be unlike any other; where two
    pieces each suffice, the teacher moves for neither, and a good student ranks low.

    Cost: the pieces of ``most`` texts and as many whole texts, less those the cache holds.
    Zeiler and Fergus (2014), arXiv:1311.2901; Krishna et al. (2022), arXiv:2202.01602.

    Args:
        fitted: student.
        texts: texts held out, as far as the teacher reads them.
        run: teacher, level of the intervals over texts, and seed.
        most: texts compared; they are drawn at random among those with two pieces or more.
        top: pieces compared by the overlap.
        permutations: random contributions that the chances are counted over.

    Raises:
        OptionError: a number below 1.

    Example:
        >>> import whence
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> from whence.students.families.sparse_linear import SparseLinear
        >>> worth = {"late": 2.0, "debt": 1.0, "steady": -1.0}
        >>> rule = lambda texts: [[0.0, sum(worth.get(w, 0.0) for w in t.split())] for t in texts]
        >>> model = whence.load(rule, labels=["accept", "reject"])
        >>> teacher = Teacher.of(model, gives="logit")
        >>> lines = ["a late debt", "a steady debt", "steady but late", "late steady debt a"]
        >>> known = ReadableFeatures(longest=1).learn(lines)
        >>> aims = teacher.ask(lines).probabilities
        >>> student = SparseLinear(features=None, strength=1e-4)
        >>> student = student.fit(known.table(lines), aims, features=known, labels=teacher.labels)
        >>> result = attribution_agreement(student, lines[3:], Run(teacher=teacher), top=1)
        >>> result.pieces, result.overlap.value
        (4, 1.0)
    """
    if min(most, top, permutations) < 1:
        raise OptionError(
            "expected most, top and permutations of 1 or more, got "
            f"most={most}, top={top}, permutations={permutations}"
        )
    before = run.used()
    rng = np.random.default_rng(run.terms.seed)
    too_few, questions = 0, list[_Question]()
    # Gone through until enough texts have two pieces: to find them asks the student alone, so a
    # text that is passed over costs no question.
    order: list[int] = rng.permutation(len(texts)).tolist()
    for row in order:
        if len(questions) == most:
            break
        question = _question(fitted, texts[row])
        if len(question.shares) < 2:
            too_few += 1
        else:
            questions.append(question)
    compared = _compared(questions, run.teacher)
    correlations, overlaps, at_random, chances = _against_random(compared, top, permutations, rng)

    level, seed = run.terms.level, run.terms.seed
    return AttributionAgreement(
        correlation=mean_interval(correlations, (-1.0, 1.0), level=level, seed=seed),
        overlap=mean_interval(overlaps, (0.0, 1.0), level=level, seed=seed),
        overlap_at_random=at_random,
        chance=chances[0],
        chance_of_overlap=chances[1],
        top=top,
        unit="log-odds" if run.teacher.gives != "label" else "decision",
        pieces=sum(len(effects) for _, effects in compared),
        too_few=too_few,
        unmoved=len(questions) - len(compared),
        asked=run.used(before).asked,
    )


def affordable_attributions(fitted: Fitted, texts: Sequence[str], queries: int) -> int:
    """Texts that so many questions suffice for, at most ``TEXTS``, whichever texts are drawn."""
    pieces = [sum(bool(e.spans) for e in fitted.explain(text).evidence) for text in texts]
    return min(TEXTS, queries // (1 + max(pieces, default=0)))


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text less some characters, its words one space apart.

    Example:
        >>> without("paid late, twice  late", [(5, 9), (18, 22)])
        'paid , twice'
    """
    rest: list[str] = []
    at = 0
    for start, end in sorted(spans):
        rest.append(text[at:start])
        # Spans may lie within each other ("late" in "paid late"): the end must not move back, or
        # characters already deleted would return.
        at = max(at, end)
    rest.append(text[at:])
    return " ".join("".join(rest).split())


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """A text, the same without each piece, and what the student says of the pieces."""

    whole: str
    without: tuple[str, ...]
    shares: Float[np.ndarray, " pieces"]
    label: int


def _question(fitted: Fitted, text: str) -> _Question:
    reasons = fitted.explain(text)
    label = fitted.labels.index(reasons.label)
    pairs = [(without(text, piece.spans), piece) for piece in reasons.evidence if piece.spans]
    # Marks alone are nothing a teacher was made to read: its answer to them would be compared with
    # a contribution to a sentence.
    pairs = [(rest, piece) for rest, piece in pairs if any(c.isalnum() for c in rest)]
    shares = np.array([float(piece.shares[label]) for _, piece in pairs])
    # The whole text has its spaces closed up as well: else the deletion would be compared with a
    # text that differs in white space, too.
    return _Question(" ".join(text.split()), tuple(rest for rest, _ in pairs), shares, label)


def _compared(questions: Sequence[_Question], teacher: Teacher) -> list[Compared]:
    """Shares and effects of the pieces of each text on which some deletion moves the teacher."""
    asked = [text for question in questions for text in (question.whole, *question.without)]
    if not asked:
        return []
    answers = teacher.ask(asked)
    result: list[Compared] = []
    start = 0
    for question in questions:
        end = start + 1 + len(question.shares)
        f = _for_label(answers.part(np.arange(start, end)), question.label)
        start = end
        # Rounding errors of some 1e-16 must neither make nor break a tie.
        effects = np.round(f[0] - f[1:], 9)
        if np.ptp(effects) > 0:
            result.append((np.round(question.shares, 9), effects))
    return result


def _for_label(answers: Answers, label: int) -> Float[np.ndarray, " texts"]:
    """Log-odds of a label; of bare labels whether it was decided for."""
    values = answers.values
    if answers.gives == "label":
        return (answers.top == label).astype(np.float64)
    if answers.gives == "probability":
        # Probabilities of 0 and 1 have infinite log-odds, whose differences are NaN.
        chances = np.clip(values[:, label], FLOOR, 1 - FLOOR)
        return np.log(chances) - np.log1p(-chances)
    # The log-odds of a softmax are v_l - log(sum over the others of exp v): from the scores
    # themselves they are exact where the probability rounds to 1 (decision 5). The greatest of the
    # others is taken out first, so that exp cannot overflow.
    others = np.delete(values, label, axis=1)
    high = others.max(axis=1)
    return values[:, label] - high - np.log(np.exp(others - high[:, None]).sum(axis=1))


def _against_random(
    compared: Sequence[Compared],
    top: int,
    permutations: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, float, tuple[float, float]]:
    """Correlation and overlap of each text, the overlap at random, and both chances."""
    correlations = np.zeros(len(compared))
    overlaps = np.zeros(len(compared))
    expected = np.zeros(len(compared))
    drawn = np.zeros((2, permutations))
    for place, (shares, effects) in enumerate(compared):
        n = len(shares)
        # Never more than half of the pieces: the top two of two pieces are the same in any order.
        best = max(1, min(top, n // 2))
        ranks, aims = _standard(rankdata(shares)), _standard(rankdata(effects))
        top_shares = _among_top(np.abs(shares), best)
        top_effects = _among_top(np.abs(effects), best)
        # Of ranks with mean 0 and length 1 the inner product is Spearman's correlation, with ties
        # at their mean rank. So one product gives it for all permutations below;
        # scipy.stats.spearmanr would rank anew in each.
        correlations[place] = float(ranks @ aims)
        overlaps[place] = float(top_shares @ top_effects) / best
        # Two random sets of b among n have b^2 / n members in common (hypergeometric), which is
        # the share b / n of b.
        expected[place] = best / n
        order = rng.permuted(np.tile(np.arange(n), (permutations, 1)), axis=1)
        # Permuted within each text, and summed over the texts: the statistic is the mean of all
        # texts, and pieces of different texts are not exchangeable.
        drawn[0] += ranks[order] @ aims
        drawn[1] += top_shares[order] @ top_effects / best
    if not compared:
        return correlations, overlaps, float("nan"), (float("nan"), float("nan"))
    # The order of the student is one of the permutations, so no chance is 0. Sums that differ by
    # less than rounding errors of a few thousand additions count as reached.
    observed = np.array([[correlations.sum()], [overlaps.sum()]])
    reached = (drawn >= observed - 1e-9).sum(axis=1)
    # Phipson and Smyth (2010), doi:10.2202/1544-6115.1585.
    chance = ((1 + reached) / (1 + permutations)).tolist()
    return correlations, overlaps, float(expected.mean()), (chance[0], chance[1])


def _standard(ranks: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks of mean 0 and length 1; zeros where all are equal."""
    centred = ranks - ranks.mean()
    length = float(np.sqrt(centred @ centred))
    return centred / length if length > 0 else centred


def _among_top(values: Float[np.ndarray, " n"], best: int) -> Float[np.ndarray, " n"]:
    """The chance of each value to be among the best where equals are drawn by lot.

    Example:
        >>> _among_top(np.array([3.0, 1.0, 1.0]), 2).tolist()
        [1.0, 0.5, 0.5]
    """
    # The last place in the top is shared by all values equal to it, in equal parts.
    edge = float(np.sort(values)[-best])
    above, equal = values > edge, values == edge
    return above + equal * ((best - int(above.sum())) / int(equal.sum()))
