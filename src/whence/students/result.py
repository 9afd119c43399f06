"""What a distillation gives: students by name, the chosen one, and all that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from whence.core.display import fragment_of, page_of, text_of
from whence.core.errors import OptionError, RecordError, unknown
from whence.core.provenance import now
from whence.core.statistics.proportions import Proportion
from whence.students.certificate.certificate import VERDICTS, Certificate
from whence.students.certificate.frontier import Frontier
from whence.students.certificate.learning_curve import LearningCurve
from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.data.model_selection import Choice
from whence.students.data.query_budget import QueryPlan
from whence.students.data.split import PARTS, Part, Split
from whence.students.export.artefacts import Artefacts, save_artefacts
from whence.students.export.folder import locked, write_folder
from whence.students.export.model_file import Tree, read_tree
from whence.students.export.student_card import DomainLimits, SplitPart, StudentCard
from whence.students.families.base import Fitted
from whence.students.families.transformer import FittedTransformer
from whence.students.features.word_groups import WordGroups
from whence.students.file_names import COMPACT, MANIFEST, REPORT, ROUTER
from whence.students.regions.region import Region
from whence.students.routing.decision import Unreachable
from whence.students.routing.monitor import Monitor
from whence.students.routing.router import Router
from whence.students.routing.selective_prediction import SelectivePrediction
from whence.students.routing.state import RouterState
from whence.students.teacher.offline import OfflineTeacher
from whence.students.teacher.replies import Askable

__all__ = ["Distilled"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Distilled:
    """Students by name, the best of them, and what was measured.

    Attributes:
        students: fitted students, by name.
        chosen: name of the one that is certified: the least to read among those whose
            cross-entropy on ``select`` is within one standard error of the best.
        certificate: certificate of the chosen student, on ``certify``, opened once.
        frontier: reading cost against agreement of all students, on ``report``.
        regions: texts, in words, on which it must not be trusted; empty where there are none.
        searched: whether regions were searched for.
        answering: certainty from which the chosen student may answer alone, outside of these
            regions and within its domain.
        curve: learning curve, which says what more questions would bring; ``None`` without one.
        compact: small transformer, where one was asked for; ``compact.save(folder)`` keeps it.
        choices: other choices on ``select``.
        groups: groups of words that the teacher's answers to n-grams show; ``None`` where none
            were asked.
        split: part of each text that was asked.
        rows: rows of these among the caller's texts; all where the budget allowed.
        digests: SHA-256 of the texts of each part.
        plan: questions to the teacher, at most.
        asked: texts the teacher was asked by this run, answers from the cache not counted.
        applicability_domain: length and words of the texts that the certificate covers.
        teacher: name of the teacher.
        fingerprint: fingerprint of the teacher; ``None`` for a callable without a version.
        least_texts: texts that a word had to stand in to become a feature.
        seed: seed of everything drawn.
        reported: texts of ``report``, as the teacher read them.
    """

    students: dict[str, Fitted]
    chosen: str
    certificate: Certificate
    frontier: Frontier
    regions: tuple[Region, ...]
    searched: bool
    answering: SelectivePrediction
    curve: LearningCurve | None
    compact: FittedTransformer | None
    choices: tuple[Choice, ...]
    groups: WordGroups | None
    split: Split
    rows: tuple[int, ...]
    digests: Mapping[Part, str]
    plan: QueryPlan
    asked: int
    applicability_domain: ApplicabilityDomain
    teacher: str
    fingerprint: str | None
    least_texts: int
    seed: int
    reported: tuple[str, ...]

    @property
    def student(self) -> Fitted:
        """The chosen student."""
        return self.students[self.chosen]

    @property
    def ceiling(self) -> Proportion | None:
        """How often the teacher agrees with itself; ``None`` where it was not asked again."""
        return self.certificate.ceiling

    @property
    def labels(self) -> tuple[str, ...]:
        """The teacher's labels."""
        return self.student.labels

    def __getitem__(self, name: str) -> Fitted:
        if name not in self.students:
            raise unknown("student", name, self.students)
        return self.students[name]

    def best(self, *, reading: int) -> Fitted:
        """The student that agrees most on ``report`` among those with so much to read at most.

        It was not chosen on ``select``, and the certificate is of another student.

        Args:
            reading: words and numbers to read, at most.

        Raises:
            OptionError: no student is so short.
        """
        short = [r for r in self.frontier.rungs if not r.control and r.reading <= reading]
        if not short:
            least = min(r.reading for r in self.frontier.rungs if not r.control)
            raise OptionError(
                f"expected reading of {least} words and numbers or more, which the shortest student "
                f"has, got reading={reading}; allow more"
            )
        return self.students[max(short, key=lambda rung: rung.agreement.hits).name]

    def router(
        self,
        teacher: Askable,
        *,
        audit_rate: float = 0.02,
        unreachable: Unreachable = "abstain",
        seed: int = 0,
    ) -> Router:
        """The chosen student where it is certified, and the teacher elsewhere.

        A student that is refused, or describes tendencies only, answers nothing: it has no
        threshold, and the teacher is always asked.

        Args:
            teacher: teacher that was distilled.
            audit_rate: share of the student's answers that are put to the teacher as well.
            unreachable: answer where the teacher fails; see
                :class:`whence.students.routing.router.Router`.
            seed: seed of the audits.

        Raises:
            OptionError: another teacher than the one that was distilled.
        """
        usable = self.certificate.verdict in VERDICTS[:2]
        return Router(
            self.student,
            teacher,
            certified=self.fingerprint,
            threshold=self.answering.threshold if usable else None,
            # Without the texts that show a region: they decide nothing.
            vetoes=[replace(region, worst=()) for region in self.regions if region.veto],
            applicability_domain=self.applicability_domain,
            audit_rate=audit_rate,
            monitor=Monitor(self.answering.target, self.answering.level),
            unreachable=unreachable,
            seed=seed,
        )

    def without_texts(self) -> Distilled:
        """The same without the texts that it shows as examples.

        What is left holds words of texts as far as students decide by them. A chosen student that
        is made of texts, such as prototypes, stays.
        """
        search = self.certificate.disagreements
        shown = None if search is None else replace(search, examples=())
        students = {
            name: student
            for name, student in self.students.items()
            if name == self.chosen or not student.quotes_texts
        }
        return replace(
            self,
            students=students,
            certificate=replace(self.certificate, disagreements=shown),
            regions=tuple(replace(region, worst=()) for region in self.regions),
        )

    def save(
        self, folder: str | Path, *, date: str | None = None, show_texts: bool = False
    ) -> Artefacts:
        """Write the chosen student, its certificate, its router and a report into a folder.

        The folder is swapped whole, with a manifest of the SHA-256 of each file; see
        :func:`whence.students.export.folder.write_folder`. The audits of a router that stands
        there are kept where student and settings are the same. Beside the files of
        :func:`whence.students.export.artefacts.save_artefacts`: ``router.json``, which
        :meth:`whence.students.routing.router.Router.from_json` reads, ``report.html``, and
        ``compact``, the small transformer where there is one.

        Args:
            folder: folder, made where it is missing.
            date: date of the distillation, as ``"2026-01-31"``; today where not given.
            show_texts: whether certificate, card and report show texts as examples.

        Raises:
            WriteError: a file could not be written; what stood there still does.
        """
        place = Path(folder)
        shown = self if show_texts else self.without_texts()
        origin = self._origin(now()[:10] if date is None else date)
        write = partial(_write, shown, origin, place)
        if not place.is_dir():
            return write_folder(place, write)
        # Counts that another process adds meanwhile would be lost with the old router.
        with locked(place):
            return write_folder(place, write)

    def _origin(self, date: str) -> StudentCard:
        return StudentCard(
            name=self.chosen,
            date=date,
            teacher=self.teacher,
            fingerprint=self.fingerprint,
            parts={
                part: SplitPart(texts=len(self.split.rows(part)), sha256=self.digests[part])
                for part in PARTS
            },
            regions=tuple(region.says for region in self.regions),
            applicability_domain=DomainLimits.of(self.applicability_domain),
            near_duplicates=self.split.threshold,
            least_texts=self.least_texts,
        )

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return fragment_of(self)


