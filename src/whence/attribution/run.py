"""From a question to an attribution: the method is chosen and run, its answer becomes a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from whence._version import __version__
from whence.attribution.gradient.integrated_gradients import IntegratedGradients
from whence.attribution.method import (
    AttentionMethod,
    Estimate,
    GameMethod,
    GradientMethod,
    GuidedMethod,
    Method,
)
from whence.attribution.registry import METHODS, choose, method_by_name
from whence.core.arrays import frozen_array
from whence.core.errors import (
    BudgetError,
    CapabilityError,
    GradientError,
    Interrupted,
    OptionError,
)
from whence.core.explanations import Attribution, Completeness
from whence.core.progress import Progress
from whence.core.provenance import Cost, MethodSpec, Provenance, environment, now
from whence.games.attention_game import AttentionGame
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, call_cache
from whence.games.embedding_game import EmbeddingGame
from whence.games.game import Game
from whence.games.maskers import Masker
from whence.games.question import Question
from whence.games.segmenters import segmenter_by_name
from whence.models.public_call import public_call

__all__ = ["Announce", "Forecast", "Plan", "answer", "plan_for"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Cost of a run before it begins: evaluations at most, and seconds measured on one of them.

    ``seconds`` is an upper estimate: evaluations in batches are seldom slower than one alone.

    Attributes:
        cheaper: options (name, value) of :func:`whence.explain` that take half the evaluations or
            less, and how many these are (of a gradient: passes).
    """

    method: str
    features: int
    evaluations: int
    seconds: float
    cheaper: tuple[tuple[str, str, int], ...] = ()


