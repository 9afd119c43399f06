"""``whence.specification_curve``: what stays of an explanation when defensible settings are varied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache as cached
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float

from whence._version import __version__
from whence.attribution.gradient.input_x_gradient import InputXGradient
from whence.attribution.gradient.integrated_gradients import IntegratedGradients
from whence.attribution.method import Method
from whence.attribution.perturbation.kernel_shap import KernelShap
from whence.attribution.perturbation.leave_one_out import LeaveOneOut
from whence.attribution.perturbation.lime import Lime
from whence.attribution.perturbation.shapley_values import ShapleyValues
from whence.attribution.registry import EXACT_BY_DEFAULT
from whence.attribution.run import answer, plan_for
from whence.core.errors import CapabilityError, InputError, OptionError, WhenceError
from whence.core.explanations import Attribution
from whence.core.features import Feature
from whence.core.progress import Progress
from whence.core.provenance import Cost, now
from whence.core.registry import slug
from whence.core.specification_curve import (
    SETTINGS,
    Specification,
    SpecificationCurve,
    Usable,
)
from whence.core.trust import TrustLabel
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, CallCache, call_cache
from whence.games.embedding_game import BASELINES
from whence.games.maskers import AttentionMask, Deletion, Masker, MaskToken, Replacement
from whence.games.question import Question, ask, ask_again, source_of
from whence.models.protocols import Input
from whence.models.public_call import public_call
from whence.workflows.judge import judge_question

__all__ = ["specification_curve"]

MASKERS: tuple[Masker, ...] = (Deletion(), MaskToken(), Replacement(), AttentionMask())
"""Absences that a reader of the field would accept. Padding is left out: no model was trained to
read it as a word."""

UNITS = ("word", "token")
SCALES = ("log_odds", "probability")
"""Beside the explanation's own, the first that is another: on the scale of odds an effect counts as
much near certainty as elsewhere, on that of probabilities hardly at all."""
SEEDS = (0, 1)
"""Added to the explanation's seed; for methods that sample."""

TIE = 1e-9
"""Share of the largest score up to which two scores are equal."""


