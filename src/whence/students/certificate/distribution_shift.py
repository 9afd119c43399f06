"""Agreement on other texts than these: topics left out of the fit, and corpora from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.core.record import Number, Value
from whence.core.statistics.proportions import Proportion, proportion
from whence.students.certificate.fidelity import kappa
from whence.students.certificate.topics import telling, topical_words, topics
from whence.students.data.near_duplicates import near_duplicates
from whence.students.data.run import Run, Terms
from whence.students.data.split import FEWEST
from whence.students.data.training_set import TrainingTable
from whence.students.families.base import Fitted, Student

__all__ = ["Elsewhere", "Shift", "other_corpora", "other_topics"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Elsewhere(Value):
    """Agreement on texts of another kind.

    Attributes:
        agreement: agreement with the teacher's decisions; ``None`` for fewer than 30 texts.
        kappa: agreement beyond chance; NaN where both always say the same one label.
        majority: share of the label that the teacher gives most often there; NaN for no text.
        texts: number of texts, repeats and near-duplicates not counted.
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
            none was asked for or the texts fall into no topics.
        at_random: agreement on random parts as large as the topics, all together: what remains of
            a fall below it comes from the topic, and not from fewer texts. ``None`` without topics.
        corpora: agreement of the student itself on each other corpus.
        level: level of the bounds of all topics together, and of all corpora together (Bonferroni).
        asked: texts the teacher was asked, answers from its cache not counted.
        one_topic: whether topics were asked for, but the texts fall into none.
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
            name: part.agreement.value
            for name, part in {**self.topics, **self.corpora}.items()
            if part.agreement is not None
        }
        return min(bounds, key=lambda name: (bounds[name], name)) if bounds else None

    def __or__(self, other: Shift) -> Shift:
        """Topics and corpora of both; ``at_random`` of whichever has it."""
        if self.level != other.level:
            raise OptionError(
                f"expected two measurements of one level, got levels {self.level} and "
                f"{other.level}; measure both at one level"
            )
        return Shift(
            topics={**self.topics, **other.topics},
            at_random=self.at_random or other.at_random,
            corpora={**self.corpora, **other.corpora},
            level=self.level,
            asked=self.asked + other.asked,
            one_topic=self.one_topic or other.one_topic,
        )

    def __str__(self) -> str:
        lines = [f"topic {name}, left out of the fit: {part}" for name, part in self.topics.items()]
        if self.one_topic:
            lines.append("the texts could not be divided into topics")
        if self.at_random is not None:
            lines.append(f"random parts, left out of the fit: {self.at_random}")
        lines += [f"corpus {name}: {corpus}" for name, corpus in self.corpora.items()]
        return "\n".join([*lines, f"worst: {self.worst or 'not measured'}"])


def other_topics(
    student: Student, training: TrainingTable, terms: Terms, *, clusters: int = 5
) -> Shift:
    """Agreement on each topic of a student fitted on all texts but those of the topic.

    Topics are those of single words that at most one in ``clusters`` texts has. Where there are
    fewer texts than topics, nothing tells the texts apart or one topic holds them all, there is no
    number: ``topics`` is empty, and ``one_topic`` says so.
    Rows of the same document as a row of the topic stay out of the fit as well, edits and
    near-duplicates among them; of each document one whole text is tested. Beside it stands a random
    part of as many documents, left out and tested likewise. The student's size is kept as it is;
    features may have been drawn from all texts, but those that no other text has weigh nothing.

    Cost: no pass of the teacher; two fits a topic.

    Args:
        student: hyper-parameters.
        training: training set; edits and n-grams have no topic and are never tested.
        terms: level of all bounds together, and seed of the topics and the random parts.
        clusters: topics, at least 2.

    Raises:
        OptionError: fewer than 2 clusters.
    """
    if clusters < 2:
        raise OptionError(f"expected 2 clusters of texts or more, got {clusters}")
    texts = training.examples
    whole = texts.whole()
    # The first whole text of each document: repeats would make the bounds narrower than they are.
    tested = np.sort(whole[np.unique(texts.groups[whole], return_index=True)[1]])
    table = sparse.csr_array(training.table[tested])
    words = topical_words(table, training.features, clusters)
    parts = [tested]
    if len(tested) >= clusters and len(words):
        topic = topics(sparse.csr_array(table[:, words]), clusters, seed=terms.seed)
        parts = [tested[topic == place] for place in range(int(topic.max()) + 1)]
    if len(parts) < 2:
        return Shift(topics={}, at_random=None, corpora={}, level=terms.level, one_topic=True)
    order = np.random.default_rng(terms.seed).permutation(tested)
    # Random parts of the sizes of the topics: what these lose by fewer texts to learn from, topics
    # lose as well.
    drawn = np.split(order, np.cumsum([len(part) for part in parts])[:-1])
    taught = texts.targets.argmax(axis=1).astype(np.int64)
    # All topics share one error rate (Bonferroni).
    joint = 1 - (1 - terms.level) / len(parts)
    result: dict[str, Elsewhere] = {}
    for part in parts:
        name = telling(training.table, tested, part, training.features, words)
        result[name if name not in result else f"{name} ({len(result) + 1})"] = _elsewhere(
            taught[part], _left_out(student, training, part), joint
        )
    # Random parts differ by chance alone, so they are counted as one: a bound on all of them is
    # narrower than one on each.
    same = sum(int((taught[part] == _left_out(student, training, part)).sum()) for part in drawn)
    return Shift(
        topics=result,
        at_random=proportion(same, len(tested), level=terms.level),
        corpora={},
        level=terms.level,
    )


