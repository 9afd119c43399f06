"""Does the effect matter? The marked words' effect beside a floor, the decision, and idle edits."""

from __future__ import annotations

from itertools import islice

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, ModelOutputError
from whence.core.measurements import Measurement
from whence.core.trust import Finding, Quantity
from whence.evaluation.instance import Instance
from whence.evaluation.robustness.text_perturbations import neutral_edits
from whence.evaluation.trust.marked import Marked
from whence.games.cache import Cache
from whence.games.question import ask_otherwise

__all__ = ["EDITS", "MATTERS", "does_it_matter", "idle_moves"]

MATTERS = "Does the effect matter?"
EDITS = 4
"""Edits without meaning: every one that :func:`neutral_edits` has."""
FLOOR = {"nat": 0.1, "logit": 0.1, "probability": 0.025}
"""The least effect that is one: 0.1 nat change the odds by a tenth, and move an even probability by two
and a half percentage points (0.1 x 0.5 x 0.5). Classifiers of random parameters stay below it
(benchmarks/random_weights.py)."""
OF_THE_MARGIN = 0.1
"""Share of the distance to another decision below which an effect calls for caution. Chosen by hand."""


def idle_moves(instance: Instance, cache: Cache | None) -> Float[np.ndarray, " edits"]:
    """How far edits without meaning (letter case, spaces, a prefix, a suffix) move the output.

    Cost: one evaluation an edit. An edit that the model cannot read is left out.
    """
    question = instance.question
    if question is None:
        return np.zeros(0)
    moves: list[float] = []
    for edit in islice(neutral_edits(question), EDITS):
        try:
            game = ask_otherwise(question, edit.source).game(cache=cache)
            answer = game(np.ones((1, game.n), dtype=bool))[0, instance.output]
        except (CapabilityError, InputError, ModelOutputError):
            continue
        instance.spent.append(game.cost)
        moves.append(abs(float(answer) - instance.full))
    return np.array(moves)


def does_it_matter(
    instance: Instance, marked: Marked, idle: Float[np.ndarray, " edits"] | None
) -> Quantity:
    """Whether the marked words move the answer enough to speak of.

    Effect: the larger of what their removal takes away and what they add by themselves. Fail: below
    the floor of the unit, or no more than half of the edits without meaning do; caution: less than
    one of these edits does, or less than a tenth of the way to another decision. Cost: one
    evaluation, of no feature.

    Args:
        instance: input that was judged.
        marked: its marked words.
        idle: moves of the output by edits without meaning; ``None``: not asked.
    """
    effect = max(
        abs(marked.whole - marked.without.answer), abs(marked.alone.answer - instance.empty)
    )
    what = instance.what
    # The halfway point of a decision between a label and the rest; other outputs have none.
    even = {"log_odds": 0.0, "probability": 0.5}.get(what.link)
    margin = None if even is None else abs(marked.whole - even)
    floor = FLOOR.get("probability" if what.link == "probability" else what.unit)
    text = f"The marked words move the answer by {effect:.3g} {what.unit}"
    finding: Finding = "pass"
    if floor is not None and effect < floor:
        finding = "fail"
        text += f", less than {floor:g}, the least that is worth an explanation"
    elif margin is not None and effect < OF_THE_MARGIN * margin:
        finding = "caution"
        text += f", less than a tenth of the {margin:.3g} to another decision"
    elif margin is not None:
        text += f"; another decision is {margin:.3g} away"
    if idle is None:
        text += "; edits without meaning were not tried"
    elif len(idle):
        usual, most = float(np.median(idle)), float(idle.max())
        text += f"; edits without meaning move it by {usual:.2g} (median) to {most:.2g}"
        if effect <= usual:
            finding = "fail"
        elif effect < most and finding == "pass":
            finding = "caution"
    if floor is None and not (idle is not None and len(idle)):
        finding = "not_measured" if finding == "pass" and effect > 0 else "fail"
        text += "; the unit has no least effect that could be named" if effect > 0 else ""
    measurement = Measurement(
        name="effect",
        value=effect,
        unit=what.unit,
        n=0 if idle is None else len(idle),
        direction="higher",
        interval=None,
        specification=instance.specification(
            "does_it_matter", marked=len(marked.features), floor=floor, margin=margin
        ),
        random=None if idle is None or not len(idle) else float(np.median(idle)),
    )
    return Quantity(question=MATTERS, finding=finding, says=f"{text}.", measurements=(measurement,))
