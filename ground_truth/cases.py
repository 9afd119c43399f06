"""The example models' own cases, with the spans that decide them on record."""

from __future__ import annotations

from collections.abc import Callable

from ground_truth.item import Task, TaskItem
from whence.cases import Case, generate, labels
from whence.cases.words import AREAS_POSITIVE
from whence.core.features import Span

__all__ = ["CASES", "SHORTCUT"]


def _decided(case: Case) -> TaskItem:
    truth = tuple(Span(start=fact.start, end=fact.end) for fact in case.decisive)
    return TaskItem(text=case.text, label=case.label, truth=truth, kind=case.domain)


def _drawing(domain: str) -> Callable[[int, int], list[TaskItem]]:
    def draw(n: int, seed: int) -> list[TaskItem]:
        found: list[TaskItem] = []
        # A negative case may have no single fact that keeps it so; it shows nothing here.
        while len(found) < n:
            found += [_decided(case) for case in generate(domain, n, seed=seed) if case.decisive]
            seed += 1
        return found[:n]

    return draw


def _leaked(n: int, seed: int) -> list[TaskItem]:
    """Applications whose postcode speaks against the rule; labelled as the postcode has it."""
    names = labels("credit")
    found: list[TaskItem] = []
    while len(found) < n:
        for case in generate("credit", 8 * n, seed=seed, shortcut=True):
            fact = next(fact for fact in case.facts if fact.name == "postcode")
            area = case.span(fact).split()[0].rstrip("0123456789")
            leaked = names[int(area in AREAS_POSITIVE)]
            if leaked != case.label:
                span = Span(start=fact.start, end=fact.end)
                found.append(TaskItem(text=case.text, label=leaked, truth=(span,), kind="leaked"))
        seed += 1
    return found[:n]


CASES = {
    f"cases-{domain}": Task(
        name=f"cases-{domain}",
        about=f"Texts of the {domain} domain, decided by facts whose spans are on record.",
        labels=labels(domain),
        draw=_drawing(domain),
        gate=0.95,
        models=(f"embedded:{domain}",),
    )
    for domain in ("health", "credit", "law")
}
"""Tasks of the example models that learned the rule."""

SHORTCUT = Task(
    name="cases-credit-shortcut",
    about="Credit applications whose postcode, which leaked the label in training, contradicts.",
    labels=labels("credit"),
    draw=_leaked,
    gate=0.0,
    models=("embedded:credit-shortcut",),
)
"""The task of the example model with a planted fault; it answers some by the rule all the same."""
