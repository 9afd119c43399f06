"""The model card of a student and where it comes from, as facts that every view shows."""

from __future__ import annotations

from whence.app.distill.wording import FAMILIES, MARKS, answering_sentence, share
from whence.app.shared.formatting import visible
from whence.students.data.split import PARTS
from whence.students.result import Distilled

__all__ = ["card", "origin"]

USES = {
    "faithful enough to replace": "In the teacher's place, on texts like those it was certified on.",
    "usable with fallback": "Where it is certain enough, with the teacher asked elsewhere.",
    "a description of tendencies only": "To read what the teacher tends to go by. Not to decide.",
    "refused": "None.",
}


def card(found: Distilled) -> list[tuple[str, str]]:
    """What the student is, what it is for, and what it must not be taken for."""
    own, cost = found.certificate, found.student.reading_cost
    rows = [
        ("Student", f"{found.chosen}: {cost.words:,} words and {cost.numbers:,} numbers to read"),
        ("Answers", ", ".join(found.labels)),
        ("Verdict", MARKS[own.verdict].word),
        ("Use", USES[own.verdict]),
        ("Answer or ask", answering_sentence(found)),
        (
            "Covered",
            f"Texts of at most {found.applicability_domain.longest:,} words, of whose words and marks at most "
            f"{share(found.applicability_domain.rarest)} were not learnt from. Beyond that the teacher is asked."
            + (
                ""
                if found.applicability_domain.cut_from is None
                else f" Texts of {found.applicability_domain.cut_from:,} characters and more the teacher read in "
                "part; it is asked of them too."
            ),
        ),
        (
            "Not covered",
            "Texts of another kind than these; another version of the teacher, which voids the "
            "certificate; whether the teacher is right.",
        ),
        (
            "No causes",
            "What the student goes by explains the student exactly, and the teacher only as far "
            "as the student follows when a text is changed (see flip-recall).",
        ),
    ]
    if found.student.kind == "prototypes":
        rows.append(("Holds", "Texts it was learnt from, word for word."))
    rows.append(
        (
            "Terms",
            "The terms of some hosted models forbid training on their answers; whether those of "
            "this teacher do is for whoever uses the student to find out.",
        )
    )
    vetoes = sum(region.veto for region in found.regions)
    if vetoes:
        rows.append(
            (
                "Ask the teacher in",
                f"{vetoes} regions listed under \u201cWhere not to trust it\u201d",
            )
        )
    return [(name, visible(text)) for name, text in rows]


def origin(found: Distilled) -> list[tuple[str, str]]:
    """Teacher, questions, texts with their digests, and what was decided on the way."""
    plan = found.plan
    rows = [
        ("Teacher", found.teacher),
        ("Fingerprint", found.fingerprint or "none: a callable without a version"),
        (
            "Questions",
            f"{found.asked:,} asked by this run, answers kept from before not counted; planned at "
            f"most {plan.total:,}: {plan.texts:,} texts, {plan.edits:,} edits, {plan.ngrams:,} "
            f"n-grams, {plan.flips:,} edits for flip-recall, {plan.again:,} asked again, "
            f"{plan.attributions:,} with evidence taken out, {plan.parting:,} in search of partings",
        ),
    ]
    rows += [
        (
            f"Part \u201c{part}\u201d",
            f"{len(found.split.rows(part)):,} texts, SHA-256 {found.digests[part]}",
        )
        for part in PARTS
    ]
    if found.certificate.flips:
        named = ", ".join(FAMILIES.get(name, name) for name in found.certificate.flips)
        rows.append(("Edits", named))
    rows += [("Decided on \u201cselect\u201d", str(choice)) for choice in found.choices]
    rows.append(("Seed", str(found.seed)))
    return [(name, visible(text)) for name, text in rows]