Announce = Callable[[Forecast], None]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A method for a question, with its least and usual number of evaluations (or passes).

    ``choice``: reason of ``method="auto"``; ``None`` where the caller chose.
    """

    method: Method
    choice: str | None
    least: int
    usual: int


def plan_for(
    question: Question,
    method: str | Method = "auto",
    *,
    options: dict[str, Any] | None = None,
    budget: int | None = None,
) -> Plan:
    """The method that answers a question, by name, instance or ``"auto"``.

    Args:
        question: question from :func:`whence.games.question.ask`.
        method: name (:data:`whence.attribution.METHODS`), an instance, or ``"auto"``.
        options: method's options, where it is given by name.
        budget: most evaluations, which ``"auto"`` chooses by.

    Raises:
        OptionError: an unknown method or option.
        BudgetError: no method works with so little.
    """
    if budget is not None and budget < 1:
        raise OptionError(f"expected a budget of 1 evaluation or more, got budget={budget}")
    n = len(question.segmentation)
    choice = None
    if isinstance(method, str) and method.casefold() == "auto":
        if options:
            raise OptionError(
                f"options {', '.join(options)} go with a named method, got method='auto'"
            )
        resolved, choice = choose(
            n, budget, gradients=question.differentiable, sources=question.asks_for_sources
        )
    else:
        resolved = method_by_name(method, options)
    return Plan(resolved, choice, *_sizes(question, resolved, n))


def _sizes(question: Question, method: Method, n: int) -> tuple[int, int]:
    """The least and the usual evaluations of a method for ``n`` features."""
    if isinstance(method, AttentionMethod):
        tokens = question.read()
        least, usual = method.least(n, tokens), method.default_budget(n, tokens)
    else:
        sized = cast("GameMethod | GradientMethod", method)
        least, usual = sized.least(n), sized.default_budget(n)
        if isinstance(method, GuidedMethod) and question.differentiable:
            guided = method.guided_budget(n)
            if method.wants_guide(n, guided):
                usual = guided + _guide().least(n)
    return least, max(usual, least)


@public_call
def answer(
    question: Question,
    plan: Plan,
    *,
    budget: int | None = None,
    seed: int = 0,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Attribution:
    """Score every feature of a question by its effect on the model's decision.

    Args:
        question: question from :func:`whence.games.question.ask`.
        plan: plan from :func:`plan_for`.
        budget: most evaluations (for gradient methods passes); none: what the method usually asks.
        seed: seed of the random generator.
        token_budget: tokens in a batch to begin with.
        cache: store of evaluations; none: one in memory for this call. What a
            store knows is used after one of its evaluations was made again with the same answer (one
            evaluation a call, counted), and not at all where a hook or a replaced ``forward`` decides
            too, which is noted.
        progress: callable of (what, done, total), called after each batch of evaluations.
        announce: function called with a :class:`Forecast` before long work begins.

    Raises:
        CapabilityError: the model lacks what the method needs.
        GradientError: the gradients are not of the model's answer to these ids.
        BudgetError: the budget is too small; the message gives the least.
        Interrupted: stopped by the user; finished evaluations stay in the store, where one was given.

    Example:
        >>> import whence
        >>> from whence.games.question import ask
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> question = ask(model, "late again")
        >>> answer(question, plan_for(question, "leave-one-out")).scores[:, 0].tolist()
        [1.0, 0.0]
    """
    if seed < 0:
        raise OptionError(f"expected a seed of 0 or more, got seed={seed}")
    started = time.perf_counter()
    answers = call_cache(cache)
    method = plan.method
    allowed = plan.usual if budget is None else budget
    if allowed < plan.least:
        raise BudgetError(
            f"{type(method).__name__} needs {plan.least:,} evaluations or more for "
            f"{len(question.segmentation)} features, got budget={budget}; raise the budget, take a "
            "coarser unit (sentence, paragraph), or method='auto'",
            needed=plan.least,
            budget=allowed,
        )
    notes: list[str] = []
    if isinstance(method, GradientMethod):
        passes = _embedding_game(method, question, allowed, token_budget)
        with _gradient_errors(method, question):
            estimate = method.estimate(passes, budget=allowed, seed=seed)
        # Nothing was made absent, so the record names no masker.
        cost, used = passes.cost, None
    elif isinstance(method, AttentionMethod):
        # No more than the method asks for anyhow, whose least does not know of prompts that were trained
        # and are read as keys.
        attention = _attention_game(method, question, budget, token_budget)
        with _gradient_errors(method, question):
            estimate = method.estimate(attention, budget=allowed, seed=seed)
        cost, used = attention.cost, None
    else:
        guide: _Guide | None = None
        if isinstance(method, GuidedMethod):
            guide = _guide_of(method, question, plan, allowed, token_budget)
            notes += guide.notes
            # Without a guide the method's own number of evaluations is taken; a budget stands.
            if budget is None and guide.scores is None:
                allowed = max(method.default_budget(len(question.segmentation)), plan.least)
            allowed -= guide.passes
        game = question.game(
            budget=allowed, cache=answers, token_budget=token_budget, progress=progress
        )
        # Where the arithmetic is the model's own, ask() gives the same object twice.
        if question.native is not question.readout:
            notes.append(question.deviation(game, seed, token_budget))
        if announce is not None:
            announce(_forecast(method, question, game, allowed))
        if guide is None or guide.scores is None:
            estimate = cast("GameMethod", method).estimate(game, budget=allowed, seed=seed)
        else:
            estimate = cast("GuidedMethod", method).estimate(
                game, budget=allowed, seed=seed, guide=guide.scores
            )
        cost, used = game.cost, question.masker
        if guide is not None:
            cost = Cost.total([cost, guide.cost])
        notes.append(f"absence: {question.masker.describes} ({question.why})")
        notes += answers.notes
    notes += question.notes(absent=used is not None)
    return _attribution(
        question, plan, estimate, cost, used, (*notes, *estimate.notes), seed, started
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Guide:
    """Scores of a cheap gradient for a guided method, or why there are none."""

    scores: Float[np.ndarray, "n k"] | None
    cost: Cost
    notes: tuple[str, ...] = ()
    # Those of the budget: what compares gradients with the model's answer is in the cost alone.
    passes: int = 0


def _guide() -> IntegratedGradients:
    # Its coarsest rule: on notes for embedded:health the fit was as faithful as with 15 points.
    return IntegratedGradients()


def _guide_of(
    method: GuidedMethod, question: Question, plan: Plan, allowed: int, token_budget: int
) -> _Guide:
    n = len(question.segmentation)
    gradient = _guide()
    passes = gradient.least(n)
    left = allowed - passes
    if not question.differentiable or left < plan.least or not method.wants_guide(n, left):
        return _Guide(None, Cost())
    path = question.embedding_game(budget=passes, token_budget=token_budget)
    try:
        scores = gradient.estimate(path, budget=passes, seed=0).scores
    except Interrupted:
        raise
    # Whatever a model's backward pass raises (an operation without a derivative, too little memory):
    # the scores do not need it, and what it would have saved is spent on evaluations.
    except Exception as error:
        note = f"not guided by a gradient: {error}"
        return _Guide(None, path.cost, (note,), path.gradient_passes)
    if not np.all(np.isfinite(scores)):
        note = "not guided by a gradient: it is not finite"
        return _Guide(None, path.cost, (note,), path.gradient_passes)
    return _Guide(scores, path.cost, (), path.gradient_passes)


def _embedding_game(
    method: Method, question: Question, budget: int, token_budget: int
) -> EmbeddingGame:
    if not question.differentiable:
        raise CapabilityError(
            f"{type(method).__name__} needs gradients; {question.model.identity.ref} gives only "
            f"scores{_reason(question)}. Methods that work here: {', '.join(_working(question))}"
        )
    return question.embedding_game(budget=budget, token_budget=token_budget)


def _attention_game(
    method: Method, question: Question, budget: int | None, token_budget: int
) -> AttentionGame:
    working = _working(question)
    if not question.attends:
        raise CapabilityError(
            f"{type(method).__name__} needs attention; {question.model.identity.ref} gives only "
            f"scores{_reason(question)}. Methods that work here: {', '.join(working)}"
        )
    return question.attention_game(budget=budget, token_budget=token_budget, alternatives=working)


@contextmanager
def _gradient_errors(method: Method, question: Question) -> Generator[None]:
    """Name the method, and those that work, where gradients are not of the model's own answer."""
    try:
        yield
    except GradientError as error:
        scores = [name for name, kind in METHODS.items() if kind.needs == "scores"]
        raise GradientError(
            f"{type(method).__name__} needs gradients, and those of {question.model.identity.ref} "
            f"are not of its answers: {error}. Methods that work here: {', '.join(scores)}"
        ) from error


