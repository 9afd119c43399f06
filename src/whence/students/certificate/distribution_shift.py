"""Agreement on other texts than these: topics left out of the fit, and corpora from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.core.record import Number, Value
from whence.core.statistics.proportions import Proportion, proportion
from whence.students.certificate.fidelity import kappa
from whence.students.certificate.topics import telling, topical_words, topics
from whence.students.data.near_duplicates import near_duplicates
from whence.students.data.split import FEWEST
from whence.students.families.base import Fitted, Student
from whence.students.features.vectorizer import Features
from whence.students.fitting.sparse import size
from whence.students.teacher.teacher import Teacher

__all__ = ["Elsewhere", "Shift", "other_corpora", "other_topics"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Elsewhere(Value):
    """Agreement on texts of another kind.

    Attributes:
        agreement: with the teacher's decisions; ``None`` of fewer than 30 texts.
        kappa: agreement beyond chance; NaN where both always say the same one label.
        majority: share of the label that the teacher gives most often there; NaN of no text.
        texts: how many there are, repeats and near-duplicates not counted.
        known: texts left out because the student learnt from them or from near-duplicates.
    """

    agreement: Proportion | None
    kappa: Number
    majority: Number
    texts: int
    known: int = 0

    def __str__(self) -> str:
        known = f"; {self.known} left out that were learnt from" if self.known else ""
        if self.agreement is None:
            return f"n too small (n={self.texts}){known}"
        return f"{self.agreement}, kappa {self.kappa:.2f}, majority {self.majority:.3f}{known}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shift(Value):
    """Agreement on other topics and other corpora; all bounds of one kind hold at once.

    Attributes:
        topics: agreement on each cluster of texts by a student fitted without it; empty where
            none was asked for or no topics could be told apart.
        at_random: the same of random parts as large as the topics, all together: what remains of
            a fall below it is due to the topic, and not to fewer texts. ``None`` without topics.
        corpora: agreement of the student itself on each other corpus.
        level: of the bounds of all topics together, and of all corpora together (Bonferroni).
        asked: texts the teacher was asked, answers from its cache not counted.
        one_topic: topics were asked for, but could not be told apart.
    """

    topics: dict[str, Elsewhere]
    at_random: Proportion | None
    corpora: dict[str, Elsewhere]
    level: float
    asked: int = 0
    one_topic: bool = False

    @property
    def worst(self) -> str | None:
        """The topic or corpus of the lowest agreement; ``None`` where none is large enough."""
        bounds = {
            name: found.agreement.value
            for name, found in {**self.topics, **self.corpora}.items()
            if found.agreement is not None
        }
        return min(bounds, key=lambda name: (bounds[name], name)) if bounds else None

    def __or__(self, other: Shift) -> Shift:
        """Topics and corpora of both; ``at_random`` of whichever has it."""
        if self.level != other.level:
            raise OptionError(f"levels {self.level} and {other.level} do not go together")
        return Shift(
            topics={**self.topics, **other.topics},
            at_random=self.at_random or other.at_random,
            corpora={**self.corpora, **other.corpora},
            level=self.level,
            asked=self.asked + other.asked,
            one_topic=self.one_topic or other.one_topic,
        )

    def __str__(self) -> str:
        lines = [f"topic {name}, left out of the fit: {f}" for name, f in self.topics.items()]
        if self.one_topic:
            lines.append("no topics could be told apart")
        if self.at_random is not None:
            lines.append(f"random parts, left out of the fit: {self.at_random}")
        lines += [f"corpus {name}: {found}" for name, found in self.corpora.items()]
        return "\n".join([*lines, f"worst: {self.worst or 'not measured'}"])


def other_topics(
    student: Student,
    table: sparse.csr_array,
    targets: Float[np.ndarray, "_ labels"],
    *,
    features: Features,
    labels: Sequence[str],
    tested: Bool[np.ndarray, " _"] | None = None,
    groups: Int[np.ndarray, " _"] | None = None,
    weights: Float[np.ndarray, " texts"] | None = None,
    texts: Sequence[str] | None = None,
    clusters: int = 5,
    level: float = 0.95,
    seed: int = 0,
) -> Shift:
    """Agreement on each topic of a student fitted on all texts but those of the topic.

    Topics are those of single words that at most one in ``clusters`` texts has. Where there are
    fewer texts than topics, nothing tells the texts apart or one topic holds them all, there is no
    number: ``topics`` is empty, and ``one_topic`` says so.
    Rows of the same document as a row of the topic stay out of the fit as well, edits and
    near-duplicates among them; of each document one row is tested. Beside it stands a random part
    of as many documents, left out and tested likewise. The student's size is kept as it is;
    ``features`` may have been drawn from all texts, but those that no other text has weigh
    nothing.

    Cost: no pass of the teacher; two fits a topic.

    Args:
        student: hyper-parameters.
        table: one row a text of ``fit`` and ``certify``; rows of edits and n-grams may follow.
        targets: the teacher's probabilities.
        features: what the columns are.
        labels: what the columns of ``targets`` are.
        tested: rows that are texts; edits and n-grams have no topic and are never tested.
        groups: the document each row stems from; each row its own where not given.
        weights: of the rows, as in the fit.
        texts: of the rows; prototypes need them.
        clusters: topics, at least 2.
        level: of all bounds together.
        seed: of the topics and the random parts.

    Raises:
        InputError: numbers of rows that do not fit.
        OptionError: fewer than 2 clusters.
    """
    rows = size(table)[0]
    marked = np.ones(rows, dtype=np.bool_) if tested is None else tested
    owner = np.arange(rows) if groups is None else groups
    if len(targets) != rows or len(marked) != rows or len(owner) != rows:
        raise InputError(f"{rows} rows came with targets, marks or groups of another number")
    first = np.zeros(rows, dtype=np.bool_)
    candidates = np.flatnonzero(marked)
    first[candidates[np.unique(owner[candidates], return_index=True)[1]]] = True
    asked = np.flatnonzero(first)
    if clusters < 2:
        raise OptionError(f"{clusters} clusters of texts asked; at least 2 are due")
    words = topical_words(sparse.csr_array(table[asked]), features, clusters)
    of_words = sparse.csr_array(table[asked][:, words])
    parts = [asked]
    if len(asked) >= clusters and len(words):
        own = topics(of_words, clusters, seed=seed)
        parts = [asked[own == place] for place in range(int(own.max()) + 1)]
    if len(parts) < 2:
        return Shift(topics={}, at_random=None, corpora={}, level=level, one_topic=True)
    order = np.random.default_rng(seed).permutation(asked)
    drawn = np.split(order, np.cumsum([len(part) for part in parts])[:-1])
    aims = targets.argmax(axis=1).astype(np.int64)
    joint = 1 - (1 - level) / len(parts)

    def said(part: Int[np.ndarray, " part"]) -> Int[np.ndarray, " part"]:
        kept = np.flatnonzero(~np.isin(owner, owner[part]))
        share = None if weights is None else weights[kept]
        rest, taught = sparse.csr_array(table[kept]), targets[kept]
        seen = None if texts is None else [texts[row] for row in kept.tolist()]
        fitted = student.learn(
            rest, taught, features=features, labels=labels, weights=share, texts=seen
        )
        places = fitted.features.columns_in(features)
        held = sparse.csr_array(sparse.csr_array(table[part])[:, places])
        return fitted.probabilities(held).argmax(axis=1).astype(np.int64)

    found: dict[str, Elsewhere] = {}
    for part in parts:
        name = telling(table, asked, part, features, words)
        found[name if name not in found else f"{name} ({len(found) + 1})"] = _elsewhere(
            aims[part], said(part), joint
        )
    same = sum(int((aims[part] == said(part)).sum()) for part in drawn)
    return Shift(
        topics=found,
        at_random=proportion(same, len(asked), level=level),
        corpora={},
        level=level,
    )


def other_corpora(
    fitted: Fitted,
    teacher: Teacher,
    shifted: Mapping[str, Sequence[str]],
    *,
    learnt: Sequence[str] = (),
    level: float = 0.95,
    seed: int = 0,
) -> Shift:
    """Agreement of a student with its teacher on other corpora, near-duplicates counted once.

    Texts that the student learnt from, or near-duplicates of them, are not elsewhere: they are left
    out and counted in ``known``. Without ``learnt`` none are, and the agreement on a corpus that
    overlaps with what was learnt is too high.

    Cost: one pass of the teacher a text that its cache lacks.

    Args:
        fitted: the student.
        teacher: its teacher.
        shifted: texts by the name of their corpus: of another source, or of later years.
        learnt: texts that the student learnt from, whole or as far as the teacher read them.
        level: of all bounds together.
        seed: of the search for near-duplicates.

    Raises:
        InputError: a corpus without a text.

    Example:
        >>> import whence
        >>> from whence.students.families.baselines import majority
        >>> rule = lambda ts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in ts]
        >>> teacher = Teacher.of(whence.load(rule, labels=["no", "yes"]), gives="probability")
        >>> never = majority(np.array([[0.9, 0.1]]), ["no", "yes"])
        >>> letters = [f"letter {i} came {i * i} days late" for i in range(40)]
        >>> found = other_corpora(never, teacher, {"letters": letters})
        >>> found.corpora["letters"].agreement.value, found.worst, found.asked
        (0.0, 'letters', 40)
    """
    for name, given in shifted.items():
        if len(given) == 0:
            raise InputError(f"corpus {name!r} holds no text")
    before = teacher.asked
    found: dict[str, Elsewhere] = {}
    joint = 1 - (1 - level) / max(len(shifted), 1)
    for name, given in shifted.items():
        rows, known = _unknown(learnt, given, seed)
        chosen: list[int] = rows.tolist()
        texts = [given[row] for row in chosen]
        if not texts:
            found[name] = _elsewhere(rows, rows, joint, known)
            continue
        answers = teacher.ask(texts)
        ends: list[int] = answers.read_to.tolist()
        read = [text[:end] for text, end in zip(texts, ends, strict=True)]
        if read != texts:
            # What was learnt ends where the teacher stopped reading: only so far are they alike.
            rows, more = _unknown(learnt, read, seed)
            chosen = rows.tolist()
            answers, read, known = answers.part(rows), [read[row] for row in chosen], known + more
        student = fitted.predict_proba(read).argmax(axis=1).astype(np.int64)
        found[name] = _elsewhere(answers.top, student, joint, known)
    return Shift(
        topics={}, at_random=None, corpora=found, level=level, asked=teacher.asked - before
    )


def _unknown(
    learnt: Sequence[str], given: Sequence[str], seed: int
) -> tuple[Int[np.ndarray, " rows"], int]:
    """One row of each group that holds nothing learnt; how many texts are in the other groups."""
    together = near_duplicates([*learnt, *given], seed=seed)
    groups = together[len(learnt) :]
    known = np.isin(groups, together[: len(learnt)])
    first = np.sort(np.unique(groups, return_index=True)[1])
    return first[~known[first]], int(known.sum())


def _elsewhere(
    teacher: Int[np.ndarray, " texts"],
    student: Int[np.ndarray, " texts"],
    level: float,
    known: int = 0,
) -> Elsewhere:
    n = len(teacher)
    if n == 0:
        nan = float("nan")
        return Elsewhere(agreement=None, kappa=nan, majority=nan, texts=0, known=known)
    same = int((teacher == student).sum())
    return Elsewhere(
        agreement=proportion(same, n, level=level) if n >= FEWEST else None,
        kappa=kappa(teacher, student),
        majority=float(np.bincount(teacher).max() / n),
        texts=n,
        known=known,
    )
