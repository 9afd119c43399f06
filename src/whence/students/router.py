"""The router: a student answers what it was certified for, and the teacher the rest."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from whence.core.errors import (
    InputError,
    NewerVersionError,
    OptionError,
    RecordError,
    unknown,
)
from whence.students.monitor import Monitor
from whence.students.reach import Reach
from whence.students.region import Region, first_held
from whence.students.replies import Answer, Asked, Reply, replies_of
from whence.students.routed import Counts, Decides, Routed
from whence.students.student import Fitted, Reasons

__all__ = ["Router", "Unreachable"]

SCHEMA_VERSION = 1

Unreachable = Literal["abstain", "raise"]


class Router:
    """Decides texts by the student where it was certified, else by the teacher.

    The teacher is asked where nothing is certified, where the monitor has raised its alarm, where
    the text is in a region of distrust or beyond the reach of the certificate, and where the
    student's certainty is below the threshold; the first that applies is the reason. Where the
    teacher fails the router abstains: it never falls back on the student.

    Of the texts that the student answers, a random share is put to the teacher as well. The
    student's answer stands; whether they agree goes to the monitor. An audit at which the teacher
    fails is counted and tells the monitor nothing.

    May be called from several threads: counting, drawing and the monitor are locked, and the
    teacher is asked by one thread at a time. With one thread, the same seed and texts give the
    same decisions, one by one or in batches.

    Cost: below a millisecond for a text that the student answers; one pass of the teacher for each
    that it does not, and for each audit.

    Args:
        student: a fitted student or a stored one.
        teacher: who is asked.
        certified: fingerprint of the teacher that the student was certified against, as
            ``teacher.fingerprint`` was then. Of a callable without a version that is ``None``,
            and a change of it cannot be seen: give callables a version.
        threshold: least certainty certified; ``None``: nothing is, so the teacher is always asked.
        vetoes: regions in which the teacher is asked.
        reach: length and words that were certified; no limit where not given.
        audit_rate: share of the student's answers that are audited.
        monitor: what audits are told to; without one they are only counted.
        unreachable: what a failing teacher means: ``"abstain"``, or ``"raise"`` its error.
        seed: of the audits' own generator.

    Raises:
        OptionError: another teacher than the one certified, other labels, or a number out of its
            range.

    Example:
        >>> from whence.students.runtime import Runtime
        >>> from whence.students.teacher import Teacher
        >>> student = Runtime({
        ...     "kind": "rules", "labels": ["accept", "reject"],
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
        teacher: Asked,
        *,
        certified: str | None,
        threshold: float | None,
        vetoes: Sequence[Region] = (),
        reach: Reach | None = None,
        audit_rate: float = 0.02,
        monitor: Monitor | None = None,
        unreachable: Unreachable = "abstain",
        seed: int = 0,
    ) -> None:
        if teacher.fingerprint != certified:
            raise OptionError(
                f"the student was certified against {_named(certified)}; {teacher.ref} is "
                f"{_named(teacher.fingerprint)}. The certificate does not hold for it: give the "
                "teacher that was certified, or distill this one."
            )
        if tuple(student.labels) != tuple(teacher.labels):
            raise OptionError(
                f"the student decides among {', '.join(student.labels)}; {teacher.ref} among "
                f"{', '.join(teacher.labels)}. The same labels in the same order are due."
            )
        if not 0 <= audit_rate <= 1:
            raise OptionError(f"audit_rate={audit_rate}: a share from 0 to 1 is due")
        if unreachable not in ("abstain", "raise"):
            raise unknown("unreachable", unreachable, ("abstain", "raise"))
        self.student = student
        self.teacher = teacher
        self.certified = certified
        self.threshold = threshold
        self.vetoes = tuple(vetoes)
        self.reach = reach
        self.audit_rate = audit_rate
        self.monitor = monitor
        self.unreachable: Unreachable = unreachable
        self._rng = np.random.default_rng(seed)
        self._counts = Counts()
        self._lock = threading.Lock()
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
            texts: any; what is empty is refused.

        Raises:
            InputError: a text is empty or no text; nothing is decided then.
            WhenceError: the teacher failed, with ``unreachable="raise"``.
            Interrupted: stopped by the user.
        """
        for row, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"text {row} is empty or no text; leave it out")
        chances = self._chances(texts)
        reasons = [self._why_ask(t, c) for t, c in zip(texts, chances, strict=True)]
        audits = self._drawn(reasons)
        wanted = [row for row, why in enumerate(reasons) if why is not None or row in audits]
        replies = self._ask({row: texts[row] for row in wanted})
        # The alarm holds from the text after the audit that raised it.
        switched = self._watch(audits, replies, chances)
        late = [row for row in range(switched, len(texts)) if reasons[row] is None]
        reasons[switched:] = [self._alarm()] * (len(texts) - switched)
        audits -= set(late)
        replies |= self._ask({row: texts[row] for row in late if row not in replies})
        made = [
            self._routed(text, own, why, replies.get(row), row in audits)
            for row, (text, own, why) in enumerate(zip(texts, chances, reasons, strict=True))
        ]
        self._count(made)
        return made

    def _chances(self, texts: Sequence[str]) -> list[np.ndarray]:
        student = self.student
        if isinstance(student, Fitted):
            return list(student.predict_proba(texts)) if texts else []
        return [student.decide(text).probabilities for text in texts]

    def _why_ask(self, text: str, chances: np.ndarray) -> str | None:
        """Why the teacher is asked; ``None`` where the student answers."""
        if self.threshold is None:
            return "nothing is certified"
        if self.monitor is not None and self.monitor.alarm:
            return self._alarm()
        region = first_held(self.vetoes, text)
        if region is not None:
            return f"in a region of distrust: {region.where}"
        beyond = None if self.reach is None else self.reach.beyond(text)
        if beyond is not None:
            return beyond
        certainty = float(chances.max())
        if certainty < self.threshold:
            return f"certainty {certainty:.3f} is below the {self.threshold:.3f} that is certified"
        return None

    def _alarm(self) -> str:
        due = "due" if self.monitor is None else self.monitor.target
        return f"audits show that the student agrees in less than {due}"

    def _drawn(self, reasons: Sequence[str | None]) -> set[int]:
        """The rows that are audited; one number is drawn for each text the student answers."""
        with self._lock:
            return {
                row
                for row, why in enumerate(reasons)
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
        """Tells the monitor; the first row that its alarm takes from the student."""
        if self.monitor is None:
            return len(chances)
        with self._lock:
            # Raised from another thread since.
            if self.monitor.alarm:
                return 0
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
        labels = self.teacher.labels
        if why is None:
            top = int(chances.argmax())
            agreed = reply.top == top if isinstance(reply, Answer) else None
            reason = f"certainty {chances[top]:.3f}; {self.threshold:.3f} is certified"
            return Routed(
                label=labels[top], probabilities=chances, by="student", reason=reason,
                evidence=self._evidence(text), audited=audited, audit_agreed=agreed,
            )  # fmt: skip
        if isinstance(reply, Answer):
            return Routed(
                label=labels[reply.top], probabilities=reply.probabilities, by="teacher", reason=why
            )
        assert reply is not None
        if self.unreachable == "raise":
            raise reply
        failed = f"{why}; {self.teacher.ref} failed: {reply}"
        return Routed(label=None, probabilities=None, by="abstain", reason=failed)

    def _evidence(self, text: str) -> Reasons | tuple[str, ...] | None:
        student = self.student
        if isinstance(student, Fitted):
            return student.explain(text) if student.readable else None
        return student.decide(text).found

    def _count(self, made: Sequence[Routed]) -> None:
        by = [routed.by for routed in made]
        agreed = [routed.audit_agreed for routed in made if routed.audited]
        new = Counts(
            by.count("student"), by.count("teacher"), by.count("abstain"),
            len(agreed), agreed.count(True), agreed.count(None),
        )  # fmt: skip
        with self._lock:
            self._counts = Counts(*map(sum, zip(self._counts, new, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Settings and state, so that a service can be stopped and resumed; not the student."""
        with self._lock:
            return {
                "schema_version": SCHEMA_VERSION,
                "certified": self.certified,
                "labels": list(self.student.labels),
                "threshold": self.threshold,
                "vetoes": [region.to_json() for region in self.vetoes],
                "reach": None if self.reach is None else self.reach.to_json(),
                "audit_rate": self.audit_rate,
                "unreachable": self.unreachable,
                "monitor": None if self.monitor is None else self.monitor.to_json(),
                "counts": self._counts._asdict(),
                "drawing": self._rng.bit_generator.state,
            }

    @classmethod
    def from_json(
        cls, tree: Mapping[str, Any], *, student: Fitted | Decides, teacher: Asked
    ) -> Router:
        """What :meth:`to_json` wrote, with the same student and teacher.

        Raises:
            RecordError: no valid state, or that of a student with other labels.
            NewerVersionError: written by a newer whence.
            OptionError: another teacher than the one certified.
        """
        version = tree.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise NewerVersionError(
                f"the router has schema_version {version}; this whence reads up to "
                f"{SCHEMA_VERSION}. Read it with the whence that wrote it."
            )
        if version != SCHEMA_VERSION:
            raise RecordError(f"the router has schema_version {version!r}; 1 is due")
        try:
            if tuple(tree["labels"]) != tuple(student.labels):
                raise RecordError(
                    f"the router's student decides among {', '.join(tree['labels'])}; this one "
                    f"among {', '.join(student.labels)}"
                )
            reach, monitor = tree["reach"], tree["monitor"]
            found = cls(
                student,
                teacher,
                certified=tree["certified"],
                threshold=tree["threshold"],
                vetoes=[Region.from_json(entry) for entry in tree["vetoes"]],
                reach=None if reach is None else Reach.from_json(reach),
                audit_rate=tree["audit_rate"],
                monitor=None if monitor is None else Monitor.from_json(monitor),
                unreachable=tree["unreachable"],
            )
            found._counts = Counts(**tree["counts"])
            found._resume(tree["drawing"])
        except (KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"no valid router: {type(error).__name__} {error}; give what to_json wrote"
            ) from error
        return found

    def _resume(self, drawing: Mapping[str, Any]) -> None:
        try:
            self._rng.bit_generator.state = drawing
        except ValueError as error:
            raise RecordError(f"no valid state of the audits' generator: {error}") from error

    def __str__(self) -> str:
        c = self.counts
        lines = [f"student {c.student}, teacher {c.teacher}, abstained {c.abstain}"]
        if c.audits:
            lines.append(f"audits {c.audits}: {c.audits_agreed} agreed, {c.audits_failed} failed")
        if self.monitor is not None:
            lines.append(str(self.monitor))
        return "\n".join(lines)


def _named(fingerprint: str | None) -> str:
    return "one without a fingerprint" if fingerprint is None else f"{fingerprint[:40]!r}"
