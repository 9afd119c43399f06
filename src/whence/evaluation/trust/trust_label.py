"""The trust label: seven questions put to an explanation, and the verdict on them."""

from __future__ import annotations

import numpy as np

from whence.core.arrays import frozen_array
from whence.core.errors import (
    BudgetError,
    CapabilityError,
    InputError,
    ModelOutputError,
    OptionError,
)
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.core.progress import Progress
from whence.core.provenance import Cost, MethodSpec
from whence.core.trust import KeptPool, Level, TrustLabel
from whence.evaluation.additive_surrogate import AdditiveFit
from whence.evaluation.instance import Explain, Instance, instance_of
from whence.evaluation.mask_pool import SIZES
from whence.evaluation.robustness.paired_stability import paired_stability
from whence.evaluation.robustness.stability import Stability, stability
from whence.evaluation.trust.audit_checks import (
    DEPENDS,
    depends_on_the_model,
    stays_when_more_is_shown,
)
from whence.evaluation.trust.calibration import calibration_of
from whence.evaluation.trust.checks import (
    AGAIN,
    RerunAccess,
    adds_up,
    agrees_with_others,
    better_than_chance,
    carried_by_the_marked,
    fair_test,
    instability_reason,
    not_measured,
    same_answer_again,
)
from whence.evaluation.trust.grading import verdict
from whence.evaluation.trust.summary import summary_sentence
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache
from whence.games.question import Question
from whence.models.protocols import Input

__all__ = ["RerunAccess", "evaluations_of", "label", "label_of"]


def evaluations_of(level: Level) -> int:
    """Evaluations of a label at most, those of explaining again not counted.

    The pool, the whole input, four sets of marked words removed and four kept alone; from the
    default up, twelve masks made otherwise and the two ends.

    Example:
        >>> evaluations_of("quick"), evaluations_of("default")
        (41, 87)
    """
    # Twelve masks made otherwise and two ends; the audit's 150 ways to show more, and the marked
    # alone.
    more = {"quick": 0, "default": 14, "audit": 14 + 151}
    return SIZES[level] + 1 + 8 + more[level]