def _reason(question: Question) -> str:
    reason = question.no_gradients()
    return "" if reason is None else f": {reason}"


def _working(question: Question) -> list[str]:
    """Methods that need nothing that the model lacks."""
    needs = {"scores", "gradients"} if question.differentiable else {"scores"}
    return [name for name, kind in METHODS.items() if kind.needs in needs]


def _forecast(method: Method, question: Question, game: Game, allowed: int) -> Forecast:
    # A model's first evaluation also allocates and chooses its kernels; the second one is timed.
    game.full()
    before = game.seconds
    game.empty()
    # The ends are asked by then, and there are no more coalitions than 2^n.
    most = min(allowed, 1 << game.n)
    seconds = (game.seconds - before) * max(0, most - 2)
    return Forecast(
        method=type(method).__name__,
        features=game.n,
        evaluations=most,
        seconds=seconds,
        cheaper=tuple(option for option in _cheaper(question) if 2 * option[2] <= most),
    )


def _cheaper(question: Question) -> Generator[tuple[str, str, int]]:
    """Coarser units and a gradient, with the evaluations that each takes by default."""
    document, n = question.segmentation.document, len(question.segmentation)
    for unit in ("sentence", "paragraph"):
        count = len(segmenter_by_name(unit).segment(document, question.encoding))
        if 1 < count < n:
            method, _ = choose(count, None, gradients=question.differentiable)
            yield "unit", unit, _sizes(question, method, count)[1]
    if question.differentiable:
        yield "method", "integrated-gradients", _sizes(question, IntegratedGradients(), n)[1]


def _attribution(
    question: Question,
    plan: Plan,
    estimate: Estimate,
    cost: Cost,
    masker: Masker | None,
    notes: tuple[str, ...],
    seed: int,
    started: float,
) -> Attribution:
    outcome, advice = estimate.outcome, estimate.advice
    rise = estimate.values - estimate.base_values
    completeness = None
    if estimate.additive:
        residual = rise - estimate.scores.sum(axis=0)
        # A share of no difference is undefined, and neither 0 nor infinite.
        relative = np.abs(residual) / np.where(rise == 0, np.nan, np.abs(rise))
        completeness = Completeness(
            residual=frozen_array(residual),
            relative=frozen_array(relative),
            by_construction=estimate.by_construction,
        )
    if not np.any(estimate.scores) and outcome == "converged":
        outcome = "degenerate"
        advice = (
            *advice,
            "every score is zero: removing a feature alone does not change this target",
        )
    errors = estimate.std_errors
    return Attribution(
        segmentation=question.segmentation,
        outputs=question.readout.outputs,
        scores=frozen_array(estimate.scores),
        std_errors=None if errors is None else frozen_array(errors),
        values=frozen_array(estimate.values),
        base_values=frozen_array(estimate.base_values),
        quantity=estimate.quantity or plan.method.quantity,
        decision=question.decision,
        completeness=completeness,
        outcome=outcome,
        advice=advice,
        notes=notes,
        unit=estimate.unit,
        provenance=Provenance(
            whence=__version__,
            created=now(),
            model=question.model.identity,
            method=MethodSpec.of(plan.method),
            masker=None if masker is None else MethodSpec.of(masker),
            segmenter=MethodSpec.of(question.segmenter),
            seed=seed,
            # A game times its evaluations; the caller waited for the fit as well.
            cost=replace(cost, seconds=time.perf_counter() - started),
            choice=plan.choice,
            environment=environment(),
        ),
    )
