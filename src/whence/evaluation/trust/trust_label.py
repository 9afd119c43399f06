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
from whence.core.provenance import Cost, MethodSpec
from whence.core.trust import KeptPool, Level, TrustLabel
from whence.evaluation.additive_surrogate import AdditiveFit
from whence.evaluation.instance import Instance, instance_of
from whence.evaluation.mask_pool import SIZES
from whence.evaluation.robustness.paired_stability import paired_stability
from whence.evaluation.robustness.stability import Explain, Stability, stability
from whence.evaluation.trust.audit_checks import (
    DEPENDS,
    depends_on_the_model,
    stays_when_more_is_shown,
)
from whence.evaluation.trust.calibration import calibration_of
from whence.evaluation.trust.checks import (
    AGAIN,
    Means,
    adds_up,
    agrees_with_others,
    better_than_chance,
    carried_by_the_marked,
    fair_test,
    same_answer_again,
    unasked,
    unsteady,
)
from whence.evaluation.trust.grading import verdict
from whence.evaluation.trust.summary import said
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache
from whence.games.model_game import Progress
from whence.games.question import Question
from whence.models.protocols import Input

__all__ = ["Means", "evaluations_of", "label", "label_of"]


def evaluations_of(level: Level) -> int:
    """Evaluations of a label at most, those of explaining again not counted.

    The pool, the whole input, four sets of marked words removed and four kept alone; from the
    default up, twelve masks made otherwise and the two ends.

    Example:
        >>> evaluations_of("quick"), evaluations_of("default")
        (41, 87)
    """
    more = {"quick": 0, "default": 14, "audit": 14 + 151}
    return SIZES[level] + 1 + 8 + more[level]


def label(
    question: Question,
    found: Attribution,
    *,
    level: Level = "default",
    output: int = 0,
    means: Means | None = None,
    seed: int = 0,
    cache: Cache | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> TrustLabel:
    """Put the seven questions to an explanation, and give the verdict on the answers.

    Args:
        question: the one that was answered.
        found: the explanation.
        level: ``quick`` asks whether the scores beat chance, carry the answer and add up;
            ``default`` also whether the test is fair, the answer steady and others agree; ``audit``
            asks all of a larger pool, explains again in full, replaces the model's parameters for
            one explanation, and certifies the marked words.
        output: whose scores are judged.
        means: how to explain again and otherwise; without it questions 4, 6 and 7 stay open.
        seed: of the masks and of whatever else is drawn.
        cache: where evaluations are kept.
        token_budget: tokens in a batch to begin with.
        progress: called after each batch.

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
    return label_of(instance, found, level=level, means=means or Means(), cache=cache)


def label_of(
    instance: Instance,
    found: Attribution,
    *,
    level: Level,
    means: Means,
    cache: Cache | None = None,
) -> TrustLabel:
    """The label on an instance that is already drawn; see :func:`label`."""
    scores = found.scores[:, instance.output]
    fit = instance.additive
    steady: Stability | None = None
    others: tuple[Attribution, ...] = ()
    again_in_all = 0
    notes: list[str] = []
    chance = better_than_chance(instance, scores)
    carried = carried_by_the_marked(instance, scores)
    if level == "quick":
        quantities = [chance, carried, adds_up(instance, found)]
    else:
        fair = fair_test(instance, cache)
        again = None if means.again is None else _counted(instance, means.again)
        steadiness = unasked(AGAIN)
        if again is not None and instance.n > 1:
            try:
                steady = (
                    paired_stability(instance, found, cache=cache)
                    if means.dear
                    else stability(instance, found, again)
                )
                steadiness = same_answer_again(steady)
            except _REFUSALS as error:
                steadiness = unasked(AGAIN, str(error))
        others = _second_opinions(means, notes) if instance.n > 1 else ()
        instance.spent.extend(other.provenance.cost for other in others)
        again_in_all += len(others) + (0 if steady is None else steady.explanations)
        quantities = [
            chance,
            carried,
            fair,
            steadiness,
            adds_up(instance, found),
            agrees_with_others(instance, found, others),
        ]
        if level == "audit" and instance.n > 1:
            again_in_all += again is not None
            quantities += [
                unasked(DEPENDS) if again is None else depends_on_the_model(instance, found, again),
                stays_when_more_is_shown(instance, scores),
            ]
    question = instance.question
    calibrated = None if question is None else calibration_of(question.model.identity, level)
    if calibrated is not None and calibrated[0].level != level:
        notes.append(
            f"thresholds of the level {calibrated[0].level!r}: none were measured for an audit"
        )
    decided = verdict(
        quantities,
        features=instance.n,
        fidelity=chance.measurements[0].value,
        share=fit.share,
        threshold=None if calibrated is None else calibrated[0],
        moves=None if steady is None else unsteady(steady),
    )
    reasons = list(decided.reasons)
    combined = _mostly_combined(fit)
    share = _share(instance, fit)
    if share is not None and combined:
        reasons.append(COMBINATIONS)
    if found.unit is not None:
        notes.append(
            "the scores have no sign: they are judged as if every feature raised the output"
        )
    return TrustLabel(
        output=instance.what.name,
        level=level,
        grade=decided.grade,
        says=said(instance, scores, decided, combined, steady),
        reasons=tuple(reasons),
        calibration=None if calibrated is None else calibrated[1],
        quantities=tuple(quantities),
        additive_share=share,
        reliable=_reliable(instance, fit, found),
        pool=_kept(instance),
        discarded=() if steady is None else steady.discarded,
        cost=Cost.total((instance.game.cost, *instance.spent)),
        explanations=again_in_all,
        notes=tuple(notes),
    )


_REFUSALS = (CapabilityError, InputError, OptionError, BudgetError, ModelOutputError)
"""What a model or method may refuse in the course of a judgement, which goes on without it."""


def _second_opinions(means: Means, notes: list[str]) -> tuple[Attribution, ...]:
    """Explanations by other methods; one that this model or text does not allow is noted."""
    found: list[Attribution] = []
    for other in means.others:
        try:
            found.append(other())
        except _REFUSALS as error:
            notes.append(f"a second opinion could not be had: {error}")
    return tuple(found)


def _counted(instance: Instance, again: Explain) -> Explain:
    """The same, with the cost of each explanation on the instance's account."""

    def explain(source: Input, seed: int) -> Attribution:
        found = again(source, seed)
        instance.spent.append(found.provenance.cost)
        return found

    return explain


COMBINATIONS = (
    "this answer depends on combinations of words: the best sum over single words explains less "
    "than half of it, so no list of words can carry it"
)


def _mostly_combined(fit: AdditiveFit) -> bool:
    """Whether even the best additive fit explains less than half: surely, where it is sampled."""
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


def _reliable(instance: Instance, fit: AdditiveFit, found: Attribution) -> tuple[bool, ...]:
    """Features whose effect is told from zero at 95 %: by the pool, or by the scores' own errors.

    A method that samples has asked more than a small pool; its errors are as good a witness.
    """
    if len(instance.pool) == 0:
        return (True,) * instance.n
    errors = np.hypot(fit.errors, fit.slope_error)
    told = np.abs(fit.weights + fit.slope) > 1.96 * errors + 1e-12
    if found.std_errors is not None:
        own = found.std_errors[:, instance.output]
        told |= np.abs(found.scores[:, instance.output]) > 1.96 * own + 1e-12
    return tuple(told.tolist())


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