def _left_out(
    student: Student, training: TrainingTable, part: Int[np.ndarray, " part"]
) -> Int[np.ndarray, " part"]:
    """Decisions on some rows of a student fitted on the documents without any of them."""
    groups = training.examples.groups
    # By document and not by row: an edit of a tested text gives its answer away.
    fitted = training.fit(student, np.flatnonzero(~np.isin(groups, groups[part])))
    columns = fitted.features.columns_in(training.features)
    table = sparse.csr_array(sparse.csr_array(training.table[part])[:, columns])
    return fitted.probabilities(table).argmax(axis=1).astype(np.int64)


def other_corpora(
    fitted: Fitted,
    shifted: Mapping[str, Sequence[str]],
    run: Run,
    *,
    learnt: Sequence[str] = (),
) -> Shift:
    """Agreement of a student with its teacher on other corpora, near-duplicates counted once.

    Texts that the student learnt from, or near-duplicates of them, are not elsewhere: they are left
    out and counted in ``known``. Without ``learnt`` none are, and the agreement on a corpus that
    overlaps with what was learnt is too high.

    Cost: one pass of the teacher a text that its cache lacks.

    Args:
        fitted: student.
        shifted: texts by the name of their corpus: of another source, or of later years.
        run: teacher, level of all bounds together, and seed of the search for near-duplicates.
        learnt: texts that the student learnt from, whole or as far as the teacher read them.

    Raises:
        InputError: a corpus without a text.

    Example:
        >>> import whence
        >>> from whence.students.families.baselines import majority
        >>> from whence.students.teacher.teacher import Teacher
        >>> rule = lambda ts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in ts]
        >>> teacher = Teacher.of(whence.load(rule, labels=["no", "yes"]), gives="probability")
        >>> never = majority(np.array([[0.9, 0.1]]), ["no", "yes"])
        >>> letters = [f"letter {i} came {i * i} days late" for i in range(40)]
        >>> result = other_corpora(never, {"letters": letters}, Run(teacher=teacher))
        >>> result.corpora["letters"].agreement.value, result.worst, result.asked
        (0.0, 'letters', 40)
    """
    for name, texts in shifted.items():
        if len(texts) == 0:
            raise InputError(f"expected one text or more in corpus {name!r}, got none")
    before = run.used()
    # All corpora share one error rate (Bonferroni).
    joint = 1 - (1 - run.terms.level) / max(len(shifted), 1)
    corpora: dict[str, Elsewhere] = {}
    for name, texts in shifted.items():
        rows, known = _unknown(learnt, texts, run.terms.seed)
        chosen: list[int] = rows.tolist()
        new = [texts[row] for row in chosen]
        if not new:
            corpora[name] = _elsewhere(rows, rows, joint, known)
            continue
        answers = run.teacher.ask(new)
        ends: list[int] = answers.read_to.tolist()
        read = [text[:end] for text, end in zip(new, ends, strict=True)]
        if read != new:
            # What was learnt ends where the teacher stopped reading: only so far are they alike.
            rows, more = _unknown(learnt, read, run.terms.seed)
            chosen = rows.tolist()
            answers, read, known = answers.part(rows), [read[row] for row in chosen], known + more
        decisions = fitted.predict_proba(read).argmax(axis=1).astype(np.int64)
        corpora[name] = _elsewhere(answers.top, decisions, joint, known)
    return Shift(
        topics={},
        at_random=None,
        corpora=corpora,
        level=run.terms.level,
        asked=run.used(before).asked,
    )


def _unknown(
    learnt: Sequence[str], texts: Sequence[str], seed: int
) -> tuple[Int[np.ndarray, " rows"], int]:
    """One row of each group that holds nothing learnt; how many texts are in the other groups."""
    # One search over both, since groups are chains: a text may be joined to a learnt one by
    # another text of its corpus.
    together = near_duplicates([*learnt, *texts], seed=seed)
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
