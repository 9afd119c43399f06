"""The router: a student answers the texts it is certified for, its teacher the rest."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from whence.core.errors import InputError, OptionError, RecordError, unknown
from whence.core.record import without_surrogates
from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.families.base import Fitted
from whence.students.regions.region import Region
from whence.students.routing.decision import (
    Counts,
    Decides,
    Routed,
    Unreachable,
    by_teacher,
    evidence_of,
    probabilities_of,
)
from whence.students.routing.monitor import Monitor
from whence.students.routing.scope import check_teacher, check_threshold, deferral_reason
from whence.students.routing.state import GeneratorState, RouterState
from whence.students.teacher.replies import Answer, Askable, Reply, first_error, replies_of

__all__ = ["Router"]


class Router:
    """Decides texts by the student where it is certified, else by the teacher.

    The teacher is asked where nothing is certified, where the monitor has raised its alarm, where
    the text is in a region of distrust or outside the applicability domain, and where the
    student's certainty is below the threshold; the first that applies is the reason. Where the
    teacher fails the router abstains: it never falls back on the student.

    Of the texts that the student answers, a random share is put to the teacher as well. The
    student's answer stands; whether they agree goes to the monitor. An audit at which the teacher
    fails is counted and tells the monitor nothing.

    May be called from several threads: counting, drawing and the monitor are locked, and the
    teacher is asked by one thread at a time. With one thread and a teacher that does not fail, the
    same seed and texts give the same decisions, one by one or in batches. With one that fails they
    may differ: after three failures in a row the rest of a batch is not asked, and the router
    abstains on it, where one by one each text would have been asked.

    Cost: below a millisecond for a text that the student answers; one pass of the teacher for each
    that it does not, and for each audit.

    Args:
        student: fitted student or stored one.
        teacher: teacher that answers where the student may not.
        certified: fingerprint of the teacher that the student was certified against, as
            ``teacher.fingerprint`` was then. Of a callable without a version that is ``None``,
            and a change of it cannot be seen: give callables a version.
        threshold: least certainty that is certified, from 0 to 1; ``None``: nothing is, so the teacher is
            always asked.
        vetoes: regions in which the teacher is asked.
        applicability_domain: lengths and words that were certified; no limit where not given.
        audit_rate: share of the student's answers that are audited.
        monitor: monitor that takes in the audits; without one they are only counted.
        unreachable: policy where the teacher fails: ``"abstain"``, or ``"raise"`` its error, which
            leaves the whole batch undecided and uncounted.
        seed: seed of the random generator that draws audits.

    Raises:
        OptionError: another teacher than the one certified, other labels, or a number out of its
            range.

    Example:
        >>> from whence.students.export.runtime import Runtime
        >>> from whence.students.teacher.teacher import Teacher
        >>> student = Runtime({
        ...     "kind": "rule-list", "labels": ["accept", "reject"],
        ...     "features": {"longest": 1, "negation": False, "position": False, "lexicons": {},
        ...                  "features": [["ngram", "late", 1]]},
        ...     "rules": [[[[0, True]], [0.1, 0.9], 12.0], [[], [0.6, 0.4], 40.0]]})
        >>> rule = lambda texts: ["reject" if "late" in t else "accept" for t in texts]
        >>> teacher = Teacher.of_labels(rule, labels=["accept", "reject"], version="rule 1")
        >>> router = Router(student, teacher, certified=teacher.fingerprint, threshold=0.8)
        >>> for text in ("paid late", "paid"):
        ...     routed = router.decide(text)
        ...     print(routed.label, "by", routed.by, "-", routed.reason)
        reject by student - certainty 0.900; 0.800 is certified
        accept by teacher - certainty 0.600 is below the 0.800 that is certified
    """

    def __init__(
        self,
        student: Fitted | Decides,
        teacher: Askable,
        *,
        certified: str | None,
        threshold: float | None,
        vetoes: Sequence[Region] = (),
        applicability_domain: ApplicabilityDomain | None = None,
        audit_rate: float = 0.02,
        monitor: Monitor | None = None,
        unreachable: Unreachable = "abstain",
        seed: int = 0,
    ) -> None:
        check_teacher(student.labels, teacher, certified)
        check_threshold(threshold)
        if not 0 <= audit_rate <= 1:
            raise OptionError(f"expected an audit_rate from 0 to 1, got audit_rate={audit_rate}")
        if unreachable not in ("abstain", "raise"):
            raise unknown("unreachable", unreachable, ("abstain", "raise"))
        self.student = student
        self.teacher = teacher
        self.certified = certified
        self.threshold = threshold
        self.vetoes = tuple(vetoes)
        self.applicability_domain = applicability_domain
        self.audit_rate = audit_rate
        self.monitor = monitor
        self.unreachable: Unreachable = unreachable
        self._rng = np.random.default_rng(seed)
        self._counts = Counts()
        self._lock = threading.Lock()
        # A lock of its own: an answer of the teacher may take seconds, in which other threads must
        # be able to count, draw and read the state.
        self._asking = threading.Lock()

    @property
    def counts(self) -> Counts:
        """How many so far."""
        with self._lock:
            return self._counts

    def decide(self, text: str) -> Routed:
        """One text; see :meth:`decide_many`."""
        return self.decide_many([text])[0]

    def decide_many(self, texts: Sequence[str]) -> list[Routed]:
        """Decisions of some texts, in their order; the teacher is asked for all in one go.

        Args:
            texts: texts to decide, none of them empty.

        Raises:
            InputError: a text is empty or no text; nothing is decided then.
            WhenceError: the teacher failed, with ``unreachable="raise"``. Nothing is decided then
                and nothing counted, but for audits that raised the alarm before a text that fails.
            Interrupted: stopped by the user.
        """
        for row, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"expected a text, got nothing to read at row {row}; leave it out")
        chances = probabilities_of(self.student, texts)
        reasons = [self._deferral_reason(t, c) for t, c in zip(texts, chances, strict=True)]
        audits = self._drawn(reasons)
        asked = [row for row, why in enumerate(reasons) if why is not None or row in audits]
        replies = self._ask({row: texts[row] for row in asked})
        # Before the monitor takes anything in: a batch that is tried again must not be counted twice.
        failed = first_error(replies[row] for row in asked if reasons[row] is not None)
        if failed is not None and self.unreachable == "raise":
            raise failed
        # The alarm holds from the text after the audit that raised it.
        switched = self._watch(audits, replies, chances)
        late = [row for row in range(switched, len(texts)) if reasons[row] is None]
        reasons[switched:] = [self._alarm()] * (len(texts) - switched)
        # The student's answers to these no longer stand, so an audit of them is none.
        audits -= set(late)
        replies |= self._ask({row: texts[row] for row in late if row not in replies})
        decisions = [
            self._routed(text, chance, why, replies.get(row), row in audits)
            for row, (text, chance, why) in enumerate(zip(texts, chances, reasons, strict=True))
        ]
        counts = Counts.of(decisions)
        failed = first_error(replies[row] for row in late)
        if failed is not None and self.unreachable == "raise":
            # The monitor has taken these audits in: they stay counted, though no decision is
            # given.
            self._count(replace(counts, student=0, teacher=0, abstain=0))
            raise failed
        self._count(counts)
        return decisions

    def _deferral_reason(self, text: str, chances: np.ndarray) -> str | None:
        """Why the teacher is asked; ``None`` where the student answers."""
        # Where nothing is certified that is the reason, and the alarm says nothing new.
        if self.threshold is not None and self.monitor is not None and self.monitor.alarm:
            return self._alarm()
        return deferral_reason(
            text,
            chances,
            threshold=self.threshold,
            vetoes=self.vetoes,
            applicability_domain=self.applicability_domain,
        )

    def _alarm(self) -> str:
        target = "the target" if self.monitor is None else self.monitor.target
        return f"audits show that the student agrees in less than {target}"

    def _drawn(self, reasons: Sequence[str | None]) -> set[int]:
        """The rows that are audited; one number is drawn for each text the student answers."""
        with self._lock:
            return {
                row
                for row, why in enumerate(reasons)
                # Asked last, so that only texts that the student answers take a number: a batch
                # draws what single texts would.
                if why is None and self._rng.random() < self.audit_rate
            }

    def _ask(self, texts: Mapping[int, str]) -> dict[int, Reply]:
        """The teacher's answer to each row, or what it failed with."""
        if not texts:
            return {}
        with self._asking:
            return dict(zip(texts, replies_of(self.teacher, list(texts.values())), strict=True))

    def _watch(
        self, audits: set[int], replies: Mapping[int, Reply], chances: Sequence[np.ndarray]
    ) -> int:
        """Let the monitor take in the audits; the first row that its alarm takes from the student."""
        if self.monitor is None:
            return len(chances)
        with self._lock:
            # Another thread may have raised it since the rows were drawn.
            if self.monitor.alarm:
                return 0
            # In the order of the texts, so that a batch raises the alarm at the same text as one
            # by one.
            for row in sorted(audits):
                reply = replies[row]
                if isinstance(reply, Answer):
                    self.monitor.update(reply.top == int(chances[row].argmax()))
                    if self.monitor.alarm:
                        return row + 1
        return len(chances)

    def _routed(
        self, text: str, chances: np.ndarray, why: str | None, reply: Reply | None, audited: bool
    ) -> Routed:
        if why is not None:
            assert reply is not None
            return by_teacher(self.teacher, reply, why)
        top = int(chances.argmax())
        return Routed(
            label=self.teacher.labels[top],
            probabilities=chances,
            by="student",
            reason=f"certainty {chances[top]:.3f}; {self.threshold:.3f} is certified",
            evidence=evidence_of(self.student, text),
            audited=audited,
            audit_agreed=reply.top == top if isinstance(reply, Answer) else None,
        )

    def _count(self, new: Counts) -> None:
        with self._lock:
            self._counts = self._counts.plus(new)

    @property
    def state(self) -> RouterState:
        """Settings and state, so that a service can be stopped and resumed; not the student."""
        with self._lock:
            return RouterState(
                certified=self.certified,
                labels=_stored_labels(self.student),
                threshold=self.threshold,
                vetoes=self.vetoes,
                applicability_domain=self.applicability_domain,
                audit_rate=self.audit_rate,
                unreachable=self.unreachable,
                monitor=None if self.monitor is None else self.monitor.state,
                counts=self._counts,
                random_state=GeneratorState.of(self._rng),
            )

    @classmethod
    def of(cls, state: RouterState, *, student: Fitted | Decides, teacher: Askable) -> Router:
        """A router that goes on from a stored state, with the same student and teacher.

        Raises:
            RecordError: the state is of a student with other labels.
            OptionError: another teacher than the one certified, or a number out of its range.
        """
        if state.labels != _stored_labels(student):
            raise RecordError(
                f"the router decides among {', '.join(state.labels)}; the student among "
                f"{', '.join(student.labels)}. Give the student it was written with."
            )
        router = cls(
            student, teacher, certified=state.certified, threshold=state.threshold,
            vetoes=state.vetoes, applicability_domain=state.applicability_domain, audit_rate=state.audit_rate,
            monitor=None if state.monitor is None else Monitor.of(state.monitor),
            unreachable=state.unreachable,
        )  # fmt: skip
        router._counts = state.counts
        router._rng = state.random_state.generator()
        return router

    def to_json(self) -> bytes:
        """The JSON of :attr:`state`."""
        return self.state.to_json()

    @classmethod
    def from_json(
        cls, data: bytes | str | Mapping[str, Any], *, student: Fitted | Decides, teacher: Askable
    ) -> Router:
        """A router from what :meth:`to_json` wrote, in this version or an older one; see :meth:`of`.

        Raises:
            RecordError: no valid state, or that of a student with other labels.
            NewerVersionError: written by a newer whence.
            OptionError: another teacher than the one certified, or a number out of its range.
        """
        return cls.of(RouterState.from_json(data), student=student, teacher=teacher)

    def __str__(self) -> str:
        c = self.counts
        lines = [f"student {c.student}, teacher {c.teacher}, abstained {c.abstain}"]
        if c.audits:
            lines.append(f"audits {c.audits}: {c.audits_agreed} agreed, {c.audits_failed} failed")
        if self.monitor is not None:
            lines.append(str(self.monitor))
        return "\n".join(lines)


def _stored_labels(student: Fitted | Decides) -> tuple[str, ...]:
    # A student of an earlier version may have a lone surrogate in a label, which no record takes.
    return tuple(without_surrogates(label) for label in student.labels)
