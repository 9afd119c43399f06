"""``whence.judge``: a trust label for an explanation, of whence or of another tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from whence.attribution.method import Method
from whence.attribution.registry import method_by_name
from whence.attribution.run import Plan, answer, plan_for
from whence.core.errors import OptionError, unknown
from whence.core.explanations import Attribution
from whence.core.progress import Progress
from whence.core.trust import LEVELS, Level, TrustLabel
from whence.evaluation.trust.trust_label import RerunAccess, label
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, call_cache
from whence.games.maskers import Masker
from whence.games.question import Question, ask_again
from whence.models.protocols import Input
from whence.models.public_call import public_call
from whence.workflows.adopt import ELSEWHERE
from whence.workflows.rerun import plan_of, rerun

__all__ = ["judge", "judge_question"]

SECOND_OPINIONS = (
    "input-x-gradient",
    "leave-one-out",
    "gradient-weighted-attention",
    "kernel-shap",
)
"""Methods to compare with, the cheapest of each family first."""


EXPENSIVE = 64
"""Evaluations of one explanation above which only an audit repeats it (decision 8): quick and default
labels are to cost less than the explanation. Chosen by hand."""


@public_call
def judge(
    model: Any,
    explanation: Attribution,
    *,
    level: str = "default",
    output: int | str = 0,
    source: Input | None = None,
    masker: str | Masker = "auto",
    seed: int | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """An explanation with a new trust label, measured now.

    Args:
        model: model that was explained, from :func:`whence.load`.
        explanation: explanation of whence, or scores read in by :func:`whence.adopt`.
        level: level of the label: ``"quick"``, ``"default"`` or ``"audit"``.
        output: output whose scores are judged, by name or index.
        source: input, where the record does not hold it as it was given.
        masker: masker, by name or instance; ``"auto"``: the explanation's.
        seed: seed of the mask pool; none: the explanation's.
        token_budget: tokens in a batch to begin with.
        cache: store of evaluations; none: one in memory for this call. What a
            store knows is used after one of its evaluations was made again with the same answer (one
            evaluation a call, counted), and not at all where a hook or a replaced ``forward`` decides
            too, which is noted.
        progress: callable of (what, done, total), called after each batch of evaluations.

    Raises:
        InputError: the question cannot be put again to this model.
        OptionError: no such level or output.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> e = whence.explain(model, "again late, said one; late, said all three", trust="off")
        >>> [q.finding for q in whence.judge(model, e, level="quick").trust.quantities]
        ['pass', 'not_measured', 'pass', 'not_measured']
    """
    if level not in LEVELS:
        raise unknown("level", level, LEVELS)
    if seed is not None and seed < 0:
        raise OptionError(f"expected a seed of 0 or more, got seed={seed}")
    question = ask_again(model, explanation, source=source, masker=masker)
    answers = call_cache(cache)
    trust = judge_question(
        question,
        explanation,
        None
        # Scores from elsewhere may bear the name of a method of ours, which did not make them.
        if explanation.quantity == ELSEWHERE
        else plan_of(question, explanation.provenance.method),
        level=level,
        output=explanation.output_index(output),
        seed=seed,
        token_budget=token_budget,
        cache=answers,
        progress=progress,
    )
    return replace(explanation, trust=trust, notes=(*explanation.notes, *answers.notes))


def judge_question(
    question: Question,
    explanation: Attribution,
    plan: Plan | None,
    *,
    level: Level,
    output: int = 0,
    seed: int | None = None,
    budget: int | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> TrustLabel:
    """The label of an explanation; ``plan`` is the method to repeat it with, ``None`` where unknown."""
    answers = call_cache(cache)
    seed = explanation.provenance.seed if seed is None else seed
    access = RerunAccess(
        again=None if plan is None else rerun(question, plan, budget, token_budget, answers),
        expensive=plan is not None and level != "audit" and plan.usual > EXPENSIVE,
        others=_others(question, plan, answers, token_budget, seed),
    )
    return label(
        question,
        explanation,
        level=level,
        output=output,
        access=access,
        seed=seed,
        cache=answers,
        token_budget=token_budget,
        progress=progress,
    )


def _others(
    question: Question, plan: Plan | None, cache: Cache, token_budget: int, seed: int
) -> tuple[Callable[[], Attribution], ...]:
    """Two explanations by other methods, of other families as far as the model allows."""
    mine = None if plan is None else plan.method
    works = {
        "scores": True,
        "gradients": question.differentiable,
        "attention": question.attends,
    }
    others = [method_by_name(name) for name in SECOND_OPINIONS]
    others = [other for other in others if works[other.needs] and type(other) is not type(mine)]
    # Stable: of one kind the order above holds.
    # Methods that need the same of the model share its blind spots: two gradients that agree say
    # less than a gradient and a deletion.
    others.sort(key=lambda other: mine is not None and other.needs == mine.needs)
    opinions: list[Callable[[], Attribution]] = []
    for other in others[:2]:
        # As a default it is bound now: by name alone every opinion would be the last
        # method of the loop. Nothing runs until the label asks for it.
        def explain(method: Method = other) -> Attribution:
            other_plan = plan_for(question, method)
            return answer(question, other_plan, seed=seed, token_budget=token_budget, cache=cache)

        opinions.append(explain)
    return tuple(opinions)
