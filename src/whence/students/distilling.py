"""``whence.distill``: students of a teacher, chosen, certified and set beside their controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from whence.core.errors import InputError, OptionError, unknown
from whence.students.agreement import Flips, flips
from whence.students.bounds import Proportion
from whence.students.certificate import Certificate, certify
from whence.students.controls import gold_only, majority, opaque_ceiling, permuted_teacher
from whence.students.features import Features, ReadableFeatures
from whence.students.frontier import Frontier, frontier
from whence.students.protocol import PARTS, Part, Split, noise_ceiling, split
from whence.students.prototypes import Prototypes
from whence.students.queries import EDITS, edited, frequent_ngrams
from whence.students.rules import RuleList
from whence.students.scorecard import Scorecard
from whence.students.sparse_linear import SparseLinear
from whence.students.student import Fitted, Student
from whence.students.teacher import Answers, Teacher
from whence.students.tree import SmallTree

__all__ = ["Distilled", "distill", "students_for"]

_Told = Callable[[str, int, int], None]


def students_for(labels: int) -> tuple[Student, ...]:
    """The readable students that are fitted where none are named."""
    linear = tuple(SparseLinear(features=k) for k in (10, 30, 100, 300))
    cards = (Scorecard(features=15),) if labels == 2 else ()
    return (*linear, *cards, RuleList(rules=10), SmallTree(leaves=16))


@dataclass(frozen=True, slots=True, eq=False)
class Distilled:
    """Students by name, the best of them, and what was measured.

    Attributes:
        students: all that were fitted, by name.
        chosen: name of the one that is certified: the least to read among those whose
            cross-entropy on ``select`` is within one standard error of the best.
        certificate: of the chosen one, on ``certify``, opened once.
        frontier: of all, on ``report``.
        split: which texts were in which part.
        ceiling: how often the teacher agrees with itself.
        asked: texts the teacher was asked by this run, answers from the cache not counted.
    """

    students: dict[str, Fitted]
    chosen: str
    certificate: Certificate
    frontier: Frontier
    split: Split
    ceiling: Proportion
    asked: int

    @property
    def student(self) -> Fitted:
        """The chosen student."""
        return self.students[self.chosen]

    def __getitem__(self, name: str) -> Fitted:
        if name not in self.students:
            raise unknown("student", name, self.students)
        return self.students[name]

    def __str__(self) -> str:
        return f"{self.chosen}\n{self.certificate}\n{self.frontier}"


def distill(
    teacher: Teacher,
    texts: Sequence[str],
    *,
    gold: Sequence[str] | None = None,
    students: Sequence[Student] | None = None,
    features: ReadableFeatures | None = None,
    ngrams: int | None = None,
    edits: bool = True,
    target: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
    progress: _Told | None = None,
) -> Distilled:
    """Fit readable students to a teacher's answers, and certify the chosen one.

    Texts are split before any question. ``fit`` trains, with edits of its texts and bare n-grams
    beside them; ``select`` chooses; ``certify`` is opened once, for the chosen student;
    ``report`` shows all of them beside the controls.

    Cost: one pass of the teacher a text, a third of ``fit`` again in edits, one an n-gram, one for
    each ``certify`` text and family of edits, and 100 to ask again.

    Args:
        teacher: what is distilled.
        texts: at least 300 that differ.
        gold: the true label of each text, for a control and for the teacher's mistakes.
        students: hyper-parameters of those to fit; see :func:`students_for`.
        features: which features they may use.
        ngrams: how many bare n-grams are asked; a third of ``fit`` where not given.
        edits: whether edited texts are asked, for ``fit`` and for flip-recall.
        target: agreement that replacing the teacher takes.
        level: of all bounds.
        seed: of the split and everything drawn.
        progress: told what is being done, how far it is, and of how much.

    Raises:
        InputError: too few distinct texts, or gold labels that do not fit.
        ModelOutputError: the teacher failed; its answers so far stay in its cache.

    Example:
        >>> import numpy as np, whence
        >>> rule = lambda ts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in ts]
        >>> model = whence.load(rule, labels=["accept", "reject"])
        >>> rng = np.random.default_rng(0)
        >>> words = np.array(["late", *(f"word{i}" for i in range(40))])
        >>> texts = [" ".join(rng.choice(words, 30)) for _ in range(600)]
        >>> found = distill(Teacher.of(model, gives="probability"), texts,
        ...                 students=[RuleList(rules=3)])
        >>> found.certificate.verdict
        'faithful enough to replace'
        >>> print(found.student.to_text().splitlines()[0][:14])
        if 'late': rej
    """
    labels = teacher.labels
    truth = None if gold is None else _indices(gold, labels, len(texts))
    wanted = tuple(students_for(len(labels)) if students is None else students)
    if not wanted or len({s.name for s in wanted}) != len(wanted):
        raise OptionError("students must be one at least, and of different names")
    before = teacher.asked
    parts = split(texts, seed=seed)
    pool = _ask(teacher, texts, "texts", progress)
    fit: list[int] = parts.fit.tolist()
    parents = fit[:: 3 * len(EDITS)] if edits else []
    made = [edited(texts, parents, family=family, seed=seed) for family in EDITS]
    extra = [edit.text for family in made for edit in family]
    count = len(fit) // 3 if ngrams is None else ngrams
    extra += frequent_ngrams([texts[row] for row in fit], count)
    beside = _ask(teacher, extra, "edits and n-grams", progress) if extra else None
    learnt_from = [texts[row] for row in fit] + extra
    own = pool.part(parts.fit)
    targets, read_to = own.probabilities, own.read_to
    if beside is not None:
        targets = np.vstack([targets, beside.probabilities])
        read_to = np.concatenate([read_to, beside.read_to])
    spec = ReadableFeatures() if features is None else features
    known = spec.learn([texts[row][: int(end)] for row, end in zip(fit, own.read_to, strict=True)])
    seen = [text[: int(end)] for text, end in zip(learnt_from, read_to, strict=True)]
    table = known.table(seen)
    fitted: dict[str, Fitted] = {}
    for place, student in enumerate(wanted):
        if isinstance(student, Prototypes):
            made_of = student.fit(table, targets, features=known, labels=labels, texts=seen)
        else:
            made_of = student.fit(table, targets, features=known, labels=labels)
        fitted[student.name] = made_of
        if progress is not None:
            progress("students", place + 1, len(wanted))
    held = _Held.of_parts(texts, pool, parts, known)
    chosen = _chosen(fitted, held, pool, parts)
    rows = np.arange(len(fit))
    controls: dict[str, Fitted] = {
        "majority": majority(targets[rows], labels),
        "permuted": permuted_teacher(
            table[rows], targets[rows], features=known, labels=labels, seed=seed
        ),
    }
    if truth is not None:
        controls["gold"] = gold_only(table[rows], truth[parts.fit], features=known, labels=labels)
    # Shown and never certified: a weight for every feature is a sum, but nobody reads it.
    full = SparseLinear(features=None).fit(table, targets, features=known, labels=labels)
    opaque = opaque_ceiling(seen, targets, labels=labels)
    ceiling = noise_ceiling(teacher, [texts[row] for row in fit], seed=seed, level=level)
    moved: dict[str, Flips] = {}
    if edits:
        for family in EDITS:
            moved[family] = _flips(teacher, fitted[chosen], texts, pool, held, family, seed, level)
    certificate = certify(
        pool.part(parts.certify),
        held.of(fitted[chosen], "certify"),
        controls={name: held.of(control, "certify") for name, control in controls.items()},
        gold=None if truth is None else truth[parts.certify],
        slices=_slices(texts, pool, parts),
        flips=moved,
        ceiling=ceiling,
        target=target,
        level=level,
        seed=seed,
    )
    shown = frontier(
        pool.part(parts.report).top,
        {n: (s.reading_cost.total, held.of(s, "report")) for n, s in fitted.items()},
        {
            n: held.of(c, "report")
            for n, c in {**controls, "full linear": full, "opaque": opaque}.items()
        },
        level=level,
        seed=seed,
    )
    return Distilled(fitted, chosen, certificate, shown, parts, ceiling, teacher.asked - before)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """The parts held out, of what the teacher read; each text is split into words once."""

    texts: dict[Part, list[str]]
    tables: dict[Part, sparse.csr_array]
    rows: dict[Part, Int[np.ndarray, " rows"]]
    known: Features

    @classmethod
    def of_parts(cls, texts: Sequence[str], pool: Answers, parts: Split, known: Features) -> _Held:
        rows: dict[Part, Int[np.ndarray, " rows"]] = {}
        read: dict[Part, list[str]] = {}
        for part in PARTS[1:]:
            rows[part] = parts.rows(part)
            own: list[int] = rows[part].tolist()
            read[part] = [texts[row][: int(pool.read_to[row])] for row in own]
        return cls(read, {part: known.table(own) for part, own in read.items()}, rows, known)

    def of(self, student: Fitted, part: Part) -> Float[np.ndarray, "texts labels"]:
        """Probabilities of a student on a part."""
        if not student.readable:
            return student.predict_proba(self.texts[part])
        columns = student.features.columns_in(self.known)
        return student.probabilities(sparse.csr_array(self.tables[part][:, columns]))


def _ask(teacher: Teacher, texts: Sequence[str], what: str, progress: _Told | None) -> Answers:
    def told(done: int, of: int) -> None:
        if progress is not None:
            progress(what, done, of)

    return teacher.ask(texts, progress=told)


def _indices(gold: Sequence[str], labels: Sequence[str], count: int) -> np.ndarray:
    if len(gold) != count:
        raise InputError(f"{len(gold)} gold labels came with {count} texts; one each is due")
    strange = sorted(set(gold) - set(labels))
    if strange:
        raise InputError(f"gold label {strange[0]!r} is none of the teacher's: {', '.join(labels)}")
    return np.array([list(labels).index(label) for label in gold], dtype=np.int64)


def _chosen(fitted: Mapping[str, Fitted], held: _Held, pool: Answers, parts: Split) -> str:
    """Within one standard error of the least cross-entropy, the least to read."""
    aims = pool.part(parts.select).probabilities
    losses = {
        name: -(aims * np.log(np.maximum(held.of(s, "select"), 1e-3))).sum(axis=1)
        for name, s in fitted.items()
    }
    best = min(losses.values(), key=lambda loss: float(loss.mean()))
    error = {
        name: float((loss - best).std(ddof=1) / np.sqrt(len(loss))) for name, loss in losses.items()
    }
    near = [n for n, loss in losses.items() if (loss - best).mean() <= error[n]]
    return min(near, key=lambda name: (fitted[name].reading_cost.total, name))


def _flips(
    teacher: Teacher,
    student: Fitted,
    texts: Sequence[str],
    pool: Answers,
    held: _Held,
    family: str,
    seed: int,
    level: float,
) -> Flips:
    rows = held.rows["certify"]
    made = edited(texts, rows.tolist(), family=family, seed=seed)
    parents = np.array([edit.parent for edit in made], dtype=np.int64)
    new = [edit.text for edit in made]
    answers = teacher.ask(new)
    before = held.of(student, "certify")[np.searchsorted(rows, parents)]
    after = student.predict_proba(new, answers.read_to.tolist())
    return flips(
        (pool.top[parents], answers.top),
        (before.argmax(axis=1).astype(np.int64), after.argmax(axis=1).astype(np.int64)),
        level=level,
    )


def _slices(texts: Sequence[str], pool: Answers, parts: Split) -> dict[str, Bool[np.ndarray, " n"]]:
    rows: list[int] = parts.certify.tolist()
    length = np.array([len(texts[row].split()) for row in rows])
    middle = float(np.median(length))
    found = {"shorter half": length <= middle, "longer half": length > middle}
    if pool.soft:
        certain = pool.probabilities[parts.certify].max(axis=1)
        found["teacher unsure (below .7)"] = certain < 0.7
        found["teacher sure (.9 and above)"] = certain >= 0.9
    return found
