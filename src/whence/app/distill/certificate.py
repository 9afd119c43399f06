"""The numbers of a certificate in groups, each with what its bounds mean."""

from __future__ import annotations

import math
from dataclasses import replace

from whence.app.distill.rows import Group, Row, between, place_of, shared
from whence.app.distill.wording import (
    CONTROL_MEANINGS,
    bound,
    control_name,
    decimal,
    points,
    share,
)
from whence.app.shared.formatting import visible
from whence.students.certificate.attribution_agreement import AttributionAgreement
from whence.students.certificate.certificate import Certificate
from whence.students.certificate.distribution_shift import Elsewhere, Shift
from whence.students.certificate.minimal_disagreement import DisagreementSearch
from whence.students.certificate.refit_stability import Refits
from whence.students.data.split import FEWEST

__all__ = ["certificate_groups"]


def certificate_groups(certificate: Certificate) -> list[Group]:
    """All numbers of a certificate but the flips, in groups."""
    level = f"{100 * certificate.level:g} %"
    sided = f"Each bound of a share is one-sided at {level}"
    groups = [
        Group(
            title="Agreement with the teacher.",
            about=f"{sided}; intervals are two-sided at {level}, over texts; of kappa, "
            "macro-F1 and Brier they count one imagined text more that speaks against each end.",
            rows=tuple(_with_teacher(certificate)),
        ),
        Group(
            title="Compared with controls that know less.",
            about="A student must agree more often than each of these; otherwise the task alone "
            "explains its agreement. p: how often a student no better would be this far ahead.",
            rows=tuple(
                Row(
                    name=control_name(name),
                    value=share(lift.control.value),
                    bound=f"student {points(lift.above.value)} points "
                    f"({points(lift.above.lower)} to {points(lift.above.upper)}), "
                    f"p = {_chance(lift.chance)}",
                    n=f"{lift.control.n:,}",
                    part="certify",
                    note=CONTROL_MEANINGS.get(name, ""),
                    place=place_of(lift.control),
                )
                for name, lift in certificate.lifts.items()
            ),
        ),
    ]
    joint = {**certificate.classes, **certificate.slices}
    if joint:
        joint_level = next((p.level for p in joint.values() if p is not None), certificate.level)
        groups.append(
            Group(
                title="By answer and by kind of text.",
                about=f"Each bound is one-sided at {100 * joint_level:.2f} %, so that all of them hold at once at "
                f"{level}. A share of fewer than {FEWEST} texts is not given.",
                rows=tuple(shared(name, p, "certify") for name, p in joint.items()),
            )
        )
    if certificate.on_mistakes is not None or certificate.on_hits is not None:
        groups.append(
            Group(
                title="Where the teacher is wrong, and where it is right.",
                about=f"By the true labels given. {sided}.",
                rows=(
                    shared("teacher is wrong", certificate.on_mistakes, "certify"),
                    shared("teacher is right", certificate.on_hits, "certify"),
                ),
            )
        )
    further = (
        _refits(certificate.refits),
        _attributions(certificate.attributions),
        _shift(certificate.shift),
        _parting(certificate.disagreements),
    )
    return groups + [group for group in further if group is not None]


def _refits(refits: Refits | None) -> Group | None:
    if refits is None:
        return None
    about = (
        f"The student was fitted again on {refits.draws} resampled sets of texts, and these refits "
        "were compared in pairs."
    )
    rows = [
        between("refits agree", refits.agreement, "share of decisions that two refits share"),
        _plain("same features", share(refits.features), "overlap of what two refits use (Jaccard)"),
        _plain(
            "same groups",
            share(refits.groups),
            "the same, with words that occur together counted as one",
        ),
    ]
    if refits.sign_flips is not None:
        note = "share of features that speak for one answer in one refit and against it in another"
        rows.append(_plain("changed signs", share(refits.sign_flips), note))
    return Group(
        title="Is it the same student when fitted on other texts?", about=about, rows=tuple(rows)
    )


def _attributions(agreement: AttributionAgreement | None) -> Group | None:
    if agreement is None or agreement.correlation.n == 0:
        return None
    about = (
        "The words that the student names in a text, compared with what deleting them does to the "
        f"teacher's answer, over {agreement.pieces:,} deletions. Random words would give a correlation "
        f"of 0 and an overlap of {decimal(agreement.overlap_at_random)}."
    )
    rows = (
        between(
            "rank correlation",
            agreement.correlation,
            f"permutation p = {_chance(agreement.chance)}",
        ),
        between(
            f"overlap of the top {agreement.top}",
            agreement.overlap,
            f"permutation p = {_chance(agreement.chance_of_overlap)}",
        ),
    )
    return Group(title="Does it decide by what moves the teacher?", about=about, rows=rows)


