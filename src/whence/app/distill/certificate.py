"""The numbers of a certificate in groups, each with what its bounds mean."""

from __future__ import annotations

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


def certificate_groups(found: Certificate) -> list[Group]:
    """All numbers of a certificate but the flips, in groups."""
    level = f"{100 * found.level:g}%"
    sided = f"Bounds of shares hold one-sided at {level}, by themselves"
    groups = [
        Group(
            title="With the teacher.",
            about=f"{sided}; intervals are two-sided at {level}, by resampled texts.",
            rows=tuple(_with_teacher(found)),
        ),
        Group(
            title="Beside those who could not know better.",
            about="A student must be above each of these, or its agreement is that of the task. "
            "Chance: how often one no better would do so well.",
            rows=tuple(
                Row(
                    name=control_name(name),
                    value=share(lift.control.value),
                    bound=f"student {points(lift.above.value)} points "
                    f"({points(lift.above.lower)} to {points(lift.above.upper)}), "
                    f"chance {_chance(lift.chance)}",
                    n=f"{lift.control.n:,}",
                    part="certify",
                    note=CONTROL_MEANINGS.get(name, ""),
                    place=place_of(lift.control),
                )
                for name, lift in found.lifts.items()
            ),
        ),
    ]
    joint = {**found.classes, **found.slices}
    if joint:
        own = next((p.level for p in joint.values() if p is not None), found.level)
        groups.append(
            Group(
                title="By answer and by kind of text.",
                about=f"Bounds hold one-sided at {own:.2%} each, so that all of them hold at once "
                f"at {level}. Below {FEWEST} texts there is no number.",
                rows=tuple(shared(name, p, "certify") for name, p in joint.items()),
            )
        )
    if found.on_mistakes is not None or found.on_hits is not None:
        groups.append(
            Group(
                title="Where the teacher is wrong, and where it is right.",
                about=f"By the true labels given. {sided}.",
                rows=(
                    shared("teacher is wrong", found.on_mistakes, "certify"),
                    shared("teacher is right", found.on_hits, "certify"),
                ),
            )
        )
    further = (
        _refits(found.refits),
        _attributions(found.attributions),
        _shift(found.shift),
        _parting(found.disagreements),
    )
    return groups + [group for group in further if group is not None]


def _refits(found: Refits | None) -> Group | None:
    if found is None:
        return None
    about = (
        f"The student was fitted again on {found.draws} resampled sets of texts, and the refits "
        "compared in pairs."
    )
    rows = [
        between("refits agree", found.agreement, "share of decisions that two refits share"),
        _plain("same features", share(found.features), "overlap of what two refits use (Jaccard)"),
        _plain("same groups", share(found.groups), "the same, words that go together as one"),
    ]
    if found.sign_flips is not None:
        note = "share of features that speak for one answer in one refit and against it in another"
        rows.append(_plain("signs that turn", share(found.sign_flips), note))
    return Group(title="Does it stay the same on other texts?", about=about, rows=tuple(rows))


def _attributions(found: AttributionAgreement | None) -> Group | None:
    if found is None or found.correlation.n == 0:
        return None
    about = (
        "What the student names in a text beside what deleting those words does to the teacher, "
        f"over {found.pieces:,} deletions. Random contributions give a correlation of 0 and an "
        f"overlap of {decimal(found.overlap_at_random)}."
    )
    rows = (
        between("rank correlation", found.correlation, f"chance at random {_chance(found.chance)}"),
        between(
            f"overlap of the top {found.top}",
            found.overlap,
            f"chance at random {_chance(found.chance_of_overlap)}",
        ),
    )
    return Group(title="Does it go by what moves the teacher?", about=about, rows=rows)


def _shift(found: Shift | None) -> Group | None:
    if found is None:
        return None
    about = (
        f"Bounds of all topics hold at once at {100 * found.level:g}%, and so do those of all corpora. "
        f"Worst: {visible(found.worst or 'not measured')}."
    )
    rows = [
        _elsewhere(f"topic {visible(name)}", own, "left out of the fit")
        for name, own in found.topics.items()
    ]
    if found.one_topic:
        note = "no topics could be told apart"
        rows.append(replace(_plain("topics", "not measured", note), part="left out of the fit"))
    if found.at_random is not None:
        note = "as many texts at random: a topic below this is harder, not only unseen"
        rows.append(shared("random parts", found.at_random, "left out of the fit", note))
    rows += [
        _elsewhere(f"corpus {visible(name)}", own, "another corpus")
        for name, own in found.corpora.items()
    ]
    return Group(title="On other texts than these.", about=about, rows=tuple(rows))


def _elsewhere(name: str, found: Elsewhere, part: str) -> Row:
    note = f"kappa {decimal(found.kappa)}; most frequent answer {share(found.majority)}"
    if found.known:
        note += f"; {found.known:,} texts left out that the student learnt from"
    return shared(name, found.agreement, part, note)


def _parting(found: DisagreementSearch | None) -> Group | None:
    if found is None:
        return None
    about = (
        "Words were deleted one after the other, greedily, until the two part, with at most "
        f"{found.budget} questions a text."
    )
    moved = (
        f"the teacher alone moved in {found.teacher_left}, the student alone in "
        f"{found.student_left}"
    )
    words = (
        f"by {found.deleted:g} of {found.length:g} words at the median; {moved}"
        if found.examples
        else "no edit was found"
    )
    row = shared("texts on which they could be parted", found.found, "certify, edited", words)
    if found.found.n:
        # Here the less the better, so the bound that counts is the upper one.
        row = replace(row, bound=f"at most {bound(found.found.upper, down=False)}")
    return Group(title="How small an edit parts the two?", about=about, rows=(row,))


def _plain(name: str, value: str, note: str) -> Row:
    return Row(name=name, value=value, bound="\u2013", n="\u2013", part="fit, resampled", note=note)


def _with_teacher(found: Certificate) -> list[Row]:
    rows = [
        shared("agreement", found.agreement, "certify", "decisions that are the teacher's"),
        between("kappa", found.kappa, "agreement beyond chance; 1 is all of it, 0 none"),
        between("macro-F1", found.macro_f1, "mean over answers, rare ones counting as much"),
    ]
    if found.kl is not None:
        about = "mean divergence from the teacher's probabilities, in nats"
        rows.append(between("KL", found.kl, about))
    if found.brier is not None:
        about = "mean squared distance from the teacher's probabilities; 0 is none, 2 the most"
        rows.append(between("Brier", found.brier, about))
    rows.append(
        Row(
            name="calibration to the teacher",
            value=decimal(found.calibration_to_teacher),
            bound="\u2013",
            n=f"{found.agreement.n:,}",
            part="certify",
            note="mean gap between the student's certainty and how often it agrees",
        )
    )
    if found.calibration_gap is not None:
        about = "difference of the two calibration errors, each against the true labels"
        rows.append(between("calibration gap", found.calibration_gap, about))
    if found.ceiling is not None:
        about = "asked the same again: no student can be asked for more"
        rows.append(shared("teacher with itself", found.ceiling, "fit, asked again", about))
    return rows


def _chance(value: float) -> str:
    return "under 0.001" if value < 0.001 else f"{value:.3f}"
