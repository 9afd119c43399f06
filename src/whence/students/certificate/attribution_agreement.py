"""Whether a student goes by what moves its teacher: contributions against deletions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from whence.core.errors import OptionError
from whence.core.record import Number, Value
from whence.core.statistics.proportions import Interval, bootstrap
from whence.students.families.base import Fitted
from whence.students.teacher.teacher import FLOOR, Answers, Teacher

__all__ = ["AttributionAgreement", "attribution_agreement", "without"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttributionAgreement(Value):
    """Agreement of a student's contributions with its teacher's leave-one-out effects.

    Attributes:
        correlation: mean rank correlation (Spearman) over texts; random contributions give 0.
        overlap: mean share of the ``top`` weightiest pieces, whatever their sign, in common.
        overlap_at_random: what random contributions on the same pieces give, exactly.
        chance: how often random contributions reach so high a correlation.
        chance_of_overlap: the same of the overlap.
        top: pieces compared by the overlap at most; never more than half of those of a text.
        unit: of the effects: ``"log-odds"`` of the student's label, or ``"decision"``.
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
            "teacher no deletion told apart are left out"
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
    teacher: Teacher,
    texts: Sequence[str],
    *,
    most: int = 30,
    top: int = 3,
    permutations: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
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
        fitted: the student.
        teacher: its teacher.
        texts: held out, as far as the teacher reads them.
        most: texts compared; they are drawn at random among those with two pieces or more.
        top: pieces compared by the overlap.
        permutations: of the contributions, for the chance.
        level: of the intervals, over resampled texts.
        seed: of what is drawn.
        progress: told how many texts are answered, of how many.

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
        >>> found = attribution_agreement(student, teacher, lines[3:], top=1)
        >>> found.pieces, found.overlap.value
        (4, 1.0)
    """
    if min(most, top, permutations) < 1:
        raise OptionError(f"most={most}, top={top}, permutations={permutations}: at least 1 each")
    before = teacher.asked
    rng = np.random.default_rng(seed)
    too_few, asked = 0, list[_Question]()
    order: list[int] = rng.permutation(len(texts)).tolist()
    for row in order:
        if len(asked) == most:
            break
        question = _question(fitted, texts[row])
        if len(question.shares) < 2:
            too_few += 1
        else:
            asked.append(question)
    flat = [text for question in asked for text in (question.whole, *question.without)]
    answers = teacher.ask(flat, progress=progress) if flat else None
    compared: list[tuple[np.ndarray, np.ndarray]] = []
    unmoved = start = pieces = 0
    for question in asked:
        end = start + 1 + len(question.shares)
        effects = np.zeros(0)
        if answers is not None:
            f = _for_label(answers.part(np.arange(start, end)), question.label)
            effects = np.round(f[0] - f[1:], 9)
        start = end
        if np.ptp(effects) == 0:
            unmoved += 1
            continue
        pieces += len(effects)
        # Shares are rounded as the effects are, so that rounding errors break no tie.
        compared.append((np.round(question.shares, 9), effects))
    correlations, overlaps, at_random, chances = _against_random(compared, top, permutations, rng)

    def over_texts(values: np.ndarray) -> Interval:
        return bootstrap(
            lambda rows: float(values[rows].mean()), len(values), level=level, seed=seed
        )

    return AttributionAgreement(
        correlation=over_texts(correlations),
        overlap=over_texts(overlaps),
        overlap_at_random=at_random,
        chance=chances[0],
        chance_of_overlap=chances[1],
        top=top,
        unit="log-odds" if teacher.gives != "label" else "decision",
        pieces=pieces,
        too_few=too_few,
        unmoved=unmoved,
        asked=teacher.asked - before,
    )


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text less some characters, its words one space apart.

    Example:
        >>> without("paid late, twice  late", [(5, 9), (18, 22)])
        'paid , twice'
    """
    kept: list[str] = []
    at = 0
    for start, end in sorted(spans):
        kept.append(text[at:start])
        at = max(at, end)
    kept.append(text[at:])
    return " ".join("".join(kept).split())


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
    left = [(without(text, piece.spans), piece) for piece in reasons.evidence if piece.spans]
    left = [(rest, piece) for rest, piece in left if any(c.isalnum() for c in rest)]
    shares = np.array([float(piece.shares[label]) for _, piece in left])
    return _Question(" ".join(text.split()), tuple(rest for rest, _ in left), shares, label)


def _for_label(answers: Answers, label: int) -> Float[np.ndarray, " texts"]:
    """Log-odds of a label; of bare labels whether it was decided for."""
    values = answers.values
    if answers.gives == "label":
        return (answers.top == label).astype(np.float64)
    if answers.gives == "probability":
        own = np.clip(values[:, label], FLOOR, 1 - FLOOR)
        return np.log(own) - np.log1p(-own)
    others = np.delete(values, label, axis=1)
    high = others.max(axis=1)
    return values[:, label] - high - np.log(np.exp(others - high[:, None]).sum(axis=1))


def _against_random(
    compared: Sequence[tuple[np.ndarray, np.ndarray]],
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
        best = max(1, min(top, n // 2))
        ranks, aims = _standard(rankdata(shares)), _standard(rankdata(effects))
        among, wanted = _among_top(np.abs(shares), best), _among_top(np.abs(effects), best)
        correlations[place] = float(ranks @ aims)
        overlaps[place] = float(among @ wanted) / best
        expected[place] = best / n
        order = rng.permuted(np.tile(np.arange(n), (permutations, 1)), axis=1)
        drawn[0] += ranks[order] @ aims
        drawn[1] += among[order] @ wanted / best
    if not compared:
        return correlations, overlaps, float("nan"), (float("nan"), float("nan"))
    # The order found is one of the permutations, so no chance is 0.
    found = np.array([[correlations.sum()], [overlaps.sum()]])
    reached = (drawn >= found - 1e-9).sum(axis=1)
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
    edge = float(np.sort(values)[-best])
    above, equal = values > edge, values == edge
    return above + equal * ((best - int(above.sum())) / int(equal.sum()))