def _write(result: Distilled, origin: StudentCard, old: Path, new: Path) -> Artefacts:
    """Write all files into an empty folder; a router's counts come from the old one."""
    beside = (ROUTER, REPORT, MANIFEST, *([COMPACT] if result.compact else []))
    artefacts = save_artefacts(
        result.student, new, result.certificate, origin, texts=result.reported, also=beside
    )
    state = result.router(OfflineTeacher(result.teacher, result.fingerprint, result.labels)).state
    (_counted(old, new, state) or state).save(new / ROUTER)
    page_of(result, new / REPORT)
    if result.compact is not None:
        result.compact.save(new / COMPACT)
    return Artefacts((*artefacts.written, *beside), artefacts.left_out)


def _stored(folder: Path) -> Tree | None:
    """The student of a folder in today's form; ``None`` where there is none that can be read."""
    try:
        tree = read_tree(folder)
    except RecordError:
        return None
    # The digest is of the form the student was written in, so it differs between two versions of
    # the same student.
    return {name: value for name, value in tree.items() if name != "sha256"}


def _counted(old: Path, new: Path, state: RouterState) -> RouterState | None:
    """The router of a folder, where student and settings are those of a new one."""
    # Only for the same student do earlier audits say anything.
    before = _stored(old)
    if before is None or before != _stored(new):
        return None
    try:
        stored = RouterState.load(old / ROUTER)
    except RecordError:
        return None
    # What a router has seen is replaced by the new state's, so that only settings are compared.
    seen = {"counts": state.counts, "monitor": state.monitor, "random_state": state.random_state}
    return stored if replace(stored, **seen) == state else None
