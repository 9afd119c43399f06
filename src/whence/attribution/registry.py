"""Methods by name, and the method that a budget allows."""

from __future__ import annotations

from typing import Any

from whence.attribution.gradient.input_x_gradient import InputXGradient
from whence.attribution.gradient.integrated_gradients import IntegratedGradients
from whence.attribution.method import Method
from whence.attribution.perturbation.kernel_shap import UNGUIDED, KernelShap
from whence.attribution.perturbation.leave_one_out import LeaveOneOut
from whence.attribution.perturbation.linear_datamodel import LinearDatamodel
from whence.attribution.perturbation.shapley_values import MOST_FEATURES, ShapleyValues
from whence.core.errors import BudgetError
from whence.core.registry import Registry

__all__ = ["METHODS", "choose", "method_by_name"]

METHODS: Registry[Method] = Registry(
    "method",
    Method,
    [
        "whence.attribution.perturbation",
        "whence.attribution.gradient",
        "whence.attribution.attention",
        "whence.attribution.baseline",
    ],
    also=("auto",),
)
"""Every attribution method by its name, the most dependable first."""

EXACT_BY_DEFAULT = 10
"""Features up to which all coalitions are evaluated when no budget is given: 1,024 evaluations, about
a second of a small model. Chosen by hand."""


def method_by_name(name: str | Method, options: dict[str, Any] | None = None) -> Method:
    """A method by class name or slug (``KernelShap``, ``kernel-shap``), with its options.

    Raises:
        OptionError: no such method or option; the message names the nearest.

    Example:
        >>> method_by_name("lime", {"ridge": 0.1})
        Lime(kernel_width=0.25, ridge=0.1)
    """
    return METHODS.make(name, options)


def choose(
    n: int, budget: int | None, *, gradients: bool, sources: bool = False
) -> tuple[Method, str]:
    """A method that the budget allows for ``n`` features, and the reason in a sentence.

    Exact Shapley values where all coalitions fit; else a designed sample of them; with few
    evaluations one per feature; with hardly any a gradient, where the model gives one. For the
    sources of an answer a linear datamodel, which predicts best what removals do
    (``benchmarks.context_attribution``), where the budget allows for one.

    Raises:
        BudgetError: no method works with so little.
    """
    datamodel = LinearDatamodel()
    if sources and (budget is None or budget >= datamodel.least(n)):
        return datamodel, (
            "LinearDatamodel: for statements of a context and an answer that the model writes, the "
            "scores that predict best what removals of several do"
        )
    exact = ShapleyValues()
    if n <= MOST_FEATURES and (n <= EXACT_BY_DEFAULT if budget is None else (1 << n) <= budget):
        limit = "no budget was set" if budget is None else f"the budget is {budget:,}"
        return exact, f"ShapleyValues: all {1 << n:,} coalitions of {n} features fit ({limit})"
    sampled = KernelShap()
    if budget is None:
        usual = sampled.guided_budget(n) if gradients else sampled.default_budget(n)
        return sampled, (
            f"KernelShap: {n} features have too many coalitions to take all; {usual:,} "
            "evaluations are sampled, and the standard errors say how sure the scores are"
        )
    if budget >= UNGUIDED * n + 2:
        return sampled, f"KernelShap: {budget:,} evaluations for {n} features, by sampling"
    path = IntegratedGradients()
    if gradients and budget >= sampled.least(n) + path.least(n):
        return sampled, (
            f"KernelShap: {budget:,} evaluations for {n} features, by sampling with a gradient as guide"
        )
    single = LeaveOneOut()
    if budget >= single.least(n):
        return single, (
            f"LeaveOneOut: {budget:,} evaluations are too few to sample coalitions of {n} features"
        )
    if gradients:
        # 17 passes: 15 points and both ends, the second rule of integrated gradients.
        if budget >= 17:
            return path, (f"IntegratedGradients: {budget:,} passes are fewer than the {n} features")
        if budget >= InputXGradient().least(n):
            return InputXGradient(), f"InputXGradient: the budget is {budget:,} passes"
    raise BudgetError(
        f"LeaveOneOut needs {single.least(n)} evaluations for {n} features, got budget={budget}; "
        "raise the budget, or take a coarser unit (sentence, paragraph)",
        needed=single.least(n),
        budget=budget,
    )
