"""Regions of distrust: a small tree over readable features that predicts where two disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse, stats

from whence.core.errors import InputError, OptionError
from whence.core.statistics.proportions import Proportion, proportion
from whence.students.data.split import FEWEST
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import dense, size
from whence.students.regions.region import Condition, Example, Has, Region, RegionFeatures, Words
from whence.students.regions.subgroup_scan import Scan
from whence.students.teacher.teacher import Answers

__all__ = ["Judged", "regions"]

LENGTHS = 9
"""Lengths that are tried as limits, at equal quantiles of ``select``: tenths. Chosen by hand."""

EXAMPLES = 3
"""Texts shown of a region: as many as a reader looks at."""


class Judged(NamedTuple):
    """Texts of a holdout with their table, and the decisions of teacher and student.

    ``texts`` are what the teacher read of them, ``table`` holds all readable features.
    """

    texts: Sequence[str]
    table: sparse.csr_array
    teacher: Answers
    student: Float[np.ndarray, "texts labels"]

    @property
    def same(self) -> Bool[np.ndarray, " texts"]:
        """Whether the two decided alike."""
        return self.teacher.top == self.student.argmax(axis=1)

    @property
    def lengths(self) -> Int[np.ndarray, " texts"]:
        """Words of each text, by white space."""
        return np.array([len(text.split()) for text in self.texts], dtype=np.int64)


def regions(
    select: Judged,
    report: Judged,
    *,
    features: Features,
    depth: int = 3,
    least_texts: int = 15,
    most: int = 5,
    worth: float = 0.2,
    permutations: int = 99,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Region, ...]:
    """Where the student should not be trusted, in words; clearest first.

    On ``select`` a tree of features and lengths looks for texts on which the student disagrees
    more than elsewhere (:class:`whence.students.regions.subgroup_scan.Scan`). The search is run again with the
    disagreements dealt out at random: ``searched`` is the share of runs whose best region is as
    clear (Westfall and Young, 1993), and a region that more than ``worth`` of them reach is not
    worth a sentence.

    On ``report`` each region is counted once, with exact bounds, the lower ones of all regions shown
    holding together, and the upper ones (Bonferroni), and tested against the texts outside all of them (hypergeometric,
    exact). Where agreeing has nothing to do with the text, any region is ``confirmed`` with a
    probability of at most ``1 - level``. A region is a veto where the search or the report speaks
    clearly, each at half that error, and ``report`` does not show it as good as elsewhere.

    No region proves nothing: with few texts only large and bad ones are seen. Cost: no pass of
    the teacher; a second or so for a thousand texts.

    Args:
        select: part in which regions are searched.
        report: other texts, on which they are bounded.
        features: features of the columns of both tables.
        depth: largest number of conditions of a region: more cannot be kept in mind.
        least_texts: fewest texts of ``select`` on either side of a question. Chosen by hand.
        most: largest number of regions shown.
        worth: largest ``searched`` of a region that is shown. Chosen by hand; not calibrated.
        permutations: number of random runs of the search; with fewer than ``2 / (1 - level)`` the search
            alone never speaks clearly enough for a veto.
        level: level of the bounds and tests.
        seed: seed of the random generator.

    Raises:
        InputError: parts without texts, or of shapes that do not fit.
        OptionError: a number out of its range.

    Example:
        >>> from whence.students.features.vectorizer import ReadableFeatures
        >>> texts = [f"{'late' if i % 3 else 'paid'} {'waived' if i % 4 else 'due'} {'abcdefg'[i % 7]}"
        ...          for i in range(600)]
        >>> features = ReadableFeatures(longest=1).learn(texts)
        >>> says = np.array([[0.2, 0.8] if "late" in t else [0.9, 0.1] for t in texts])
        >>> chances = np.array([[0.9, 0.1] if "late waived" in t else s for t, s in zip(texts, says)])
        >>> answers = Answers(labels=("accept", "reject"), gives="probability", values=chances,
        ...                   read_to=np.array([len(t) for t in texts]))
        >>> judged = Judged(texts, features.table(texts), answers, says)
        >>> print(regions(judged, judged, features=features)[0].says)
        contains 'late', has no 'due': agrees .00 [at least .00, at most .01] (n=300), elsewhere 1.00
    """
    if min(depth, least_texts, most, permutations) < 1 or not 0 < worth <= 1:
        raise OptionError(
            f"expected whole numbers from 1 on and worth above 0 and up to 1, got depth={depth}, "
            f"least_texts={least_texts}, most={most}, permutations={permutations}, worth={worth}"
        )
    if not 0.5 < level < 1:
        raise OptionError(f"expected a level between 0.5 and 1, got level={level}")
    for part in (select, report):
        _check(part, features)
    questions, answers = _questions(select, features, least_texts)
    scan = Scan(answers, len(select.texts), depth=depth, least=least_texts)
    differs = (~select.same).astype(np.float64)
    candidates = scan.search(differs, most=most)
    if not candidates:
        return ()
    rng = np.random.default_rng(seed)
    # Only the clearest region of each random run: compared with the greatest of all, every region
    # shown is corrected for all that were looked at.
    noise = [scan.search(rng.permutation(differs), most=1) for _ in range(permutations)]
    clearest = np.array([run[0].clear if run else 0.0 for run in noise])
    shown: list[_Shown] = []
    for region in candidates:
        # The true run counts as one of them, so that no chance is ever 0.
        searched = (1 + int((clearest >= region.clear).sum())) / (permutations + 1)
        if searched <= worth:
            asks = [(questions[place], yes) for place, yes in region.path]
            there = scan.mask(region.path)
            shown.append(_Shown(asks, searched, there, _inside(report, asks)))
    # Each region is compared with texts in none of them: beside another bad region it would look
    # better than it is.
    outside = np.ones(len(report.texts), dtype=np.bool_)
    for entry in shown:
        outside &= ~entry.on_report
    return tuple(
        _region(entry, select, report, outside, features, level, len(shown)) for entry in shown
    )


class _Shown(NamedTuple):
    """A region that is worth a sentence: what it asks, and its texts in both parts."""

    asks: list[tuple[Has | int, bool]]
    searched: float
    on_select: np.ndarray
    on_report: np.ndarray


def _check(part: Judged, features: Features) -> None:
    rows, columns = size(part.table)
    if not rows == len(part.texts) == len(part.teacher) == len(part.student) or rows == 0:
        raise InputError(
            f"expected a row of the table and an answer of teacher and student for each of one text or "
            f"more, got {len(part.texts)} texts, {rows} rows, {len(part.teacher)} and "
            f"{len(part.student)} answers"
        )
    if columns != len(features):
        raise InputError(
            f"expected a table of {len(features)} columns, one a feature, got {columns}"
        )


def _questions(
    select: Judged, features: Features, least: int
) -> tuple[list[Has | int], list[Int[np.ndarray, " _"]]]:
    """Features, those with least to read first, then lengths; each with the rows that say yes.

    Of features that the same texts have, the first stands for all.
    """
    columns = sparse.csc_array(select.table)
    counts = np.diff(columns.indptr)
    rows = len(select.texts)
    enough: list[int] = np.flatnonzero((counts >= least) & (counts <= rows - least)).tolist()
    # Of equally clear questions the scan takes the first, so the one with least to read stands
    # first; the feature itself ends ties.
    enough.sort(key=lambda column: (features.kept[column].cost, features.kept[column]))
    asked: list[Has | int] = []
    answers: list[np.ndarray] = []
    seen: set[bytes] = set()
    for column in enough:
        # Sorted rows as bytes: a key by which features of the very same texts are one question.
        has = np.sort(columns.indices[columns.indptr[column] : columns.indptr[column + 1]])
        if has.tobytes() not in seen:
            seen.add(has.tobytes())
            asked.append(Has(column, True))
            answers.append(has)
    lengths = select.lengths
    # lower: limits are whole numbers of words, which a reader can count.
    steps = np.quantile(lengths, np.arange(1, LENGTHS + 1) / (LENGTHS + 1), method="lower")
    for step in np.unique(steps).tolist():
        asked.append(int(step))
        answers.append(np.flatnonzero(lengths <= step))
    return asked, answers


def _inside(part: Judged, asks: Sequence[tuple[Has | int, bool]]) -> Bool[np.ndarray, " texts"]:
    inside = np.ones(len(part.texts), dtype=np.bool_)
    for question, yes in asks:
        if isinstance(question, Has):
            answer = dense(sparse.csr_array(part.table[:, [question.column]]))[:, 0] > 0
        else:
            answer = part.lengths <= question
        inside &= answer == yes
    return inside


def _region(
    entry: _Shown,
    select: Judged,
    report: Judged,
    outside: np.ndarray,
    features: Features,
    level: float,
    shown: int,
) -> Region:
    columns = sorted({q.column for q, _ in entry.asks if isinstance(q, Has)})
    conditions: list[Condition] = [
        Has(columns.index(q.column), yes) if isinstance(q, Has) else Words(q, not yes)
        for q, yes in entry.asks
    ]
    error = (1 - level) / shown
    agreement, chance = None, None
    elsewhere = _counted(report.same, outside, level)
    if entry.on_report.sum() >= FEWEST:
        agreement = _counted(report.same, entry.on_report, 1 - error)
        agreed = agreement.hits + elsewhere.hits
        total = agreement.n + elsewhere.n
        # Fisher's exact test, one-sided: given how many agree in all, the number that agrees in
        # the region is hypergeometric.
        chance = float(stats.hypergeom.cdf(agreement.hits, total, agreed, agreement.n))
    clear = entry.searched <= (1 - level) / 2 or (chance is not None and chance <= error / 2)
    # Written so that an empty outside, whose share is NaN, contradicts nothing.
    contradicted = agreement is not None and agreement.value >= elsewhere.value
    return Region(
        conditions=tuple(conditions),
        features=RegionFeatures.from_tree(features.to_json(columns)),
        agreement=agreement,
        elsewhere=elsewhere,
        on_select=_counted(select.same, entry.on_select, level),
        chance=chance,
        searched=entry.searched,
        confirmed=chance is not None and chance <= error,
        veto=clear and not contradicted,
        worst=_worst(select, np.flatnonzero(entry.on_select & ~select.same)),
    )


def _counted(same: np.ndarray, inside: np.ndarray, level: float) -> Proportion:
    return proportion(int(same[inside].sum()), int(inside.sum()), level=level)


def _worst(part: Judged, rows: Int[np.ndarray, " rows"]) -> tuple[Example, ...]:
    """The greatest total variation distance first."""
    taught, labels = part.teacher.probabilities, part.teacher.labels
    apart = np.abs(taught[rows] - part.student[rows]).sum(axis=1)
    chosen: list[int] = rows[np.argsort(-apart, kind="stable")[:EXAMPLES]].tolist()
    examples: list[Example] = []
    for row in chosen:
        t, s = int(part.teacher.top[row]), int(part.student[row].argmax())
        chances = float(taught[row, t]), float(part.student[row, s])
        examples.append(Example(part.texts[row], labels[t], chances[0], labels[s], chances[1]))
    return tuple(examples)
