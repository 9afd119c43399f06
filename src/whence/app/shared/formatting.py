"""Numbers, units and facts about a run, written alike in every view."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from whence.core.explanations import Attribution, Decision
from whence.core.provenance import Cost

__all__ = [
    "amount",
    "amount_of",
    "answer",
    "completeness_line",
    "cost_line",
    "cost_parts",
    "decision_line",
    "facts",
    "layer_names",
    "number",
    "reliable",
    "score_unit",
    "signed",
    "visible",
]

LINKS = {
    "logit": "logit",
    "log_probability": "log-probability",
    "probability": "probability",
    "log_odds": "log-odds",
    "cosine": "cosine similarity",
    "score": "score",
}
OUTCOMES = {
    "converged": "converged",
    "budget_exhausted": "stopped at the budget",
    "not_converged": "did not converge",
    "degenerate": "all scores are zero",
}


def number(value: float) -> str:
    """Three significant digits, plainly written.

    Example:
        >>> number(0.012345), number(12345.6), number(float("nan"))
        ('0.0123', '12,346', 'undefined')
    """
    if math.isnan(value):
        return "undefined"
    if value == 0 or not math.isfinite(value):
        # Minus zero, which sums of differences can give, is zero to a reader.
        return f"{value:g}".replace("-0", "0")
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.2e}"
    # #: keeps the zeros at the end (2.00), which say how exactly the number is known.
    return f"{value:#.3g}".rstrip(".")


def signed(value: float) -> str:
    """A number with its sign, a true minus among them.

    Example:
        >>> signed(-0.5), signed(2.0)
        ('−0.500', '+2.00')
    """
    if value == 0 or math.isnan(value):
        return number(value)
    return ("+" if value > 0 else "\u2212") + number(abs(value))


def amount_of(value: float) -> str:
    """A number with a true minus where it is below zero, and no plus.

    Example:
        >>> amount_of(-0.5), amount_of(2.0)
        ('−0.500', '2.00')
    """
    return signed(value) if value < 0 else number(value)


def visible(text: str) -> str:
    r"""Text whose control characters are shown instead of obeyed.

    Line breaks and tabs become arrows, the rest its code point, so that no text of anybody's can
    move a cursor, hide itself or turn the reading direction of what stands beside it.

    Example:
        >>> visible("a\x1b[2Jb")
        'a\u27e8U+001B\u27e9[2Jb'
    """
    named = {"\n": "\u21b5", "\r": "\u240d", "\t": "\u21e5"}
    return "".join(
        named.get(character)
        or (
            f"\u27e8U+{ord(character):04X}\u27e9"
            # Cc holds ESC, with which every terminal command begins. The others turn the direction
            # of reading: a text can then show words in another order than the model reads them
            # (Boucher & Anderson 2021, arXiv:2111.00169).
            if unicodedata.category(character) in ("Cc", "Cs")
            or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
            else character
        )
        for character in text
    )


def reliable(attribution: Attribution, output: int) -> Bool[np.ndarray, " n"]:
    """Which scores are more than two standard errors from zero; all, where nothing was sampled."""
    scores = attribution.scores[:, output]
    if attribution.std_errors is None:
        return scores != 0
    # Two standard errors: about 95 % where the errors are normal.
    return np.abs(scores) > 2 * attribution.std_errors[:, output]


def score_unit(attribution: Attribution, output: int) -> str:
    """The unit of the scores: the target's, or their own and then without a sign."""
    if attribution.unit is None:
        return attribution.outputs[output].unit
    return f"{attribution.unit}, unsigned"


def amount(attribution: Attribution, value: float) -> str:
    """A score as it is written: with its sign, where it has one."""
    return signed(value) if attribution.unit is None else number(value)


def answer(decision: Decision) -> str:
    """What the model said, without the white space it began or ended with."""
    return visible(decision.text.strip() or decision.text)


def decision_line(decision: Decision, most: int = 4) -> str:
    """The other answers and their probabilities."""
    scores = [
        f"{visible(score.name)} {_share(score.value, decision.unit)}"
        for score in decision.scores[:most]
    ]
    rest = len(decision.scores) - most
    return ", ".join(scores) + (f" and {rest} more" if rest > 0 else "")


