"""A distillation as a self-contained page, and as a fragment for a notebook.

One file, no request to anywhere, no script. Every picture has its numbers in a table beside it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from markupsafe import Markup

from whence._version import __version__
from whence.app.distill.certificate import certificate_groups
from whence.app.distill.curve_charts import CURVES, answering_picture, learning_picture
from whence.app.distill.frontier_chart import NARROW, WIDE, frontier_picture
from whence.app.distill.rows import flip_rows
from whence.app.distill.student import student_view
from whence.app.distill.summary_card import card, origin
from whence.app.distill.wording import (
    CONTROL_MEANINGS,
    MARKS,
    answering_sentence,
    bound,
    control_name,
    curve_sentence,
    decimal,
    flips_together,
    prices,
    region_lines,
    region_mark,
    share,
    verdict_sentence,
)
from whence.app.shared.colour import ramp
from whence.app.shared.formatting import number, signed, visible
from whence.app.shared.templates import environment
from whence.app.trust.html import verdict_rules
from whence.students.certificate.minimal_disagreement import DisagreementSearch
from whence.students.certificate.refit_stability import Refits
from whence.students.regions.region import Region
from whence.students.result import Distilled

__all__ = ["fragment", "page"]


@cache
def _rules() -> Markup:
    """Style rules of bars and marks, for both themes."""
    light, dark = (
        f"--pos:{ramp(0.85, theme)};--neg:{ramp(-0.85, theme)}" for theme in ("light", "dark")
    )
    own = f".wh{{{light}}}@media(prefers-color-scheme:dark){{.wh{{{dark}}}}}"
    return Markup(own) + verdict_rules()


def page(found: Distilled) -> str:
    """A self-contained page: verdict, student, frontier, certificate, and where not to trust it."""
    view = _view(found, "d")
    return (
        environment()
        .get_template("distilled.html")
        .render(d=view, rules=_rules(), record=_record(found), version=__version__)
    )


def fragment(found: Distilled) -> str:
    """Verdict, student, frontier and certificate as one element, for a notebook's output cell.

    Its ids begin with a digest, so that several fragments can share a page.
    """
    digest = hashlib.sha256(_tree(found).encode()).hexdigest()[:10]
    view = _view(found, f"d{digest}")
    return environment().get_template("distilled_fragment.html").render(d=view, rules=_rules())


def _tree(found: Distilled) -> str:
    tree = {
        "chosen": found.chosen,
        "certificate": found.certificate.to_tree(),
        "student": found.student.to_json(),
    }
    return json.dumps(tree, sort_keys=True)


def _record(found: Distilled) -> Markup:
    """The record for a script element: JSON in which no text can end the element."""
    return Markup(_tree(found).replace("<", "\\u003c"))


def _view(found: Distilled, mark: str) -> dict[str, Any]:
    own = found.certificate
    verdict = MARKS[own.verdict]
    labels = " or ".join(f"\u201c{visible(label)}\u201d" for label in found.labels)
    return {
        "mark": mark,
        "title": f"A readable student of {visible(found.teacher)}",
        "lead": f"It answers {labels}, as {visible(found.teacher)} would, as far as it can.",
        "chosen": visible(found.chosen),
        "state": verdict.state,
        "word": verdict.word,
        "says": verdict_sentence(own),
        "because": visible(own.because),
        "tiles": _tiles(found),
        "student": student_view(found.student),
        "others": [
            {"name": visible(name), **student_view(student)}
            for name, student in found.students.items()
            if name != found.chosen
        ],
        "pictures": [
            frontier_picture(found.frontier, found.chosen, sheet) for sheet in (WIDE, NARROW)
        ],
        "rungs": _rungs(found),
        "teacher_time": found.frontier.teacher_microseconds
        and number(found.frontier.teacher_microseconds),
        "prices": prices(found),
        "groups": [
            {"title": group.title, "about": group.about, "rows": group.rows}
            for group in certificate_groups(own)
        ],
        "flips": flip_rows(own.flips),
        "weights": _weights(own.refits),
        "parted": _parted(own.disagreements),
        "level": f"{100 * own.level:g}%",
        "regions": [_region(region) for region in found.regions],
        "searched": found.searched,
        "answering": _curve(
            answering_sentence(found),
            [answering_picture(found.answering, sheet) for sheet in CURVES],
        ),
        "learning": None
        if found.curve is None
        else _curve(
            curve_sentence(found.curve),
            [learning_picture(found.curve, sheet) for sheet in CURVES],
        ),
        "card": card(found),
        "origin": origin(found),
    }


def _weights(found: Refits | None) -> dict[str, Any] | None:
    """Where each weight of the student lies in its refits."""
    if found is None or not found.weights:
        return None
    return {
        "level": f"{100 * found.level:g}%",
        "draws": found.draws,
        "rows": [
            {
                "name": visible(own.feature),
                "label": visible(own.label),
                "value": signed(own.value),
                "range": f"{signed(own.lower)} to {signed(own.upper)}",
                "used": f"{own.used:.0%}",
            }
            for own in found.weights
        ],
    }


def _parted(found: DisagreementSearch | None) -> list[dict[str, str]]:
    """The smallest edits that part student and teacher."""
    if found is None:
        return []
    return [
        {
            "edited": visible(own.edited),
            "deleted": visible(", ".join(own.deleted)),
            "agreed": visible(own.agreed),
            "teacher": visible(own.teacher),
            "student": visible(own.student),
        }
        for own in found.examples
    ]


def _curve(says: str, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    return {"says": says, "pictures": pictures, "rows": pictures[0]["rows"]}


def _region(found: Region) -> dict[str, Any]:
    where, says = region_lines(found)
    return {
        "where": where,
        "says": f"{says[0].upper()}{says[1:]}.",
        "mark": region_mark(found),
        "worst": [
            {
                "text": visible(own.text),
                "teacher": visible(own.teacher),
                "teacher_chance": f"{own.teacher_chance:.2f}",
                "student": visible(own.student),
                "student_chance": f"{own.student_chance:.2f}",
            }
            for own in found.worst
        ],
    }


def _tiles(found: Distilled) -> list[dict[str, str]]:
    own, cost = found.certificate, found.student.reading_cost
    moved, followed = flips_together(own.flips)
    tiles = [
        {
            "number": share(own.agreement.value),
            "what": "of decisions are the teacher's",
            "bound": f"at least {bound(own.agreement.lower)}, n = {own.agreement.n:,}",
        },
        {
            "number": decimal(own.kappa.value),
            "what": "kappa: agreement beyond chance",
            "bound": f"{decimal(own.kappa.lower)} to {decimal(own.kappa.upper)}",
        },
    ]
    if moved:
        tiles.append(
            {
                "number": share(followed / moved),
                "what": "of changed decisions followed",
                "bound": f"flip-recall over {moved:,} edits that changed the teacher's decision",
            }
        )
    tiles.append(
        {
            "number": f"{cost.total:,}",
            "what": "words and numbers to read",
            "bound": f"{cost.words:,} words, {cost.numbers:,} numbers",
        }
    )
    return tiles


def _rungs(found: Distilled) -> list[dict[str, Any]]:
    return [
        {
            "name": control_name(rung.name) if rung.control else visible(rung.name),
            "note": CONTROL_MEANINGS.get(rung.name, "") if rung.control else "",
            "reading": "\u2013" if rung.control else f"{rung.reading:,}",
            "agreement": share(rung.agreement.value),
            "bounds": f"{bound(rung.agreement.lower)} to {bound(rung.agreement.upper, down=False)}",
            "kappa": decimal(rung.kappa.value),
            "n": f"{rung.agreement.n:,}",
            "accuracy": None if rung.accuracy is None else share(rung.accuracy.value),
            "one": "\u2013" if rung.a_text is None else f"{rung.a_text:.0f}",
            "time": "\u2013" if rung.microseconds is None else number(rung.microseconds),
            "bytes": "\u2013" if rung.bytes is None else f"{rung.bytes:,}",
            "control": rung.control,
            "chosen": rung.name == found.chosen and not rung.control,
            "best": rung.best,
        }
        for rung in found.frontier.rungs
    ]
