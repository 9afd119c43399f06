"""The method of a recorded explanation, run again: on other inputs, and at other embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from whence.attribution.method import Estimate, GradientMethod
from whence.attribution.registry import method_by_name
from whence.attribution.run import Plan, answer, plan_for
from whence.core.errors import CapabilityError, OptionError
from whence.core.explanations import Attribution
from whence.core.provenance import MethodSpec
from whence.evaluation.instance import Explain
from whence.evaluation.metrics.max_sensitivity import moved_game
from whence.games.cache import Cache
from whence.games.question import Question, ask_otherwise
from whence.models.protocols import Input
from whence.workflows.adopt import ELSEWHERE

__all__ = ["explainers", "plan_of", "rerun"]


def plan_of(question: Question, spec: MethodSpec) -> Plan | None:
    """How a recorded method is run again; ``None`` for a method that is not of whence."""
    try:
        method = method_by_name(spec.name, dict(spec.options))
    except OptionError:
        return None
    return plan_for(question, method)


def explainers(
    question: Question, explanation: Attribution, column: int, cache: Cache, token_budget: int
) -> dict[str, Any]:
    """The explainer of a record on other inputs and at other embeddings, and the values there.

    What the method does not allow is a function that says so when it is called.
    """
    spec = explanation.provenance.method
    plan = None if explanation.quantity == ELSEWHERE else plan_of(question, spec)
    if plan is None:
        refuse = _refusal(
            f"expected an explanation by a method of whence, got one by {spec.name!r}, which cannot "
            "be run again here; explain with whence.explain first"
        )
        return {"explain": refuse, "explain_at": refuse, "value_at": refuse}
    explainers: dict[str, Any] = {"explain": rerun(question, plan, None, token_budget, cache)}
    if not isinstance(plan.method, GradientMethod):
        refuse = _refusal(
            "expected an explanation by a gradient method (input-x-gradient, "
            f"integrated-gradients), got one by {spec.name}, which explains texts and not "
            "displaced embeddings; explain with a gradient method, or judge with whence.judge, "
            "which edits the text"
        )
        return {**explainers, "explain_at": refuse, "value_at": refuse}
    method, seed = plan.method, explanation.provenance.seed

    def estimates(points: np.ndarray) -> list[Estimate]:
        return [
            method.estimate(
                moved_game(question, point, token_budget=token_budget), budget=plan.usual, seed=seed
            )
            for point in points
        ]

    return {
        **explainers,
        "explain_at": lambda points: np.stack([e.scores[:, column] for e in estimates(points)]),
        # Values at embeddings, and not of texts: a displaced embedding is that of no token.
        "value_at": lambda points: question.embedding_game().at(points)[0][:, column],
    }


def _refusal(message: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise CapabilityError(message)

    return refuse


def rerun(
    question: Question, plan: Plan, budget: int | None, token_budget: int, cache: Cache
) -> Explain:
    """The method of a plan on another input, with another seed."""

    def explain(source: Input, seed: int) -> Attribution:
        fresh = ask_otherwise(question, source)
        return answer(
            fresh,
            # Planned anew: what a method takes depends on the number of features, and the other
            # input has its own.
            plan_for(fresh, plan.method),
            budget=budget,
            seed=seed,
            token_budget=token_budget,
            cache=cache,
        )

    return explain
