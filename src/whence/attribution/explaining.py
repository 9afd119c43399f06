"""``whence.explain``: from a model and an input to an attribution."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np

from whence._version import __version__
from whence.attribution.choosing import METHODS, choose, method_by_name
from whence.attribution.method import (
    AttentionMethod,
    Estimate,
    GameMethod,
    GradientMethod,
    Method,
)
from whence.core.arrays import frozen_array
from whence.core.errors import BudgetError, CapabilityError, OptionError
from whence.core.explanations import Attribution, Completeness
from whence.core.provenance import Cost, MethodSpec, Provenance
from whence.core.targets import Target
from whence.games.attended import AttendedGame
from whence.games.cache import Cache, MemoryCache
from whence.games.embedded import EmbeddedGame
from whence.games.game import Game
from whence.games.maskers import Masker
from whence.games.model_game import DEFAULT_TOKEN_BUDGET, Progress
from whence.games.question import Question, ask
from whence.games.segmenters import Segmenter

__all__ = ["Forecast", "explain"]

_CACHES: WeakKeyDictionary[Any, MemoryCache] = WeakKeyDictionary()
"""One cache in memory for each live model, so that explaining again goes on from before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a run is going to cost: evaluations at most, and seconds measured on one of them.

    ``seconds`` is an upper estimate: evaluations in batches are seldom slower than one alone.
    """

    method: str
    features: int
    evaluations: int
    seconds: float


Announce = Callable[[Forecast], None]


def explain(
    model: Any,
    source: Any,
    *,
    method: str | Method = "auto",
    target: Target | str | int | Sequence[Target] | None = None,
    link: str | None = None,
    unit: str | Segmenter = "word",
    masker: str | Masker = "auto",
    budget: int | None = None,
    seed: int = 0,
    precision: str = "native",
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    options: dict[str, Any] | None = None,
) -> Attribution:
    """Score every feature of an input by what it does to a model's decision.

    Args:
        model: from :func:`whence.load`.
        source: a text, a pair of texts (a tuple), or messages ``[{"role", "content"}, ...]``.
        method: a name (:data:`whence.attribution.METHODS`), an instance, or ``"auto"``, which
            chooses by the budget and records what it chose and why.
        target: what is explained: a target, several, or a label's name; none: the predicted
            label, or the continuation the model writes itself.
        link: the scale; none: log-odds for labels, log-probability for text.
        unit: token, word, sentence, paragraph, passage, turn, or a segmenter.
        masker: how absence is made, or ``"auto"``: the mask token where the model has one.
        budget: most model evaluations (coalitions; for gradient methods passes).
        seed: of whatever is drawn; the same seed gives the same scores, bit for bit.
        precision: ``"bfloat16"`` runs under autocast; its measured deviation is noted.
        token_budget: tokens in a batch to begin with.
        cache: where evaluations are kept; none: in memory, for as long as the model lives.
        progress: called after each batch with (answered, asked).
        announce: called with a :class:`Forecast` before long work begins.
        options: the method's options, where it is given by name.

    Returns:
        The scores with their errors, values at both ends, cost and provenance.

    Raises:
        InputError: nothing to explain, or a text that cannot be encoded.
        TextTooLongError: more tokens than the model reads.
        OptionError: an unknown or contradictory option, label, method or unit.
        CapabilityError: the model cannot give what is asked.
        BudgetError: the budget is too small; the message says what would do.
        Interrupted: stopped by the user; finished evaluations stay in the cache.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> e = whence.explain(model, "late and late again")
        >>> e.scores[:, 0].round(6).tolist()
        [1.0, 0.0, 1.0, 0.0]
    """
    if seed < 0:
        raise OptionError(f"seed={seed} asked; it must be 0 or more")
    if budget is not None and budget < 1:
        raise OptionError(f"budget={budget} asked; it must be 1 evaluation or more")
    started = time.perf_counter()
    question = ask(
        model, source, target=target, link=link, unit=unit, masker=masker, precision=precision
    )
    if cache is None:
        cache = _CACHES.setdefault(model, MemoryCache())
    chosen, choice = _method(method, options, question, budget)
    granted = _granted(chosen, question, budget)
    notes: list[str] = []
    if isinstance(chosen, GradientMethod):
        passes = _embedded(chosen, question, granted, token_budget)
        estimate = chosen.estimate(passes, budget=granted, seed=seed)
        cost, used = passes.cost, None
    elif isinstance(chosen, AttentionMethod):
        attended = _attended(chosen, question, granted, token_budget)
        estimate = chosen.estimate(attended, budget=granted, seed=seed)
        cost, used = attended.cost, None
    else:
        game = question.game(
            budget=granted, cache=cache, token_budget=token_budget, progress=progress
        )
        if precision == "bfloat16":
            notes.append(question.deviation(game, seed, token_budget))
        if announce is not None:
            announce(_forecast(chosen, game, granted))
        estimate = cast("GameMethod", chosen).estimate(game, budget=granted, seed=seed)
        cost, used = game.cost, question.masker
        notes.append(f"absence: {question.masker.describes} ({question.why})")
    notes += question.notes(absent=used is not None)
    return _attribution(
        question, chosen, choice, estimate, cost, used, (*notes, *estimate.notes), seed, started
    )


def _embedded(method: Method, question: Question, budget: int, token_budget: int) -> EmbeddedGame:
    if not question.differentiable:
        raise CapabilityError(
            f"{type(method).__name__} needs gradients; {question.model.identity.ref} gives only "
            f"scores. Methods that work here: {', '.join(_working(question))}"
        )
    return question.embedded(budget=budget, token_budget=token_budget)


def _attended(method: Method, question: Question, budget: int, token_budget: int) -> AttendedGame:
    working = _working(question)
    if not question.attends:
        raise CapabilityError(
            f"{type(method).__name__} needs attention; {question.model.identity.ref} gives only "
            f"scores. Methods that work here: {', '.join(working)}"
        )
    return question.attended(budget=budget, token_budget=token_budget, instead=working)


def _working(question: Question) -> list[str]:
    """Methods that ask the model for nothing it may not have."""
    needs = {"scores", "gradients"} if question.differentiable else {"scores"}
    return [name for name, kind in METHODS.items() if kind.needs in needs]


def _method(
    method: str | Method, options: dict[str, Any] | None, question: Question, budget: int | None
) -> tuple[Method, str | None]:
    if isinstance(method, str) and method.casefold() == "auto":
        if options:
            raise OptionError(
                f"options {', '.join(options)} given with method='auto'; name the method they are of"
            )
        n = len(question.segmentation)
        return choose(n, budget, gradients=question.differentiable)
    return method_by_name(method, options), None


def _granted(method: Method, question: Question, budget: int | None) -> int:
    n = len(question.segmentation)
    if isinstance(method, AttentionMethod):
        tokens = question.read()
        least, usual = method.least(n, tokens), method.default_budget(n, tokens)
    else:
        sized = cast("GameMethod | GradientMethod", method)
        least, usual = sized.least(n), sized.default_budget(n)
    if budget is None:
        return max(usual, least)
    if budget < least:
        raise BudgetError(
            f"budget={budget} asked; {type(method).__name__} needs at least {least:,} for {n} "
            "features. Raise the budget, take a coarser unit, or method='auto'.",
            needed=least,
            budget=budget,
        )
    return budget


def _forecast(method: Method, game: Game, granted: int) -> Forecast:
    game.full()
    before = game.seconds
    game.empty()
    most = granted if game.n >= 20 else min(granted, 1 << game.n)
    seconds = (game.seconds - before) * max(0, most - 2)
    return Forecast(
        method=type(method).__name__, features=game.n, evaluations=most, seconds=seconds
    )


def _attribution(
    question: Question,
    method: Method,
    choice: str | None,
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
        relative = np.abs(residual) / np.where(rise == 0, np.nan, np.abs(rise))
        completeness = Completeness(
            residual=frozen_array(residual),
            relative=frozen_array(relative),
            by_construction=estimate.by_construction,
        )
    if not np.any(estimate.scores) and outcome == "converged":
        outcome = "degenerate"
        advice = (*advice, "every score is zero: no feature moves this target by itself")
    errors = estimate.std_errors
    return Attribution(
        segmentation=question.segmentation,
        outputs=question.readout.outputs,
        scores=frozen_array(estimate.scores),
        std_errors=None if errors is None else frozen_array(errors),
        values=frozen_array(estimate.values),
        base_values=frozen_array(estimate.base_values),
        quantity=estimate.quantity or method.quantity,
        decision=question.decision,
        completeness=completeness,
        outcome=outcome,
        advice=advice,
        notes=notes,
        unit=estimate.unit,
        provenance=Provenance(
            whence=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            model=question.model.identity,
            method=MethodSpec.of(method),
            masker=None if masker is None else MethodSpec.of(masker),
            segmenter=MethodSpec.of(question.segmenter),
            seed=seed,
            cost=replace(cost, seconds=time.perf_counter() - started),
            choice=choice,
            environment=_environment(),
        ),
    )


def _environment() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("numpy", "torch", "transformers", "tokenizers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
