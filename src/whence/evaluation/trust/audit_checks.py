"""The questions that only an audit asks: of the model behind an explanation, and of its words."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, ModelOutputError
from whence.core.explanations import Attribution
from whence.core.trust import Quantity
from whence.evaluation.instance import Explain, Instance
from whence.evaluation.robustness.model_randomization import randomisation
from whence.evaluation.robustness.soft_stability import SoftStability, decide_by_labels
from whence.evaluation.trust.checks import graded

__all__ = ["DEPENDS", "depends_on_the_model", "stays_when_more_is_shown"]

DEPENDS = "Does it depend on the model?"
MORE = "Does the answer stay when more is shown?"
KEEPS_LABEL = (0.9, 0.7)
"""Shares of the ways that pass and that call for caution: chosen by hand; not calibrated."""


def depends_on_the_model(instance: Instance, explanation: Attribution, again: Explain) -> Quantity:
    """Whether the explanation changes when random parameters replace those of the model.

    Pass: the scores of the random model are as unlike as shuffled ones are, in 95 of 100 cases;
    fail: they are more alike. Asked in an audit, since the model is another one for the length of
    one explanation: no other thread may use it meanwhile. It is put back bit for bit.

    Cost: one explanation.
    """
    try:
        result = randomisation(instance, explanation, again, cascade=False)
    except (CapabilityError, ModelOutputError) as error:
        # A model of random parameters may well answer with what is no number.
        return Quantity(question=DEPENDS, finding="not_measured", says=f"{error}.")
    value = result.full.value
    # Then no correlation lies beyond the band, and the question would pass whatever came out.
    if result.band >= 1:
        return Quantity(
            question=DEPENDS,
            finding="not_measured",
            says=(
                f"With {instance.n} features, shuffled scores correlate fully by chance too often "
                "to compare."
            ),
        )
    return Quantity(
        question=DEPENDS,
        finding="pass" if result.depends_on_the_model else "fail",
        says=(
            f"With {100 * result.share:.0f} % of the model's parameters replaced by random ones, the new "
            f"scores have a rank correlation of {value:.2f} with these (95 % of shuffled scores "
            f"stay below {result.band:.2f})."
        ),
        measurements=(result.full,),
    )


def stays_when_more_is_shown(instance: Instance, scores: Float[np.ndarray, " n"]) -> Quantity:
    """Whether the marked features alone give an answer that holds as further ones are shown.

    Pass: at least 0.9 of the ways to show up to three more keep it, with 95 % confidence; caution:
    at least 0.7. Cost: at most 151 evaluations, of the label rather than the score.
    """
    question = instance.question
    try:
        decide = None if question is None else decide_by_labels(question, instance.spent)
    except CapabilityError:
        decide = None
    if decide is None:
        return Quantity(
            question=MORE,
            finding="not_measured",
            says="The model does not choose among two labels or more, so its label cannot change.",
        )
    measured = SoftStability().measure(instance, None, decide, scores=scores)
    # Drawn ways are judged by what they prove, not by the share that came up.
    sure = measured.value if measured.interval is None else measured.interval.low
    return Quantity(
        question=MORE,
        finding=graded(sure, *KEEPS_LABEL),
        says=(
            "Showing up to three more features beside the highest-scored ones keeps the label in "
            f"{100 * measured.value:.0f} % of {measured.n} random ways (95 % lower bound {100 * sure:.0f} %)."
        ),
        measurements=(measured,),
    )
