"""The trust label: up to nine questions put to an explanation, and the verdict on them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student_t

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
from whence.core.trust import KeptPool, Level, Quantity, TrustLabel
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
from whence.evaluation.trust.calibration import ADDITIVE, calibration_of
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
from whence.evaluation.trust.effect import EDITS, MATTERS, does_it_matter, idle_moves
from whence.evaluation.trust.grading import COMBINATIONS, OTHERS_DO, Verdict, verdict
from whence.evaluation.trust.marked import SETS, TIE, Marked, marked_words
from whence.evaluation.trust.summary import others_do_as_much, summary_sentence
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache
from whence.games.question import Question
from whence.models.protocols import Input

__all__ = ["RerunAccess", "evaluations_of", "label", "label_of"]


def evaluations_of(level: Level) -> int:
    """Evaluations of a label at most, those of explaining again not counted.

    The pool, the whole input and none of it, the marked words removed and alone, and random sets of
    as many removed; from the default up as many kept alone, twelve masks made otherwise with the
    two ends, and the edits without meaning.

    Example:
        >>> evaluations_of("quick"), evaluations_of("default")
        (55, 124)
    """
    first = SIZES[level] + 2 + 2 + SETS[level]
    if level == "quick":
        return first
    # The audit's 150 ways to show more, and the marked alone.
    return first + SETS[level] + 14 + EDITS + (151 if level == "audit" else 0)


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
    """Put the questions of a level to an explanation, and give the verdict on the answers.

    Args:
        question: question that was answered.
        explanation: explanation.
        level: ``quick`` asks four questions: whether the scores beat chance, matter, carry the
            answer and add up; ``default`` seven, with whether the test is fair, the answer steady
            and others agree; ``audit`` nine: all of these of a larger pool and a full explanation
            again, and it replaces the model's parameters for one explanation, and certifies the
            marked words.
        output: index of the judged output.
        access: explainers to run again; without it the questions that need them stay open.
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
    errors = None if explanation.std_errors is None else explanation.std_errors[:, instance.output]
    fit = instance.additive
    steady: Stability | None = None
    others: tuple[Attribution, ...] = ()
    steadiness = not_measured(AGAIN)
    again_in_all = 0
    notes = list(_undecided(explanation))
    marked = None if instance.n < 2 else marked_words(instance, scores, errors, level)
    chance = better_than_chance(instance, scores)
    carried = carried_by_the_marked(instance, marked)
    if level == "quick":
        quantities = [
            chance,
            _mattering(instance, marked, None),
            carried,
            adds_up(instance, explanation),
        ]
        notes.append(UNASKED)
    else:
        fair = fair_test(instance, cache)
        again = None if access.again is None else _counted(instance, access.again)
        if again is not None and instance.n > 1:
            try:
                steady = (
                    paired_stability(instance, explanation, cache=cache)
                    if access.expensive
                    else stability(instance, explanation, again)
                )
                steadiness = same_answer_again(instance, scores, steady)
            except _REFUSALS as error:
                steadiness = not_measured(AGAIN, str(error))
        others = _second_opinions(access, notes) if instance.n > 1 else ()
        instance.spent.extend(other.provenance.cost for other in others)
        again_in_all += len(others) + (0 if steady is None else steady.explanations)
        quantities = [
            chance,
            _mattering(instance, marked, idle_moves(instance, cache)),
            carried,
            fair,
            steadiness,
            adds_up(instance, explanation),
            agrees_with_others(instance, explanation, others),
        ]
        if level == "audit" and instance.n > 1:
            # True counts as one: the model of random parameters is explained once.
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
    moves = None if steady is None else instability_reason(steady)
    decided = verdict(
        quantities,
        features=instance.n,
        fidelity=chance.measurements[0].value,
        fit=fit,
        threshold=None if calibrated is None else calibrated[0],
        against=_against(marked, fit),
    )
    # Before any finding: where the answer turns at a changed capital, reasons for it turn as well.
    if moves is not None and instance.n > 1:
        decided = Verdict("abstain", (moves, *decided.reasons))
    if explanation.unit is not None:
        notes.append(
            "the scores have no sign; they are judged as if every feature raised the output"
        )
    shown = chance.finding == "pass" and carried.finding != "fail"
    return TrustLabel(
        output=instance.what.name,
        level=level,
        grade=decided.grade,
        says=summary_sentence(
            instance, marked, decided, steady if steadiness.finding != "not_measured" else None
        ),
        reasons=decided.reasons,
        calibration=None if calibrated is None else calibrated[1],
        quantities=tuple(quantities),
        additive_share=_share(instance, fit),
        reliable=_reliable(instance, explanation, marked if shown else None),
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


UNASKED = (
    "a quick label does not ask whether the test is fair, whether edits without meaning do as much, "
    "whether the scores stay when the question is put again, or whether other methods agree; "
    "trust='default' asks"
)
UNDECIDED = 0.1
"""Probability of the likeliest answer below which the model is said to be undecided. Chosen by hand."""


def _undecided(explanation: Attribution) -> tuple[str, ...]:
    """The remark that the model chose among many: reasons for one of them are no reasons against."""
    decision = explanation.decision
    if decision.unit != "probability" or len(decision.scores) < 3:
        return ()
    first = decision.scores[0]
    if first.value >= UNDECIDED:
        return ()
    return (
        f"the model is undecided: its likeliest answer {first.name!r} has a probability of "
        f"{100 * first.value:.1f} %, among {len(decision.scores)} or more",
    )


def _mattering(
    instance: Instance, marked: Marked | None, idle: Float[np.ndarray, " edits"] | None
) -> Quantity:
    if marked is None:
        return not_measured(
            MATTERS, "There is only one feature, so there is nothing to compare it with."
        )
    return does_it_matter(instance, marked, idle)


def _against(marked: Marked | None, fit: AdditiveFit) -> list[str]:
    """What keeps single words from being read as reasons, though no question failed."""
    # One half as in the requirement of grade A (calibration.ADDITIVE); where the share is sampled,
    # with 95 % confidence.
    known = fit.varies and fit.share is not None and (fit.interval is not None or not fit.sampled)
    most = None if not known else fit.share if fit.interval is None else fit.interval.high
    against = [COMBINATIONS] if most is not None and most < ADDITIVE else []
    return [*against, OTHERS_DO] if marked is not None and others_do_as_much(marked) else against


def _share(instance: Instance, fit: AdditiveFit) -> Measurement | None:
    if len(instance.pool) == 0 or not fit.varies or fit.share is None:
        return None
    return Measurement(
        name="additive-share",
        value=fit.share,
        unit="share of the variance",
        n=len(instance.pool),
        direction="higher",
        interval=fit.interval,
        specification=instance.specification(
            "additive_fit", estimator="adjusted, pairs of masks counted once"
        ),
    )


def _reliable(
    instance: Instance, explanation: Attribution, marked: Marked | None
) -> tuple[bool, ...]:
    """Features whose effect is distinguishable from zero at 95 %: what pictures shade.

    By the scores' own errors where they have any, and exact effects by being none; else by the
    pool. ``marked`` are words that have shown their effect together; ``None``: none have.
    """
    if len(instance.pool) == 0:
        return (True,) * instance.n
    fit, scores = instance.additive, explanation.scores[:, instance.output]
    # Independent: the weights are fitted to masks from which size, the slope's variable, is taken
    # out. The addend is for exact pools, whose errors are 0: a score of rounding is no effect.
    errors = np.hypot(fit.errors, fit.slope_error)
    # A pair of masks is one observation, of which a small pool has few: Student's t.
    reach = float(student_t.ppf(0.975, max(1, len(instance.pool) // 2 - 1)))
    distinguishable = np.abs(fit.weights + fit.slope) > reach * errors + 1e-12
    if explanation.std_errors is not None:
        # Where an error is unknown nothing is shown, as in every picture.
        return tuple((np.abs(scores) > 2 * explanation.std_errors[:, instance.output]).tolist())
    if explanation.quantity in EXACT:
        distinguishable = np.abs(scores) > TIE * float(np.abs(scores).max(initial=0.0)) + 1e-12
    if marked is not None:
        distinguishable |= marked.mask(instance.n)
    return tuple(distinguishable.tolist())


EXACT = ("Shapley value", "leave-one-out effect")
"""Quantities that are effects of the features, and exact where they come without errors."""


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