def _shift(shift: Shift | None) -> Group | None:
    if shift is None:
        return None
    about = (
        f"Bounds of all topics hold at once at {100 * shift.level:g} %, and so do those of all corpora. "
        f"Worst: {visible(shift.worst or 'not measured')}."
    )
    rows = [
        _elsewhere(f"topic {visible(name)}", topic, "left out of the fit")
        for name, topic in shift.topics.items()
    ]
    if shift.one_topic:
        note = "the texts could not be divided into topics"
        rows.append(replace(_plain("topics", "not measured", note), part="left out of the fit"))
    if shift.at_random is not None:
        note = "as many texts drawn at random; a topic below this is hard because it was left out"
        rows.append(shared("random parts", shift.at_random, "left out of the fit", note))
    rows += [
        _elsewhere(f"corpus {visible(name)}", corpus, "another corpus")
        for name, corpus in shift.corpora.items()
    ]
    return Group(title="On texts of other kinds.", about=about, rows=tuple(rows))


def _elsewhere(name: str, corpus: Elsewhere, part: str) -> Row:
    note = f"kappa {decimal(corpus.kappa)}; most frequent answer {share(corpus.majority)}"
    if corpus.known:
        note += f"; {corpus.known:,} texts left out because the student learnt from them"
    return shared(name, corpus.agreement, part, note)


def _parting(disagreement: DisagreementSearch | None) -> Group | None:
    if disagreement is None:
        return None
    about = (
        "Words were deleted one by one until student and teacher gave different answers, with at "
        f"most {disagreement.budget} questions to the teacher for each text."
    )
    changes = (
        f"the teacher alone changed its answer in {disagreement.teacher_left}, the student alone in "
        f"{disagreement.student_left}"
    )
    words = (
        f"median: {disagreement.deleted:g} of {disagreement.length:g} words deleted; {changes}"
        if disagreement.examples
        else "no such deletion was found"
    )
    row = shared(
        "texts where a deletion makes them disagree", disagreement.found, "certify, edited", words
    )
    if disagreement.found.n:
        # Here the less the better, so the bound that counts is the upper one.
        row = replace(row, bound=f"at most {bound(disagreement.found.upper, down=False)}")
    return Group(title="How few deleted words make them disagree?", about=about, rows=(row,))


def _plain(name: str, value: str, note: str) -> Row:
    return Row(name=name, value=value, bound="\u2013", n="\u2013", part="fit, resampled", note=note)


def _with_teacher(certificate: Certificate) -> list[Row]:
    rows = [
        shared(
            "agreement",
            certificate.agreement,
            "certify",
            "share of texts with the teacher's answer",
        ),
        between("kappa", certificate.kappa, _of_kappa(certificate)),
        between(
            "macro-F1",
            certificate.macro_f1,
            "mean over answers; rare answers count as much as frequent ones",
        ),
    ]
    if certificate.kl is not None:
        about = "mean divergence from the teacher's probabilities, in nats"
        rows.append(between("KL", certificate.kl, about))
    if certificate.brier is not None:
        about = (
            "mean squared distance from the teacher's probabilities, from 0 to 2; lower is better"
        )
        rows.append(between("Brier", certificate.brier, about))
    rows.append(
        Row(
            name="calibration to the teacher",
            value=decimal(certificate.calibration_to_teacher),
            bound="\u2013",
            n=f"{certificate.agreement.n:,}",
            part="certify",
            note="mean gap between the student's certainty and how often it agrees",
        )
    )
    if certificate.calibration_gap is not None:
        about = "student's calibration error less the teacher's, both by the true labels"
        rows.append(between("calibration gap", certificate.calibration_gap, about))
    if certificate.ceiling is not None:
        about = "the teacher asked the same text twice: no student can do better"
        rows.append(shared("teacher with itself", certificate.ceiling, "fit, asked again", about))
    return rows


def _of_kappa(certificate: Certificate) -> str:
    if math.isnan(certificate.kappa.value):
        return "undefined, without an interval: both gave one and the same answer to every text"
    return "agreement beyond chance: 0 is chance, 1 is perfect"


def _chance(value: float) -> str:
    return "under 0.001" if value < 0.001 else f"{value:.3f}"