def _share(value: float, unit: str) -> str:
    """A probability in percent, never rounded to certainty; any other number as it is."""
    if unit != "probability":
        return number(value)
    # One decimal would print 100.0 % from here on, and 0.0 % below 0.0005.
    if value > 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if value < 0.0005 else f"{100 * value:.1f} %"


def cost_line(attribution: Attribution) -> str:
    """What the explanation took."""
    cost = attribution.provenance.cost
    return ", ".join((*cost_parts(cost), f"{cost.seconds:.2f} s"))


def cost_parts(cost: Cost) -> list[str]:
    """What was counted of a computation, its time left out."""
    parts: list[str] = []
    if cost.evaluations:
        parts.append(
            f"{cost.evaluations:,} model evaluations ({cost.distinct_evaluations:,} inputs read; what "
            "is alike or known from before is not read again)"
        )
    if cost.gradient_evaluations:
        parts.append(f"{cost.gradient_evaluations:,} gradient passes")
    if cost.tokens:
        parts.append(f"{cost.tokens:,} tokens")
    return parts


def completeness_line(attribution: Attribution, output: int) -> str:
    """Whether the scores add up, and what that shows."""
    completeness = attribution.completeness
    if attribution.unit is not None:
        return "the scores are not in the target's unit, so they add up to nothing"
    if completeness is None:
        return "the scores of this method do not add up to the difference"
    unit = attribution.outputs[output].unit
    residual = float(completeness.residual[output])
    line = (
        f"residual {signed(residual)} {unit} "
        f"({100 * float(completeness.relative[output]):.2f} % of the difference)"
    )
    if completeness.by_construction:
        return f"scores add up by construction ({line}), which is no evidence of accuracy"
    return f"{line}; measured"


def facts(attribution: Attribution, output: int) -> list[tuple[str, str]]:
    """The facts about a run that every view shows, in order."""
    origin = attribution.provenance
    out = attribution.outputs[output]
    unit = out.unit
    value, base = float(attribution.values[output]), float(attribution.base_values[output])
    none = "" if math.isnan(base) else f", {signed(base)} {unit} with none"
    meaning = (
        "positive raised the value"
        if attribution.unit is None
        else f"in {attribution.unit}, unsigned: how much, not which way"
    )
    rows = [
        ("Explained", f"{LINKS[out.link]} of \u201c{visible(out.name)}\u201d, in {unit}"),
        (
            "Value",
            f"{signed(value)} {unit} with every {attribution.segmentation.unit} present{none}",
        ),
        ("Scores", f"{attribution.quantity}; {meaning}"),
        ("Completeness", completeness_line(attribution, output)),
        ("Method", str(origin.method)),
    ]
    if origin.choice:
        rows.append(("Chosen because", origin.choice))
    rows += [
        ("Outcome", "; ".join((OUTCOMES[attribution.outcome], *attribution.advice))),
        ("Cost", cost_line(attribution)),
        ("Model", f"{origin.model.ref} ({origin.model.architecture}, {origin.model.dtype})"),
        ("Seed", str(origin.seed)),
    ]
    rows += [("Note", note) for note in attribution.notes]
    return [(name, visible(text)) for name, text in rows]


def layer_names(names: Sequence[str]) -> dict[str, str]:
    """Names of layers for a reader: numbers, where that is all in which they differ.

    Example:
        >>> layer_names(["bert.layer.0.self", "bert.layer.1.self"])
        {'bert.layer.0.self': 'layer 0', 'bert.layer.1.self': 'layer 1'}
    """
    parts = [name.split(".") for name in names]
    shortest = min((len(part) for part in parts), default=0)
    same = [len({part[place] for part in parts}) == 1 for place in range(shortest)]
    ends = [len({part[-1 - place] for part in parts}) == 1 for place in range(shortest)]
    head = same.index(False) if False in same else 0
    tail = ends.index(False) if False in ends else 0
    result: dict[str, str] = {}
    for name, part in zip(names, parts, strict=True):
        short = ".".join(part[head : len(part) - tail])
        result[name] = f"layer {short}" if short.isdecimal() else short
    return result
