"""The model card of a student and where it comes from, as facts that every view shows."""

from __future__ import annotations

from whence.app.distill.wording import FAMILIES, MARKS, answering_sentence, share
from whence.app.shared.formatting import visible
from whence.students.data.split import PARTS
from whence.students.result import Distilled

__all__ = ["card", "origin"]

USES = {
    "faithful enough to replace": "To answer in the teacher's place, on texts like those it was certified on.",
    "usable with fallback": "To answer where it is certain enough; the teacher is asked elsewhere.",
    "a description of tendencies only": "To read what the teacher tends to decide by. Not to decide.",
    "refused": "None.",
}


def card(result: Distilled) -> list[tuple[str, str]]:
    """What the student is, what it is for, and what it must not be taken for."""
    certificate, cost = result.certificate, result.student.reading_cost
    rows = [
        ("Student", f"{result.chosen}: {cost.words:,} words and {cost.numbers:,} numbers to read"),
        ("Answers", ", ".join(result.labels)),
        ("Verdict", MARKS[certificate.verdict].word),
        ("Use", USES[certificate.verdict]),
        ("Answer or ask", answering_sentence(result)),
        (
            "Covered",
            f"Texts of at most {result.applicability_domain.longest:,} words, of which at most "
            f"{share(result.applicability_domain.rarest)} never occurred in training. Other texts go to the teacher."
            + (
                ""
                if result.applicability_domain.cut_from is None
                else f" So do texts of {result.applicability_domain.cut_from:,} characters and more, of which the "
                "teacher read only the beginning."
            ),
        ),
        (
            "Not covered",
            "Texts of another kind; another version of the teacher, which needs a new certificate; "
            "whether the teacher is right.",
        ),
        (
            "No causes",
            "The student's reasons explain the student exactly. They explain the teacher only as far "
            "as the student's answer changes with the teacher's when a text is changed (flip-recall).",
        ),
    ]
    if result.student.quotes_texts:
        rows.append(("Holds", "Training texts, word for word."))
    rows.append(
        (
            "Terms",
            "The terms of some hosted models forbid training on their answers. Check those of this "
            "teacher before you use the student.",
        )
    )
    vetoes = sum(region.veto for region in result.regions)
    if vetoes:
        rows.append(
            (
                "Ask the teacher in",
                f"{vetoes} regions listed under \u201cWhere not to trust it\u201d",
            )
        )
    return [(name, visible(text)) for name, text in rows]


def origin(result: Distilled) -> list[tuple[str, str]]:
    """Teacher, questions, texts with their digests, and what was decided on the way."""
    plan = result.plan
    rows = [
        ("Teacher", result.teacher),
        ("Fingerprint", result.fingerprint or "none: a callable without a version"),
        (
            "Questions",
            f"{result.asked:,} in this run, stored answers not counted; planned at most "
            f"{plan.total:,}: {plan.texts:,} texts, {plan.edits:,} edits, {plan.ngrams:,} n-grams, "
            f"{plan.flips:,} edits for flip-recall, {plan.again:,} asked twice, "
            f"{plan.attributions:,} with evidence deleted, {plan.parting:,} in the search for "
            "deletions that make them disagree",
        ),
    ]
    rows += [
        (
            f"Part \u201c{part}\u201d",
            f"{len(result.split.rows(part)):,} texts, SHA-256 {result.digests[part]}",
        )
        for part in PARTS
    ]
    if result.certificate.flips:
        families = ", ".join(FAMILIES.get(name, name) for name in result.certificate.flips)
        rows.append(("Edits", families))
    rows += [("Decided on \u201cselect\u201d", str(choice)) for choice in result.choices]
    rows.append(("Seed", str(result.seed)))
    return [(name, visible(text)) for name, text in rows]