def label(
    question: Question,
    explanation: Attribution,
    *,
    level: Level = "default",
    output: int = 0,
    access: RerunAccess | None = None,
    seed: int = 0,
    cache: Cache | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> TrustLabel:
    """Put the seven questions to an explanation, and give the verdict on the answers.

    Args:
        question: question that was answered.
        explanation: explanation.
        level: ``quick`` asks whether the scores beat chance, carry the answer and add up;
            ``default`` also whether the test is fair, the answer steady and others agree; ``audit``
            asks all of a larger pool, explains again in full, replaces the model's parameters for
            one explanation, and certifies the marked words.
        output: index of the judged output.
        access: explainers to run again; without it questions 4, 6 and 7 stay open.
        seed: seed of the masks and of whatever else is drawn.
        cache: store of evaluations.
        token_budget: tokens in a batch to begin with.
        progress: callable of (what, done, total), called after each batch of evaluations.

    Cost: :func:`evaluations_of` the level at most, and the explanations made again.
    """
    instance = instance_of(
        question,
        output=output,
        size=SIZES[level],
        seed=seed,
        cache=cache,
        token_budget=token_budget,
        progress=progress,
    )
    return label_of(instance, explanation, level=level, access=access or RerunAccess(), cache=cache)


def label_of(
    instance: Instance,
    explanation: Attribution,
    *,
    level: Level,
    access: RerunAccess,
    cache: Cache | None = None,
) -> TrustLabel:
    """The label on an instance that is already drawn; see :func:`label`."""
    scores = explanation.scores[:, instance.output]
    fit = instance.additive
    steady: Stability | None = None
    others: tuple[Attribution, ...] = ()
    again_in_all = 0
    notes: list[str] = []
    chance = better_than_chance(instance, scores)
    # Its eight evaluations also answer the summary's sentence, which is therefore made last.
    carried = carried_by_the_marked(instance, scores)
    if level == "quick":
        quantities = [chance, carried, adds_up(instance, explanation)]
    else:
        fair = fair_test(instance, cache)
        again = None if access.again is None else _counted(instance, access.again)
        steadiness = not_measured(AGAIN)
        if again is not None and instance.n > 1:
            try:
                steady = (
                    paired_stability(instance, explanation, cache=cache)
                    if access.expensive
                    else stability(instance, explanation, again)
                )
                steadiness = same_answer_again(steady)
            except _REFUSALS as error:
                steadiness = not_measured(AGAIN, str(error))
        others = _second_opinions(access, notes) if instance.n > 1 else ()
        instance.spent.extend(other.provenance.cost for other in others)
        again_in_all += len(others) + (0 if steady is None else steady.explanations)
        quantities = [
            chance,
            carried,
            fair,
            steadiness,
            adds_up(instance, explanation),
            agrees_with_others(instance, explanation, others),
        ]
        if level == "audit" and instance.n > 1:
            again_in_all += again is not None
            quantities += [
                not_measured(DEPENDS)
                if again is None
                else depends_on_the_model(instance, explanation, again),
                stays_when_more_is_shown(instance, scores),
            ]
    question = instance.question
    calibrated = None if question is None else calibration_of(question.model.identity, level)
    if calibrated is not None and calibrated[0].level != level:
        notes.append(
            f"graded by the thresholds of level {calibrated[0].level!r}; none were measured for an audit"
        )
    decided = verdict(
        quantities,
        features=instance.n,
        fidelity=chance.measurements[0].value,
        share=fit.share,
        threshold=None if calibrated is None else calibrated[0],
        moves=None if steady is None else instability_reason(steady),
    )
    reasons = list(decided.reasons)
    combined = _mostly_combined(fit)
    share = _share(instance, fit)
    if share is not None and combined:
        reasons.append(COMBINATIONS)
    if explanation.unit is not None:
        notes.append(
            "the scores have no sign; they are judged as if every feature raised the output"
        )
    return TrustLabel(
        output=instance.what.name,
        level=level,
        grade=decided.grade,
        says=summary_sentence(instance, scores, decided, combined, steady),
        reasons=tuple(reasons),
        calibration=None if calibrated is None else calibrated[1],
        quantities=tuple(quantities),
        additive_share=share,
        reliable=_reliable(instance, fit, explanation),
        pool=_kept(instance),
        discarded=() if steady is None else steady.discarded,
        cost=Cost.total((instance.game.cost, *instance.spent)),
        explanations=again_in_all,
        notes=tuple(notes),
    )


_REFUSALS = (CapabilityError, InputError, OptionError, BudgetError, ModelOutputError)
"""What a model or method may refuse in the course of a judgement, which goes on without it."""


def _second_opinions(access: RerunAccess, notes: list[str]) -> tuple[Attribution, ...]:
    """Explanations by other methods; one that this model or text does not allow is noted."""
    explanations: list[Attribution] = []
    for other in access.others:
        try:
            explanations.append(other())
        except _REFUSALS as error:
            notes.append(f"a comparison with another method was not possible: {error}")
    return tuple(explanations)


def _counted(instance: Instance, again: Explain) -> Explain:
    """The same, with the cost of each explanation on the instance's account."""

    def explain(source: Input, seed: int) -> Attribution:
        explanation = again(source, seed)
        instance.spent.append(explanation.provenance.cost)
        return explanation

    return explain


COMBINATIONS = (
    "this answer depends on combinations of words: the best sum over single words explains less "
    "than half of it, so no list of words can carry it"
)


def _mostly_combined(fit: AdditiveFit) -> bool:
    """Whether even the best additive fit explains less than half; with 95 % confidence, where it is sampled."""
    # One half as in the requirement of grade A (calibration.ADDITIVE).
    return fit.varies and (fit.share if fit.interval is None else fit.interval.high) < 0.5


def _share(instance: Instance, fit: AdditiveFit) -> Measurement | None:
    if len(instance.pool) == 0 or not fit.varies:
        return None
    return Measurement(
        name="additive-share",
        value=fit.share,
        unit="share of the variance",
        n=len(instance.pool),
        direction="higher",
        interval=fit.interval,
        specification=instance.specification("additive_fit", estimator="restricted likelihood"),
    )


def _reliable(instance: Instance, fit: AdditiveFit, explanation: Attribution) -> tuple[bool, ...]:
    """Features whose effect is distinguishable from zero at 95 %, by the pool or the scores' errors.

    A method that samples has asked more than a small pool; its errors are as good a witness.
    """
    if len(instance.pool) == 0:
        return (True,) * instance.n
    # Independent: the weights are fitted to masks from which size, the slope's variable, is taken
    # out.
    errors = np.hypot(fit.errors, fit.slope_error)
    # The addend is for exact pools, whose errors are 0: a score of rounding is no effect.
    distinguishable = np.abs(fit.weights + fit.slope) > 1.96 * errors + 1e-12
    if explanation.std_errors is not None:
        std_errors = explanation.std_errors[:, instance.output]
        distinguishable |= (
            np.abs(explanation.scores[:, instance.output]) > 1.96 * std_errors + 1e-12
        )
    return tuple(distinguishable.tolist())


def _kept(instance: Instance) -> KeptPool:
    pool = instance.pool
    question = instance.question
    masker = MethodSpec(name="game") if question is None else MethodSpec.of(question.masker)
    return KeptPool(
        masks=tuple("".join("1" if bit else "0" for bit in mask) for mask in pool.masks),
        values=frozen_array(pool.values),
        full=frozen_array(pool.full),
        complete=pool.complete,
        seed=pool.seed,
        masker=masker,
    )
