"""Which method: by name, or by what the budget allows."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from whence.attribution.attention.alti import Alti
from whence.attribution.attention.flow import AttentionFlow
from whence.attribution.attention.gradient_weighted import GradientWeightedAttention
from whence.attribution.attention.knockout import AttentionKnockout
from whence.attribution.attention.norm_based import NormBased
from whence.attribution.attention.rollout import Rollout
from whence.attribution.attention.value_zeroing import ValueZeroing
from whence.attribution.baseline.random import Random
from whence.attribution.gradient.input_x_gradient import InputXGradient
from whence.attribution.gradient.integrated_gradients import IntegratedGradients
from whence.attribution.method import Method
from whence.attribution.perturbation.kernel_shap import KernelShap
from whence.attribution.perturbation.leave_one_out import LeaveOneOut
from whence.attribution.perturbation.lime import Lime
from whence.attribution.perturbation.shapley_values import MOST_FEATURES, ShapleyValues
from whence.core.errors import BudgetError, OptionError, unknown

__all__ = ["METHODS", "choose", "method_by_name", "slug"]

METHODS: dict[str, type[Method]] = {
    method.__name__: method
    for method in (
        ShapleyValues,
        KernelShap,
        Lime,
        LeaveOneOut,
        IntegratedGradients,
        InputXGradient,
        AttentionKnockout,
        GradientWeightedAttention,
        ValueZeroing,
        Alti,
        NormBased,
        AttentionFlow,
        Rollout,
        Random,
    )
}
"""Every attribution method by its name, the most dependable first."""

EXACT_UNASKED = 10
"""Features up to which all coalitions are taken when no budget is given: 1,024 evaluations."""


def slug(name: str) -> str:
    """A class name as the command line spells it.

    Example:
        >>> slug("InputXGradient")
        'input-x-gradient'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def method_by_name(name: str | Method, options: dict[str, Any] | None = None) -> Method:
    """A method by class name or slug (``KernelShap``, ``kernel-shap``), with its options.

    Raises:
        OptionError: no such method or option; the message names the nearest.

    Example:
        >>> method_by_name("lime", {"ridge": 0.1})
        Lime(kernel_width=0.25, ridge=0.1)
    """
    if isinstance(name, Method):
        if options:
            raise OptionError("options go with a method's name; this method is already made")
        return name
    by_slug = {slug(key).replace("-", ""): value for key, value in METHODS.items()}
    found = by_slug.get(re.sub(r"[-_ ]", "", name).lower())
    if found is None:
        raise unknown("method", name, [*METHODS, "auto"])
    known = [field.name for field in fields(found)]
    for option in options or {}:
        if option not in known:
            if not known:
                raise OptionError(f"{found.__name__} has no options; {option!r} given")
            raise unknown(f"option of {found.__name__}", option, known)
    return found(**(options or {}))


def choose(n: int, budget: int | None, *, gradients: bool) -> tuple[Method, str]:
    """A method that the budget allows for ``n`` features, and the reason in a sentence.

    Exact Shapley values where all coalitions fit; else a designed sample of them; with few
    evaluations one per feature; with hardly any a gradient, where the model gives one.

    Raises:
        BudgetError: no method works with so little.
    """
    exact = ShapleyValues()
    if n <= MOST_FEATURES and (n <= EXACT_UNASKED if budget is None else (1 << n) <= budget):
        limit = "no budget was set" if budget is None else f"the budget is {budget:,}"
        return exact, f"ShapleyValues: all {1 << n:,} coalitions of {n} features fit ({limit})"
    sampled = KernelShap()
    if budget is None:
        wanted = sampled.default_budget(n)
        return sampled, (
            f"KernelShap: {n} features have too many coalitions to take all; {wanted:,} "
            "evaluations are sampled, and the standard errors say how sure the scores are"
        )
    if budget >= 8 * n + 2:
        return sampled, f"KernelShap: {budget:,} evaluations for {n} features, by sampling"
    single = LeaveOneOut()
    if budget >= single.least(n):
        return single, (
            f"LeaveOneOut: {budget:,} evaluations are too few to sample coalitions of {n} features"
        )
    if gradients:
        path = IntegratedGradients()
        if budget >= 17:
            return path, (f"IntegratedGradients: {budget:,} passes are fewer than the {n} features")
        if budget >= InputXGradient().least(n):
            return InputXGradient(), f"InputXGradient: only {budget:,} passes are granted"
    raise BudgetError(
        f"budget={budget} asked for {n} features; LeaveOneOut needs {single.least(n)}. "
        "Raise the budget, or take a coarser unit (sentence, paragraph).",
        needed=single.least(n),
        budget=budget,
    )
