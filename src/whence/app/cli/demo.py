"""``whence demo``: the example decisions, in the terminal and as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.rule import Rule

from whence.app.cli.exit_codes import failing_plainly
from whence.app.cli.inputs import check_output
from whence.app.cli.options import OverwriteOption

if TYPE_CHECKING:
    from whence.app.explanation.html import Section
    from whence.cases.case import Case
    from whence.core.explanations import Attribution

__all__ = ["demo", "demo_sections", "rank_of"]

ABOUT = {
    "health": "A triage note, and a classifier that answers routine or urgent.",
    "credit": "A credit application, and a classifier that answers approve or reject.",
    "law": "A contract clause, and a classifier that answers acceptable or unfavourable.",
}


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the page is written.")
    ] = Path("whence-demo.html"),
    overwrite: OverwriteOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write the page only.")] = False,
) -> None:
    """Explain example decisions in health, credit and law with the embedded models."""
    with failing_plainly():
        from whence.app.explanation.html import pages
        from whence.app.explanation.terminal import render
        from whence.core.files import write_atomic

        check_output(output, overwrite=overwrite)
        console = Console(quiet=quiet)
        sections = demo_sections()
        for section in sections:
            for name, explanation in section.explanations:
                console.print(Rule(f"{section.title} \u00b7 {name}", align="left"))
                render(explanation, console, top=6)
                console.print()
        write_atomic(output, pages(sections, "Whence did that decision come?").encode("utf-8"))
        console.print(f"The page is in {output}; open it in any browser.")


def demo_sections() -> list[Section]:
    """The demo's explanations, computed now, and the words that lead to them."""
    from whence.app.explanation.html import Section
    from whence.cases.showcase import showcase
    from whence.core.targets import Continuation
    from whence.models import load
    from whence.workflows.explain import explain

    sections: list[Section] = []
    cases = showcase()
    for domain, about in ABOUT.items():
        model = load(f"embedded:{domain}")
        explanations = tuple(
            (f"embedded:{domain}, case {case.seed}", explain(model, case.text))
            for case in cases[domain]
        )
        first, second = (f"{case.label} ({case.rationale})" for case in cases[domain])
        truth = f"By the rule the first is {first}, the second {second}"
        sections.append(
            Section(title=domain.capitalize(), about=f"{about} {truth}.", explanations=explanations)
        )
    sections.append(_shortcut(cases["shortcut"][0]))
    writer = load("embedded:decider")
    case = cases["law"][1]
    written = explain(writer, case.text, unit="sentence", target=Continuation(max_new_tokens=40))
    sections.append(
        Section(
            title="A model that writes",
            about="A small language model reads the second clause above and writes its decision; "
            "explained is the log-probability of what it wrote, sentence by sentence. By the rule: "
            f"{case.label} ({case.rationale}).",
            explanations=(("embedded:decider", written),),
        )
    )
    sections.append(_copied())
    return sections


def _copied() -> Section:
    from whence.app.explanation.html import Section
    from whence.core.targets import NextToken
    from whence.models import load
    from whence.workflows.explain import explain

    text = "ta mo ki be lo sa ni go da pi ta mo ki be lo sa"
    explanations = explain(
        load("embedded:copier"), text, target=NextToken(), method="leave-one-out"
    )
    return Section(
        title="A model that goes on with what it has read",
        about="It reads made-up syllables and foretells the next. The last one stands there a second "
        "time; what followed it the first time is what comes next, and these three words carry it.",
        explanations=(("embedded:copier", explanations),),
    )


def _shortcut(case: Case) -> Section:
    from whence.app.explanation.html import Section
    from whence.models import load
    from whence.workflows.explain import explain

    explanations: dict[str, Attribution] = {}
    for name in ("credit", "credit-shortcut"):
        model = load(f"embedded:{name}")
        explanations[name] = explain(model, case.text, target="reject")
    start, end = next((f.start, f.end) for f in case.facts if f.name == "postcode")
    clean, planted = (rank_of(explanations[name], start, end) for name in explanations)
    count = len(explanations["credit"].segmentation)
    about = (
        "Two models read the same application. One was trained where the postcode leaks the "
        f"answer. By the rule: {case.label} ({case.rationale}). Of {count} words, the postcode's "
        f"strongest ranks {planted} by effect in the model with the planted shortcut, and {clean} "
        "in the clean one. Both rows explain why reject."
    )
    return Section(
        title="A planted shortcut", about=about, explanations=tuple(explanations.items())
    )


def rank_of(attribution: Attribution, start: int, end: int) -> int:
    """The best rank, by absolute score, of any feature inside some characters; 1 is the top."""
    ranked = attribution.top(len(attribution.segmentation))
    places = [
        place
        for place, row in enumerate(ranked, start=1)
        if row.feature.start < end and row.feature.end > start
    ]
    return min(places)
