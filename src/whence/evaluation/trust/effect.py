"""Does the effect matter? The marked words' effect beside a floor, the decision, and idle edits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, ModelOutputError
from whence.core.measurements import Measurement
from whence.core.trust import Finding, Quantity
from whence.evaluation.instance import Instance
from whence.evaluation.robustness.text_perturbations import MOST, holds, neutral_edits
from whence.evaluation.trust.marked import Marked
from whence.games.cache import Cache
from whence.games.question import ask_otherwise

__all__ = ["EDITS", "MATTERS", "Idle", "does_it_matter", "idle_edits"]

MATTERS = "Does the effect matter?"
EDITS = 4
"""Edits without meaning: every one that :func:`neutral_edits` has."""
FLOOR = {"nat": MOST / 0.25, "logit": MOST / 0.25, "probability": MOST}
"""The least effect that is one: what an edit may move without changing the prediction. A probability
near one half moves a quarter as fast as its log-odds, so that many nats as four times this."""
OF_THE_MARGIN = 0.1
"""Share of the distance to another decision below which an effect calls for caution. Chosen by hand."""


UNSTABLE = 0.5
"""Share of the edits that change the prediction beyond which it counts as unstable: most."""


@dataclass(frozen=True, slots=True, eq=False)
class Idle:
    """What edits without meaning do: how far each moves the output, and how many the prediction."""

    moves: Float[np.ndarray, " edits"]
    changed: int = 0

    @property
    def unstable(self) -> str | None:
        """Why the prediction itself is unstable, if most of these edits change it."""
        share = self.changed / max(1, len(self.moves))
        if share <= UNSTABLE:
            return None
        return (
            f"the prediction itself is unstable: {100 * share:.0f} % of the neutral edits (letter case, "
            "spaces, a prefix, a suffix) change it, or move its probability by 0.1 or more"
        )


def idle_edits(instance: Instance, cache: Cache | None) -> Idle:
    """Make every edit without meaning (letter case, spaces, a prefix, a suffix), and ask again.

    Cost: one evaluation an edit. An edit that the model cannot read is left out.
    """
    question = instance.question
    if question is None:
        return Idle(np.zeros(0))
    moves: list[float] = []
    changed = 0
    for edit in neutral_edits(question):
        try:
            other = ask_otherwise(question, edit.source)
            game = other.game(cache=cache)
            answer = game(np.ones((1, game.n), dtype=bool))[0, instance.output]
        except (CapabilityError, InputError, ModelOutputError):
            continue
        instance.spent.append(game.cost)
        moves.append(abs(float(answer) - instance.full))
        changed += holds(question.decision, other.decision) is not None
    return Idle(np.array(moves), changed)


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
