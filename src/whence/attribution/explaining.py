"""``whence.explain``: from a model and an input to an attribution."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast, get_args
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
from whence.core.errors import BudgetError, CapabilityError, OptionError, unknown
from whence.core.explanations import Attribution, Completeness, Decision
from whence.core.features import Segmentation
from whence.core.provenance import Cost, MethodSpec, Provenance
from whence.core.targets import LINKS, Continuation, Label, Link, Target
from whence.games.attended import AttendedGame
from whence.games.cache import Cache, MemoryCache
from whence.games.embedded import EmbeddedGame
from whence.games.game import Game
from whence.games.maskers import Deletion, Masker, default_masker, masker_by_name
from whence.games.model_game import DEFAULT_TOKEN_BUDGET, ModelGame, Progress, TextGame, TokenGame
from whence.games.segmenters import Segmenter, segmenter_by_name
from whence.games.tokens import FeatureTokens, align
from whence.models.interface import (
    Encoding,
    GivesGradients,
    GivesHeads,
    Input,
    Model,
    Precision,
    Readout,
    TextModel,
    TokenModel,
)

__all__ = ["Forecast", "explain"]

_CACHES: WeakKeyDictionary[Any, MemoryCache] = WeakKeyDictionary()
"""One cache in memory for each live model, so that explaining again goes on from before."""

PROBES = 8
"""Coalitions on which bf16 is compared with the model's own precision."""


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
    if not isinstance(model, Model):
        raise OptionError(
            f"{type(model).__name__} is no model whence can ask; load it first: "
            "whence.load(model_id), whence.load((module, tokenizer)) or whence.load(function)"
        )
    if seed < 0:
        raise OptionError(f"seed={seed} asked; it must be 0 or more")
    if budget is not None and budget < 1:
        raise OptionError(f"budget={budget} asked; it must be 1 evaluation or more")
    if precision not in get_args(Precision):
        raise unknown("precision", precision, get_args(Precision))
    if link is not None and link not in LINKS:
        raise unknown("link", link, LINKS)
    started = time.perf_counter()
    question = _ask(
        model,
        source,
        _targets(target),
        link,
        unit,
        masker,
        cast("Precision", precision),
    )
    if cache is None:
        cache = _CACHES.setdefault(model, MemoryCache())
    chosen, choice = _method(method, options, question, budget)
    granted = _granted(chosen, question, budget)
    notes: list[str] = []
    if isinstance(chosen, GradientMethod):
        passes = question.embedded(chosen, granted, token_budget)
        estimate = chosen.estimate(passes, budget=granted, seed=seed)
        cost, used = passes.cost, None
    elif isinstance(chosen, AttentionMethod):
        attended = question.attended(chosen, granted, token_budget)
        estimate = chosen.estimate(attended, budget=granted, seed=seed)
        cost, used = attended.cost, None
    else:
        game = question.game(granted, cache, token_budget, progress)
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


def _targets(target: Target | str | int | Sequence[Target] | None) -> tuple[Target, ...]:
    if target is None:
        return ()
    if isinstance(target, bool):
        raise OptionError(f"target={target} asked; a label, a target or several are due")
    if isinstance(target, str | int):
        return (Label(label=target),)
    if isinstance(target, Sequence):
        return tuple(target)
    return (target,)


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """One input of one model, segmented and with its targets resolved."""

    model: Model
    segmentation: Segmentation
    segmenter: Segmenter
    readout: Readout
    decision: Decision
    masker: Masker
    why: str
    encoding: Encoding | None
    tokens: FeatureTokens | None
    native: Readout | None

    def game(
        self,
        budget: int | None,
        cache: Cache | None,
        token_budget: int,
        progress: Progress | None = None,
        readout: Readout | None = None,
    ) -> ModelGame:
        readout = readout or self.readout
        if self.encoding is not None and self.tokens is not None:
            return TokenGame(
                cast("TokenModel", self.model),
                self.encoding,
                readout,
                self.tokens,
                self.masker,
                budget=budget,
                cache=cache,
                token_budget=token_budget,
                progress=progress,
            )
        return TextGame(
            cast("TextModel", self.model),
            self.segmentation.document,
            self.segmentation,
            readout,
            self.masker,
            budget=budget,
            cache=cache,
            progress=progress,
        )

    def embedded(self, method: Method, budget: int, token_budget: int) -> EmbeddedGame:
        if self.encoding is None or self.tokens is None or not _differentiable(self.model):
            names = [name for name, kind in METHODS.items() if kind.needs == "scores"]
            raise CapabilityError(
                f"{type(method).__name__} needs gradients; {self.model.identity.ref} gives only "
                f"scores. Methods that work here: {', '.join(names)}"
            )
        model = cast("TokenModel", self.model)
        return EmbeddedGame(
            model,
            self.encoding,
            self.readout,
            self.tokens,
            budget=budget,
            token_budget=token_budget,
        )

    def attended(self, method: Method, budget: int, token_budget: int) -> AttendedGame:
        scored = [
            name
            for name, kind in METHODS.items()
            if kind.needs == "scores" or (kind.needs == "gradients" and _differentiable(self.model))
        ]
        if self.encoding is None or self.tokens is None or not _attends(self.model):
            raise CapabilityError(
                f"{type(method).__name__} needs attention; {self.model.identity.ref} gives only "
                f"scores. Methods that work here: {', '.join(scored)}"
            )
        return AttendedGame(
            cast("TokenModel", self.model),
            self.encoding,
            self.readout,
            self.tokens,
            budget=budget,
            token_budget=token_budget,
            instead=scored,
        )

    def read(self) -> int:
        """Tokens read in one pass over the text with each forced sequence after it."""
        passes = len(getattr(self.readout, "sequences", ())) or 1
        size = 0 if self.encoding is None else len(self.encoding.ids)
        return passes * size + self.readout.extra_tokens

    def deviation(self, game: Game, seed: int, token_budget: int) -> str:
        """How far bf16 is from the model's own precision, measured on a few coalitions."""
        rng = np.random.default_rng(seed)
        n = len(self.segmentation)
        coalitions = rng.random((PROBES, n)) < rng.random((PROBES, 1))
        coalitions[0] = True
        # In a game of its own: the comparison is no part of the explanation's budget.
        rough = self.game(None, None, token_budget)(coalitions)
        exact = self.game(None, None, token_budget, readout=self.native)(coalitions)
        worst = float(np.abs(rough - exact).max())
        unit = game.outputs[0].unit
        return (
            f"bf16 autocast: largest deviation from the model's own precision {worst:.2g} {unit} "
            f"on {PROBES} coalitions (2 x {PROBES} evaluations beside the cost shown)"
        )

    def notes(self, *, absent: bool) -> list[str]:
        found: list[str] = []
        bare = absent and self.tokens is not None and bool(np.all(self.tokens.owner >= 0))
        if bare and isinstance(self.masker, Deletion):
            found.append("with every feature absent, the model reads its start token alone")
        unread = self.segmentation.unread
        if unread:
            text = self.segmentation.document.text
            shown = ", ".join(repr(text[span.start : span.end]) for span in unread[:5])
            found.append(
                f"{len(unread)} span(s) reach no token, so the model never reads them: {shown}"
            )
        return found


