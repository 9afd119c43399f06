"""What every view of an edit, a rule or an interaction shows, in the reader's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np

from whence.app.shared.formatting import (
    amount_of,
    answer,
    cost_parts,
    decision_line,
    number,
    signed,
    visible,
)
from whence.core.features import Segmentation
from whence.core.other_explanations import Counterfactual, Edit, Interactions, Rule

__all__ = ["Piece", "Sheet", "sheet_of"]

TOP = 12
"""Groups that are listed; the record has every one. Chosen by hand."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text: as it is, taken out (``del``), put in (``ins``) or marked (``mark``)."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One result: its title, a sentence, the text, a table of numbers, and facts about the run."""

    title: str
    sentence: str
    pieces: tuple[Piece, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    facts: tuple[tuple[str, str], ...] = field(default=())


@singledispatch
def sheet_of(record: object) -> Sheet:
    """What is shown of a record."""
    raise TypeError(f"a {type(record).__name__} has no sheet")


@sheet_of.register
def _(record: Counterfactual) -> Sheet:
    text = record.document.text
    before, after = answer(record.decision), answer(record.edited_decision)
    if record.edits:
        changes = " and ".join(_change(text, edit) for edit in record.edits)
        sentence = f"{changes}: the model decides {after} instead of {before}."
    else:
        sentence = f"No edit was found that changes the decision {before}."
    rows = tuple(
        (visible(output.name), amount_of(float(was)), amount_of(float(now)), output.unit)
        for output, was, now in zip(
            record.outputs, record.values, record.edited_values, strict=True
        )
    )
    facts = [
        ("Before", f"{before}   {decision_line(record.decision)}"),
        ("After", f"{after}   {decision_line(record.edited_decision)}"),
    ]
    if record.edits:
        facts += _facts_of_edits(record)
    else:
        facts = facts[:1]
    return Sheet(
        title="What would change the decision",
        sentence=sentence,
        pieces=tuple(_edited(text, record.edits)),
        columns=("output", "before", "after", "unit"),
        rows=rows,
        facts=_visible([*facts, *_run(record)]),
    )


def _facts_of_edits(record: Counterfactual) -> list[tuple[str, str]]:
    minimal = {
        True: "no proper subset of the edits changes the decision; all were asked",
        False: "a smaller subset changes it too",
        None: "not every subset was asked",
    }[record.minimal]
    facts = [
        (
            "Size",
            f"{len(record.edits)} edit(s), {record.words} word(s), {record.characters} characters",
        ),
        ("Minimal", minimal),
    ]
    edge = record.boundary
    if edge is not None:
        facts.append(
            (
                "Boundary",
                f"at {edge.held:,.12g} the decision holds, at {edge.flipped:,.12g} it has changed "
                f"(the text has {edge.original:,.12g}); both were asked",
            )
        )
    plausible = "unknown: no language model was given, or it cannot read the text"
    if record.plausibility is not None and record.original_plausibility is not None:
        plausible = (
            f"{amount_of(record.plausibility)} nat for each token; the original has "
            f"{amount_of(record.original_plausibility)}"
        )
    return [*facts, ("Plausibility", plausible)]


def _change(text: str, edit: Edit) -> str:
    old = _quoted(text[edit.start : edit.end].strip())
    if not edit.text:
        return f"Without {old}"
    return f"With {_quoted(edit.text)} in place of {old}"


def _quoted(text: str) -> str:
    return f"\u201c{visible(text)}\u201d"


def _edited(text: str, edits: Sequence[Edit]) -> list[Piece]:
    pieces: list[Piece] = []
    position = 0
    for edit in edits:
        pieces += [Piece(visible(text[position : edit.start]))]
        pieces += [Piece(visible(text[edit.start : edit.end]), "del")]
        pieces += [Piece(visible(edit.text), "ins")]
        position = edit.end
    pieces.append(Piece(visible(text[position:])))
    return [piece for piece in pieces if piece.text]


@sheet_of.register
def _(record: Rule) -> Sheet:
    names = " and ".join(_quoted(text) for text in record.texts) or "no word at all"
    said = answer(record.decision)
    facts: list[tuple[str, str]] = [("Decision", f"{said}   {decision_line(record.decision)}")]
    if record.rule == "anchor":
        title, sentence = "What fixes the decision", _anchored(record, names, said)
        facts += _facts_of_anchor(record)
    else:
        sufficient = record.rule == "sufficient subset"
        title = "What suffices for the decision" if sufficient else "What the decision needs"
        sentence = (
            f"With {names} alone, all else absent, the model still decides {said}."
            if sufficient
            else f"Without {names} the model no longer decides {said}."
        )
        if (not record.features and record.outcome != "degenerate") or not (
            record.features or sufficient
        ):
            sentence = f"No such set of words was found for the decision {said}."
        if record.features:
            shown = record.minimal is True
            facts.append(
                ("Minimal", "no proper subset does the same; all were asked" if shown else
                 "not every subset was asked")
            )  # fmt: skip
    rows = () if record.values is None else tuple(
        (visible(output.name), amount_of(float(value)), output.unit)
        for output, value in zip(record.outputs, record.values, strict=True)
    )  # fmt: skip
    return Sheet(
        title=title,
        sentence=sentence,
        pieces=tuple(_marked(record.segmentation, record.features)),
        columns=("output", "value", "unit") if rows else (),
        rows=rows,
        facts=_visible([*facts, *_run(record)]),
    )


def _anchored(record: Rule, names: str, said: str) -> str:
    share = 0.0 if record.precision is None else record.precision
    kept = f"{_percent(share)} of {record.n:,} texts drawn anew"
    if not record.features:
        return f"With {names} fixed, {kept} have the decision {said}."
    return f"With {names} kept and the rest taken out at random, {kept} have the decision {said}."


def _facts_of_anchor(record: Rule) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    interval = record.precision_interval
    if interval is not None and record.precision is not None:
        facts.append(
            (
                "Precision",
                f"{number(record.precision)}; {number(interval.low)} or more with 95 % confidence "
                f"({interval.how}); {record.threshold:g} was asked for",
            )
        )
    if record.coverage is not None:
        between = record.coverage_interval
        limits = "" if between is None else f" ({number(between.low)} to {number(between.high)})"
        facts.append(("Coverage", f"{number(record.coverage)}{limits}"))
    return facts


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _marked(segmentation: Segmentation, features: Sequence[int]) -> list[Piece]:
    text = segmentation.document.text
    pieces: list[Piece] = []
    position = 0
    for index in features:
        feature = segmentation.features[index]
        pieces.append(Piece(visible(text[position : feature.start])))
        pieces.append(Piece(visible(feature.text), "mark"))
        position = feature.end
    pieces.append(Piece(visible(text[position:])))
    return [piece for piece in pieces if piece.text]


@sheet_of.register
def _(record: Interactions) -> Sheet:
    output = record.outputs[0]
    best = record.top(TOP)
    column = record.scores[:, 0]
    place = {group: row for row, group in enumerate(record.groups)}
    features = record.segmentation.features
    errors = record.std_errors
    if best and best[0][1] != 0:
        group, score = best[0]
        names = " and ".join(_quoted(features[i].text) for i in group)
        verb = "raise" if score > 0 else "lower"
        sentence = (
            f"Together {names} {verb} the output \u201c{visible(output.name)}\u201d by "
            f"{number(abs(score))} {output.unit} {'more' if score > 0 else 'below what they do'} "
            f"{'than apart' if score > 0 else 'apart'}."
        )
    else:
        group, sentence = (), "No group of words adds anything beyond its members."
    rows: list[tuple[str, ...]] = []
    singles = sorted(
        (g for g in record.groups if len(g) == 1), key=lambda g: -abs(column[place[g]])
    )
    for each in [*(g for g, _ in best), *singles[:TOP]]:
        row = place[each]
        error = "" if errors is None else number(float(errors[row, 0]))
        names = " + ".join(visible(features[i].text) for i in each)
        rows.append((names, str(len(each)), signed(float(column[row])), error))
    total = float(np.sum(column))
    facts = [
        ("Scores", f"{record.quantity} of order {record.order}, in {output.unit}"),
        (
            "Sum",
            f"{signed(total)} {output.unit} over {len(record.groups):,} groups: the difference between "
            f"{amount_of(float(record.values[0]))} and {amount_of(float(record.base_values[0]))}",
        ),
    ]
    return Sheet(
        title="What words do together",
        sentence=sentence,
        pieces=tuple(_marked(record.segmentation, group)),
        columns=("group", "size", "score", "standard error"),
        rows=tuple(rows),
        facts=_visible([*facts, *_run(record)]),
    )


_OUTCOMES = {
    "converged": "done",
    "budget_exhausted": "stopped at the budget",
    "not_converged": "short of what was asked",
    "degenerate": "nothing to tell apart",
}


def _run(record: Counterfactual | Rule | Interactions) -> list[tuple[str, str]]:
    origin = record.provenance
    cost = ", ".join((*cost_parts(origin.cost), f"{origin.cost.seconds:.2f} s"))
    return [
        ("Method", str(origin.method)),
        ("Outcome", "; ".join((_OUTCOMES[record.outcome], *record.advice))),
        ("Cost", cost),
        ("Model", f"{origin.model.ref} ({origin.model.architecture})"),
        ("Seed", str(origin.seed)),
        *(("Note", note) for note in record.notes),
    ]


def _visible(facts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, visible(text)) for name, text in facts)
