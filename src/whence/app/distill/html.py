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
    two_measurements,
    verdict_sentence,
)
from whence.app.shared.colour import THEMES, ramp, themed
from whence.app.shared.formatting import number, signed, visible
from whence.app.shared.templates import environment, script_json
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
        f".wh{{--pos:{ramp(0.85, theme)};--neg:{ramp(-0.85, theme)}}}" for theme in THEMES
    )
    return Markup(themed(light, dark)) + verdict_rules()


def page(result: Distilled) -> str:
    """A self-contained page: verdict, student, frontier, certificate, and where not to trust it."""
    view = _view(result, "d")
    return (
        environment()
        .get_template("distilled.html")
        .render(d=view, rules=_rules(), record=script_json(_tree(result)), version=__version__)
    )


def fragment(result: Distilled) -> str:
    """Verdict, student, frontier and certificate as one element, for a notebook's output cell.

    Its ids begin with a digest, so that several fragments can share a page.
    """
    digest = hashlib.sha256(_tree(result).encode()).hexdigest()[:10]
    view = _view(result, f"d{digest}")
    return environment().get_template("distilled_fragment.html").render(d=view, rules=_rules())


def _tree(result: Distilled) -> str:
    tree = {
        "chosen": result.chosen,
        "certificate": result.certificate.to_tree(),
        "student": result.student.to_json(),
    }
    # Sorted, so that equal content has one digest, by which the ids of a fragment begin.
    return json.dumps(tree, sort_keys=True)


def _view(result: Distilled, mark: str) -> dict[str, Any]:
    certificate = result.certificate
    verdict = MARKS[certificate.verdict]
    labels = " or ".join(f"\u201c{visible(label)}\u201d" for label in result.labels)
    return {
        "mark": mark,
        "title": f"A readable student of {visible(result.teacher)}",
        "lead": f"It answers {labels}, imitating {visible(result.teacher)}.",
        "chosen": visible(result.chosen),
        "state": verdict.state,
        "word": verdict.word,
        "says": verdict_sentence(certificate),
        "because": visible(certificate.because),
        "tiles": _tiles(result),
        "student": student_view(result.student),
        "others": [
            {"name": visible(name), **student_view(student)}
            for name, student in result.students.items()
            if name != result.chosen
        ],
        "pictures": [
            frontier_picture(result.frontier, result.chosen, sheet) for sheet in (WIDE, NARROW)
        ],
        "rungs": _rungs(result),
        "teacher_time": result.frontier.teacher_microseconds
        and number(result.frontier.teacher_microseconds),
        "prices": prices(result),
        "measured_twice": two_measurements(result),
        "groups": [
            {"title": group.title, "about": group.about, "rows": group.rows}
            for group in certificate_groups(certificate)
        ],
        "flips": flip_rows(certificate.flips),
        "weights": _weights(certificate.refits),
        "parted": _parted(certificate.disagreements),
        "level": f"{100 * certificate.level:g} %",
        "regions": [_region(region) for region in result.regions],
        "searched": result.searched,
        "answering": _curve(
            answering_sentence(result),
            [answering_picture(result.answering, sheet) for sheet in CURVES],
        ),
        "learning": None
        if result.curve is None
        else _curve(
            curve_sentence(result.curve),
            [learning_picture(result.curve, sheet) for sheet in CURVES],
        ),
        "card": card(result),
        "origin": origin(result),
    }


def _weights(refits: Refits | None) -> dict[str, Any] | None:
    """Where each weight of the student lies in its refits."""
    if refits is None or not refits.weights:
        return None
    return {
        "level": f"{100 * refits.level:g} %",
        "draws": refits.draws,
        "rows": [
            {
                "name": visible(weight.feature),
                "label": visible(weight.label),
                "value": signed(weight.value),
                "range": f"{signed(weight.lower)} to {signed(weight.upper)}",
                "used": f"{100 * weight.used:.0f} %",
            }
            for weight in refits.weights
        ],
    }


def _parted(disagreement: DisagreementSearch | None) -> list[dict[str, str]]:
    """The smallest edits that part student and teacher."""
    if disagreement is None:
        return []
    return [
        {
            "edited": visible(example.edited),
            "deleted": visible(", ".join(example.deleted)),
            "agreed": visible(example.agreed),
            "teacher": visible(example.teacher),
            "student": visible(example.student),
        }
        for example in disagreement.examples
    ]


def _curve(says: str, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    return {"says": says, "pictures": pictures, "rows": pictures[0]["rows"]}


def _region(region: Region) -> dict[str, Any]:
    where, says = region_lines(region)
    return {
        "where": where,
        "says": f"{says[0].upper()}{says[1:]}.",
        "mark": region_mark(region),
        "worst": [
            {
                "text": visible(text.text),
                "teacher": visible(text.teacher),
                "teacher_chance": f"{text.teacher_chance:.2f}",
                "student": visible(text.student),
                "student_chance": f"{text.student_chance:.2f}",
            }
            for text in region.worst
        ],
    }


def _tiles(result: Distilled) -> list[dict[str, str]]:
    certificate, cost = result.certificate, result.student.reading_cost
    changed, followed = flips_together(certificate.flips)
    tiles = [
        {
            "number": share(certificate.agreement.value),
            "what": "of texts get the teacher's answer",
            "bound": f"at least {bound(certificate.agreement.lower)}; on the {certificate.agreement.n:,} texts of the certificate",
        },
        {
            "number": decimal(certificate.kappa.value),
            "what": "kappa: agreement beyond chance",
            "bound": f"{decimal(certificate.kappa.lower)} to {decimal(certificate.kappa.upper)}",
        },
    ]
    if changed:
        tiles.append(
            {
                "number": share(followed / changed),
                "what": "of the teacher's changes followed",
                "bound": f"flip-recall: of {changed:,} edits that changed the teacher's answer",
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


def _rungs(result: Distilled) -> list[dict[str, Any]]:
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
            "chosen": rung.name == result.chosen and not rung.control,
            "best": rung.best,
        }
        for rung in result.frontier.rungs
    ]