def _differentiable(model: Model) -> bool:
    return isinstance(model, TokenModel) and isinstance(model, GivesGradients)


def _attends(model: Model) -> bool:
    return _differentiable(model) and isinstance(model, GivesHeads)


def _ask(
    model: Model,
    source: Input,
    targets: tuple[Target, ...],
    link: Link | None,
    unit: str | Segmenter,
    masker: str | Masker,
    precision: Precision,
) -> _Question:
    segmenter = segmenter_by_name(unit)
    asked = None if masker == "auto" else masker_by_name(masker)
    if isinstance(model, TokenModel):
        targets = _as_text(targets, model)
        encoding = model.encode(source)
        raw = segmenter.segment(encoding.document, encoding)
        segmentation, tokens = align(raw, encoding)
        chosen, why = default_masker(model, tokens) if asked is None else (asked, "asked for")
        native = model.readout(encoding, targets, link=link)
        readout = native
        if precision != "native":
            resolved = tuple(dict.fromkeys(output.target for output in native.outputs))
            readout = model.readout(encoding, resolved, link=link, precision=precision)
        return _Question(
            model,
            segmentation,
            segmenter,
            readout,
            _decision(model, encoding, native, targets),
            chosen,
            why,
            encoding,
            tokens,
            native,
        )
    if not isinstance(model, TextModel):
        raise CapabilityError(
            f"{model.identity.ref} reads neither tokens nor text; it must be a TokenModel or a "
            "TextModel of whence.models"
        )
    if precision != "native":
        raise CapabilityError(f"precision={precision!r} asked; {model.identity.ref} has its own")
    document = model.encode_text(source)
    segmentation = segmenter.segment(document, None)
    chosen, why = default_masker(model) if asked is None else (asked, "asked for")
    readout = model.readout_text(document, targets, link=link)
    decision = model.decide_text(document)
    return _Question(
        model, segmentation, segmenter, readout, decision, chosen, why, None, None, readout
    )


def _decision(
    model: TokenModel, encoding: Encoding, readout: Readout, targets: tuple[Target, ...]
) -> Decision:
    """What the model says: of a model that writes, its own continuation where that is explained."""
    decision = model.decide(encoding)
    if model.task in ("causal", "seq2seq") and _is_own(targets):
        return replace(decision, text=readout.outputs[0].name)
    return decision


def _is_own(targets: tuple[Target, ...]) -> bool:
    """Whether the continuation explained is the one the model writes itself."""
    return all(
        isinstance(t, Continuation) and t.text is None and t.token_ids is None and not t.per_token
        for t in targets
    )


def _as_text(targets: tuple[Target, ...], model: TokenModel) -> tuple[Target, ...]:
    """A bare name is a label for a classifier, and a continuation for a model that writes."""
    if model.task not in ("causal", "seq2seq"):
        return targets
    return tuple(
        Continuation(text=target.label)
        if isinstance(target, Label) and isinstance(target.label, str)
        else target
        for target in targets
    )


def _method(
    method: str | Method, options: dict[str, Any] | None, question: _Question, budget: int | None
) -> tuple[Method, str | None]:
    if isinstance(method, str) and method.casefold() == "auto":
        if options:
            raise OptionError(
                f"options {', '.join(options)} given with method='auto'; name the method they are of"
            )
        n = len(question.segmentation)
        return choose(n, budget, gradients=_differentiable(question.model))
    return method_by_name(method, options), None


def _granted(method: Method, question: _Question, budget: int | None) -> int:
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
    question: _Question,
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
