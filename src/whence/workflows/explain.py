"""``whence.explain``: a decision explained, and the explanation judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from whence.attribution.method import Method
from whence.attribution.run import Announce, Plan, answer, plan_for
from whence.core.errors import BudgetError, CapabilityError, ModelOutputError, unknown
from whence.core.explanations import Attribution
from whence.core.progress import Progress
from whence.core.selection import Selection
from whence.core.targets import Target
from whence.core.trust import LEVELS, Level
from whence.evaluation.trust.trust_label import evaluations_of
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, call_cache
from whence.games.maskers import Masker
from whence.games.question import Question, ask
from whence.games.segmenters import Segmenter
from whence.models.public_call import public_call
from whence.workflows.judge import judge_question
from whence.workflows.select import method_of, remembered

__all__ = ["explain"]


@public_call
def explain(
    model: Any,
    source: Any,
    *,
    method: str | Method | Selection = "auto",
    target: Target | str | int | Sequence[Target] | None = None,
    link: str | None = None,
    unit: str | Segmenter = "word",
    masker: str | Masker = "auto",
    trust: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    precision: str = "native",
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    options: dict[str, Any] | None = None,
) -> Attribution:
    """Score every feature of an input by its effect on a model's decision, and judge the scores.

    Args:
        model: model from :func:`whence.load`.
        source: text, a pair of texts (a tuple), or messages ``[{"role", "content"}, ...]``.
        method: name (:data:`whence.attribution.METHODS`), an instance, what :func:`whence.select`
            returned for this model, or ``"auto"``, which takes what was selected last in this
            process, else chooses by the budget, and records what it chose and why.
        target: target to explain, several, or a label's name; none: the predicted label, or the
            continuation that the model writes.
        link: scale of the scores; none: log-odds for labels, log-probability for text.
        unit: kind of feature: token, word, sentence, paragraph, passage, turn, or a segmenter such as
            ``whence.Spans`` with your own spans.
        masker: masker, by name or instance, or ``"auto"``: the mask token where the model has one.
        trust: level at which the scores of the first output are judged: ``"off"``, ``"quick"``
            (55 evaluations), ``"default"`` (124 and a few explanations more) or ``"audit"``; none:
            quick, save where a budget leaves no room for it, which is noted.
        budget: most model evaluations (coalitions; for gradient methods passes), those of the
            label's masks included; explanations repeated for a default label or an audit come on
            top, each within the budget, and count in the label's cost.
        seed: seed of the random generator; the same seed gives the same scores, bit for bit.
        precision: arithmetic; ``"bfloat16"`` runs under autocast, its measured deviation is noted.
        token_budget: tokens in a batch to begin with.
        cache: store of evaluations; none: one in memory for this call. What a
            store knows is used after one of its evaluations was made again with the same answer (one
            evaluation a call, counted), and not at all where a hook or a replaced ``forward`` decides
            too, which is noted.
        progress: callable of (what, done, total), called after each batch of evaluations.
        announce: function called with a :class:`~whence.attribution.run.Forecast` before long work.
        options: method's options, where it is given by name.

    Returns:
        The scores with their errors, values at both ends, cost and provenance; their trust label
        in ``.trust``, with a cost of its own.

    Raises:
        InputError: nothing to explain, or a text that cannot be encoded.
        TextTooLongError: more tokens than the model reads.
        OptionError: an unknown or contradictory option, label, method or unit.
        CapabilityError: the model lacks what is needed.
        BudgetError: the budget is too small; the message gives the least.
        Interrupted: stopped by the user; finished evaluations stay in the store, where one was given.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> e = whence.explain(model, "late and late again, all of them")
        >>> e.scores[:, 0].round(6).tolist()
        [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        >>> e.trust.grade, e.trust.quantities[0].finding
        ('uncalibrated', 'pass')
    """
    level = _level(trust)
    question = ask(
        model, source, target=target, link=link, unit=unit, masker=masker, precision=precision
    )
    answers = call_cache(cache)
    chosen_by_task = None
    if isinstance(method, Selection):
        chosen_by_task = method_of(method, question)
        method = chosen_by_task.method
    # Only without a budget: what was chosen for the task may cost more than the budget allows.
    elif method == "auto" and budget is None:
        chosen_by_task = remembered(question.model)
    # Options name settings of one method, and which one the caller meant is not known here.
    if chosen_by_task is not None and not options:
        plan = plan_for(question, chosen_by_task.method, budget=budget)
        plan = replace(plan, choice=chosen_by_task.why)
    else:
        plan = plan_for(question, method, options=options, budget=budget)
    note: tuple[str, ...] = ()
    if budget is not None and level is not None:
        price = evaluations_of(level)
        room = budget - price
        # What the label takes is gone when the method is chosen: a method that fits the whole
        # budget may not fit the rest.
        if method == "auto" and room >= 1:
            plan = _within(question, room, options) or plan
        # Unasked, a label takes its share only where that leaves the method at least as much
        # (decision 8); where a label was asked for, the least that the method works with will do.
        if room >= plan.least and (trust is not None or room >= price):
            budget = room
        elif trust is not None:
            raise BudgetError(
                f"trust={trust!r} takes {price} evaluations beside the {plan.least:,} that "
                f"{type(plan.method).__name__} needs, got budget={budget}; raise the budget, or take "
                "trust='quick' or 'off'",
                needed=plan.least + price,
                budget=budget,
            )
        else:
            level = None
            note = (
                f"not judged: a trust label takes {price} evaluations, and the budget leaves room for "
                "the scores alone",
            )
    result = answer(
        question,
        plan,
        budget=budget,
        seed=seed,
        token_budget=token_budget,
        cache=answers,
        progress=progress,
        announce=announce,
    )
    if note:
        result = replace(result, notes=(*result.notes, *note))
    if level is None:
        return result
    try:
        label = judge_question(
            question,
            result,
            plan,
            level=level,
            budget=budget,
            cache=answers,
            token_budget=token_budget,
            progress=progress,
        )
    except (CapabilityError, ModelOutputError) as error:
        if trust is not None:
            raise
        # The caller asked for scores and not for a label: scores stay where a label is impossible.
        return replace(result, notes=(*result.notes, f"not judged: {error}"))
    # What the label's masks showed of the model holds for the scores too.
    new = [note for note in question.shortcut_notes() if note not in result.notes]
    return replace(result, trust=label, notes=(*result.notes, *new))


def _within(question: Question, budget: int, options: dict[str, Any] | None) -> Plan | None:
    """The plan that ``"auto"`` chooses for a budget; ``None`` where no method works with so little."""
    try:
        return plan_for(question, options=options, budget=budget)
    except BudgetError:
        return None


def _level(trust: str | None) -> Level | None:
    if trust is None:
        return "quick"
    if trust == "off":
        return None
    if trust not in LEVELS:
        raise unknown("trust", trust, ("off", *LEVELS))
    return trust