@public_call
def specification_curve(
    model: Any,
    explanation: Attribution,
    *,
    output: int | str = 0,
    source: Input | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> SpecificationCurve:
    """Explain one decision under every combination of defensible settings, and say what stays.

    Varied are the method (Shapley values, leave-one-out, LIME; integrated gradients and input times
    gradient where the model gives gradients), what absence is (four maskers; six baselines), the
    scale, the unit (word, token) and the seed of what samples: what the model allows of them, all
    combinations. Each is judged by a quick trust label.

    Args:
        model: model that was explained, from :func:`whence.load`.
        explanation: finished explanation, whose feature with the highest score is the reason.
        output: output whose reason it is, by name or index.
        source: input, where the record does not hold it as it was given.
        token_budget: tokens in a batch to begin with.
        cache: store of evaluations; none: one in memory for this call.
        progress: callable of (what, done, total), called after each specification.

    Returns:
        Every specification with its choices, the share of the reason in its scores, whether the
        reason stays the highest, keeps its sign, and whether the verdict is the same. The shares are
        of a complete list and carry no interval; the specifications are no independent draws.

    Cost: some hundred evaluations for each absence, scale and unit; those that two specifications
    share are made once. The record says how many.

    Raises:
        CapabilityError: the scores have no sign.
        OptionError: no such output.
        InputError: the question cannot be put again to this model.

    Simonsohn, Simmons & Nelson (2020), doi:10.1038/s41562-020-0912-z.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> e = whence.explain(model, "late again and again", trust="off")
        >>> curve = whence.specification_curve(model, e)
        >>> curve.reason.text, curve.kept_top.share, len(curve.specifications)
        ('late', 1.0, 8)
    """
    column = explanation.output_index(output)
    if explanation.unit is not None:
        raise CapabilityError(
            f"expected scores with a sign, got {explanation.quantity} in {explanation.unit}: they say "
            "how much and not which way. Explain with method='auto'"
        )
    answers = call_cache(cache)
    reason = _reason(explanation, column)
    own = ask_again(model, explanation, source=source)
    label = explanation.trust
    costs: list[Cost] = []
    if label is None or label.output != explanation.outputs[column].name:
        label = judge_question(
            own, explanation, None, level="quick", output=column, cache=answers,
            token_budget=token_budget,
        )  # fmt: skip
        costs.append(label.cost)
    source = source_of(explanation.segmentation.document) if source is None else source
    runs, left_out = _runs(model, own, column, source, explanation.provenance.seed)
    found: list[Specification] = []
    for index, run in enumerate(runs):
        found.append(_specification(run, reason, answers, token_budget, costs))
        if progress is not None:
            progress("specifications", index + 1, len(runs))
    return SpecificationCurve(
        reason=explanation.segmentation.features[reason.index],
        output=explanation.outputs[column],
        score=float(explanation.scores[reason.index, column]),
        share=_share(explanation.scores[:, column], reason.index),
        choices=_choices_of(explanation, column),
        verdict=_verdict(label),
        specifications=tuple(found),
        left_out=left_out,
        model=own.model.identity,
        explanation=explanation.digest,
        cost=Cost.total(costs),
        whence=__version__,
        created=now(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Reason:
    """The feature whose standing is followed, the way it moves the output (+1 or -1), and the pool's seed."""

    index: int
    direction: float
    features: tuple[Feature, ...]
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One specification to be made: a question, a method, a seed, and how a record names them."""

    question: Question
    method: Method
    seed: int
    choices: dict[str, str]


def _reason(explanation: Attribution, column: int) -> _Reason:
    scores = explanation.scores[:, column]
    direction = 1.0 if scores.max() > 0 or not scores.any() else -1.0
    return _Reason(
        int(np.argmax(direction * scores)),
        direction,
        explanation.segmentation.features,
        explanation.provenance.seed,
    )


def _runs(
    model: Any, own: Question, column: int, source: Input, seed: int
) -> tuple[list[_Run], dict[str, str]]:
    """Every combination that the model allows, and the values that it does not."""
    left_out: dict[str, str] = {}
    output = own.readout.outputs[column]

    @cached
    def asked(link: str, unit: str) -> Question | None:
        try:
            return ask(
                model, source, target=output.target, link=link, unit=unit, precision=own.precision
            )
        except (OptionError, CapabilityError) as error:
            name = f"scale {link}" if unit == UNITS[0] else f"unit {unit}"
            left_out[name] = str(error)
            return None

    other = next(scale for scale in reversed(SCALES) if scale != output.link)
    pair = (output.link, other)
    scales = [scale for scale in pair if asked(scale, UNITS[0])]
    units = [unit for unit in UNITS if asked(output.link, unit)]
    runs: list[_Run] = []
    for scale, unit in product(scales, units):
        question = asked(scale, unit)
        for method, absence, masked in [] if question is None else _methods(question, left_out):
            for each in SEEDS if isinstance(method, KernelShap | Lime) else SEEDS[:1]:
                choices = (slug(type(method).__name__), absence, scale, unit, str(seed + each))
                run = _Run(masked, method, seed + each, dict(zip(SETTINGS, choices, strict=True)))
                runs.append(run)
    return runs, left_out


def _methods(
    question: Question, left_out: dict[str, str]
) -> Iterator[tuple[Method, str, Question]]:
    """Each method with each absence that it and the model allow, and the question with it."""
    n = len(question.segmentation)
    shapley: Method = ShapleyValues() if n <= EXACT_BY_DEFAULT else KernelShap()
    for masker in MASKERS:
        if not masker.works_with(question.model) or not _binds(question, masker, left_out):
            left_out.setdefault(f"absence {masker.name}", "the model lacks what it needs")
            continue
        for method in (shapley, LeaveOneOut(), Lime()):
            yield method, masker.name, replace(question, masker=masker, why="varied")
    if not question.differentiable:
        left_out["method integrated-gradients"] = "the model gives no gradients"
        return
    game = question.embedding_game()
    for baseline in BASELINES:
        try:
            game.baseline(baseline)
        except (OptionError, CapabilityError) as error:
            left_out[f"absence {baseline} embedding"] = str(error)
            continue
        yield IntegratedGradients(baseline=baseline), f"{baseline} embedding", question
    yield InputXGradient(), "zero embedding", question


def _binds(question: Question, masker: Masker, left_out: dict[str, str]) -> bool:
    try:
        question.game(masker=masker)
    except (OptionError, CapabilityError, InputError) as error:
        left_out[f"absence {masker.name}"] = str(error)
        return False
    return True


def _specification(
    run: _Run, reason: _Reason, answers: CallCache, token_budget: int, costs: list[Cost]
) -> Specification:
    """Explain with one choice of settings, and see where the reason stands."""
    try:
        plan = plan_for(run.question, run.method)
        result = answer(run.question, plan, seed=run.seed, cache=answers, token_budget=token_budget)
        costs.append(result.provenance.cost)
        if result.outcome == "not_converged":
            return Specification(choices=run.choices, failed="the scores did not converge")
        # On one pool for all: its answers are then asked once for each question.
        label = judge_question(
            run.question, result, None, level="quick", seed=reason.seed, cache=answers,
            token_budget=token_budget,
        )  # fmt: skip
        costs.append(label.cost)
    # Whatever a function of the user's raises for the texts of one masker: the others are not lost.
    except Exception as error:
        name = "" if isinstance(error, WhenceError) else f"{type(error).__name__}: "
        return Specification(choices=run.choices, failed=f"{name}{error}")
    parts = _parts(result, reason)
    if not any(part.is_reason for part in parts):
        return Specification(
            choices=run.choices, failed="no feature of this unit holds a character of the reason"
        )
    total = sum(abs(part.score) for part in parts)
    mine = sum(part.score for part in parts if part.is_reason)
    ahead = np.array([reason.direction * part.score for part in parts])
    best = float(ahead.max())
    ties = ahead >= best - TIE * abs(best)
    return Specification(
        choices=run.choices,
        top=parts[int(np.argmax(ahead))].text,
        share=mine / total if total else 0.0,
        keeps_top=best > 0 and any(parts[i].is_reason for i in np.flatnonzero(ties)),
        keeps_sign=reason.direction * mine > 0,
        verdict=_verdict(label),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A feature of the judged explanation with its score under other settings, or a feature of these."""

    text: str
    score: float
    is_reason: bool


def _parts(result: Attribution, reason: _Reason) -> list[_Part]:
    """The scores of smaller features summed over the judged explanation's; larger ones as they are."""
    own = reason.features
    summed: dict[int, float] = {}
    parts: list[_Part] = []
    for feature, score in zip(result.segmentation.features, result.scores[:, 0], strict=True):
        inside = [
            index
            for index, other in enumerate(own)
            if other.start < feature.end and feature.start < other.end
        ]
        if len(inside) == 1:
            summed[inside[0]] = summed.get(inside[0], 0.0) + float(score)
        else:
            parts.append(_Part(feature.text, float(score), reason.index in inside))
    return parts + [
        _Part(own[index].text, score, index == reason.index) for index, score in summed.items()
    ]


def _share(scores: Float[np.ndarray, " n"], index: int) -> float:
    total = float(np.abs(scores).sum())
    return float(scores[index]) / total if total else 0.0


def _verdict(label: TrustLabel) -> Usable:
    return "do not use" if label.grade == "abstain" else "usable"


def _choices_of(explanation: Attribution, column: int) -> dict[str, str]:
    """The settings of a finished explanation, by the names that a curve uses."""
    provenance = explanation.provenance
    baseline = provenance.method.options.get("baseline")
    absence = f"{baseline} embedding" if baseline else "none"
    if provenance.masker is not None:
        absence = slug(provenance.masker.name)
    unit = explanation.segmentation.unit
    link = explanation.outputs[column].link
    values = (slug(provenance.method.name), absence, link, unit, str(provenance.seed))
    return dict(zip(SETTINGS, values, strict=True))
