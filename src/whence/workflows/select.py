"""``whence.select`` and ``whence.compare``: methods side by side, on one input or on a task's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from whence._version import __version__
from whence.attribution.baseline.random import Random
from whence.attribution.method import Method
from whence.attribution.registry import METHODS, method_by_name
from whence.attribution.run import answer, plan_for
from whence.core.arrays import frozen_array
from whence.core.display import fragment_of, text_of
from whence.core.errors import BudgetError, CapabilityError, InputError, OptionError
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.core.progress import Progress
from whence.core.provenance import Cost, MethodSpec, now
from whence.core.registry import slug
from whence.core.selection import Candidate, Selection
from whence.core.targets import Target
from whence.evaluation.comparison.ensemble import cross_fitted, ensemble
from whence.evaluation.comparison.method_selection import Trial, choose, departs
from whence.evaluation.instance import Instance, instance_of
from whence.evaluation.mask_pool import SIZES
from whence.evaluation.metrics.base import Metric
from whence.evaluation.metrics.erasure import Comprehensiveness, Sufficiency
from whence.evaluation.metrics.permutation_test import permutation_test
from whence.evaluation.metrics.pool_fidelity import PoolFidelity
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, call_cache
from whence.games.maskers import Masker
from whence.games.question import Question, ask
from whence.games.segmenters import Segmenter
from whence.models.protocols import Input
from whence.models.public_call import public_call

__all__ = [
    "CANDIDATES",
    "Comparison",
    "Remembered",
    "compare",
    "method_of",
    "remembered",
    "select",
    "single_method",
]

CANDIDATES = (
    "kernel-shap",
    "leave-one-out",
    "lime",
    "integrated-gradients",
    "input-x-gradient",
    "value-zeroing",
    "gradient-weighted-attention",
    "random",
)
"""Methods that are compared unless others are named; random scores show what chance would do."""

ENSEMBLE = "ensemble"


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """A method that was chosen for a model, and why."""

    method: Method
    why: str


# Weak keys, since what is remembered must not keep gigabytes of weights alive.
_CHOSEN: WeakKeyDictionary[Any, tuple[str, Remembered]] = WeakKeyDictionary()
"""For each live model what was selected, with the fingerprint that it was selected for."""


def remembered(model: Any) -> Remembered | None:
    """What :func:`select` last chose for a model; nothing once its weights have changed."""
    stored = _CHOSEN.get(model)
    if stored is None or stored[0] != (model.identity.fingerprint or ""):
        return None
    return stored[1]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Methods side by side on one input, judged on one pool.

    Attributes:
        instance: input with its pool.
        explanations: explanations by name; the ensemble among them where there are two members or more.
        measurements: measurements of each name, the same metrics for all.
        p_values: permutation p of each name: the share of shuffled scores that do as well.
        failed: methods that could not be tried, and why.
        judging: evaluations that judging cost, the explanations' own not counted.
    """

    instance: Instance
    explanations: dict[str, Attribution]
    measurements: dict[str, tuple[Measurement, ...]]
    p_values: dict[str, float]
    failed: dict[str, str]
    judging: int

    def departs(self, winner: str) -> tuple[str, str]:
        """Whether this input calls for another method than its task's; see :func:`departs`."""
        # The ensemble was weighed by the masks that would propose it.
        scores = {
            name: e.scores[:, self.instance.output]
            for name, e in self.explanations.items()
            if name != ENSEMBLE
        }
        return departs(self.instance, winner, scores)

    def __str__(self) -> str:
        return text_of(self)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.explanations)}; failed: {', '.join(self.failed) or 'none'})"

    def _repr_html_(self) -> str:
        return fragment_of(self)


def single_method(selection: Selection) -> tuple[str, str]:
    """The name and the reason of the method that explains one text.

    The choice itself, or the one among single methods where the ensemble won: an ensemble costs all
    its members on every text.
    """
    trials = [
        Trial(candidate.name, selection.scores[row], candidate.evaluations)
        for row, candidate in enumerate(selection.candidates)
        if candidate.name != ENSEMBLE
    ]
    # Random scores are there to show what chance does.
    chance = {c.name for c in selection.candidates if c.method.name == Random.__name__}
    choice = choose([t for t in trials if t.name not in chance] or trials, seed=selection.seed)
    return choice.chosen, f"chosen on {selection.texts} texts: {choice.why}"


def method_of(selection: Selection, question: Question) -> Remembered:
    """The method that a stored selection chose, for a question of the same kind.

    Raises:
        OptionError: the selection was made for another model, unit or masker.
    """
    now, then = question.model.identity, selection.model
    if None not in (now.fingerprint, then.fingerprint) and now.fingerprint != then.fingerprint:
        raise OptionError(
            f"the selection was made for {then.ref} (fingerprint {str(then.fingerprint)[:12]}), got "
            f"{now.ref} (fingerprint {str(now.fingerprint)[:12]}); run whence select for this model"
        )
    for what, spec, other in (
        ("unit", selection.segmenter, MethodSpec.of(question.segmenter)),
        ("masker", selection.masker, MethodSpec.of(question.masker)),
    ):
        if spec != other:
            raise OptionError(
                f"the selection was made for {what} {spec}, got {other}; give the same {what}, or select "
                "anew"
            )
    name, why = single_method(selection)
    spec = next(c.method for c in selection.candidates if c.name == name)
    return Remembered(method_by_name(spec.name, dict(spec.options)), why)


@public_call
def compare(
    model: Any,
    source: Input,
    *,
    methods: Sequence[str | Method] | None = None,
    target: Target | str | int | None = None,
    link: str | None = None,
    unit: str | Segmenter = "word",
    masker: str | Masker = "auto",
    metrics: Sequence[Metric] | None = None,
    size: int = SIZES["default"],
    seed: int = 0,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
) -> Comparison:
    """Explain one input by several methods, and judge them all on one mask pool.

    Args:
        model: model from :func:`whence.load`.
        source: text, a pair of texts, or messages.
        methods: methods, by name or instance; none: :data:`CANDIDATES`.
        target: target to explain; none: what the model answers.
        link: scale of the scores; none: log-odds for labels, log-probability for text.
        unit: kind of feature: token, word, sentence, paragraph, passage, turn, or a segmenter.
        masker: masker, by name or instance, or ``"auto"``.
        metrics: metrics of :mod:`whence.evaluation`; none: pool fidelity, comprehensiveness, sufficiency.
        size: masks in the pool.
        seed: seed of the methods and of the masks.
        token_budget: tokens in a batch to begin with.
        cache: store of evaluations; none: one in memory for this call. What a
            store knows is used after one of its evaluations was made again with the same answer (one
            evaluation a call, counted), and not at all where a hook or a replaced ``forward`` decides
            too, which is noted.

    Cost: the methods' own evaluations, the pool, and the metrics' for each method.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> result = compare(model, "late and late again, they said", methods=["lime", "random"])
        >>> result.measurements["lime"][0].value > result.measurements["random"][0].value
        True
    """
    question = ask(model, source, target=target, link=link, unit=unit, masker=masker)
    answers = call_cache(cache)
    chosen = _methods(methods)
    instance = instance_of(question, size=size, seed=seed, cache=answers, token_budget=token_budget)
    explanations: dict[str, Attribution] = {}
    failed: dict[str, str] = {}
    for name, method in chosen.items():
        try:
            explanations[name] = answer(
                question,
                plan_for(question, method),
                seed=seed,
                token_budget=token_budget,
                cache=answers,
            )
        # Only what this model cannot give is passed over; any other error is a fault to be seen.
        except CapabilityError as error:
            failed[name] = str(error)
    joined = _ensemble(explanations, instance)
    if joined is not None:
        explanations[ENSEMBLE] = joined
    requested = (
        (PoolFidelity(), Comprehensiveness(), Sufficiency()) if metrics is None else tuple(metrics)
    )
    measurements: dict[str, tuple[Measurement, ...]] = {}
    p_values: dict[str, float] = {}
    for name, result in explanations.items():
        scores = result.scores[:, instance.output]
        measurements[name] = tuple(metric.measure(instance, scores) for metric in requested)
        p_values[name] = (
            permutation_test(instance, scores)[0]
            if name != ENSEMBLE
            else _unseen_p(explanations, instance)
        )
    return Comparison(
        instance, explanations, measurements, p_values, failed, instance.game.evaluations
    )


@public_call
def select(
    model: Any,
    texts: Sequence[Input],
    *,
    methods: Sequence[str | Method] | None = None,
    target: Target | str | int | None = None,
    link: str | None = None,
    unit: str | Segmenter = "word",
    masker: str | Masker = "auto",
    size: int = SIZES["default"],
    seed: int = 0,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Selection:
    """Choose the method for a model and its task, on texts like those to be explained.

    The winner by mean pool fidelity, or the cheapest within one standard error of it; the ensemble
    of all is one more candidate, judged on masks that did not weigh it. The choice is remembered
    for as long as the model lives and its weights stay; ``method="auto"`` takes it from then on
    (where the ensemble won, the best single method: an ensemble costs all its members).

    Args:
        model: model from :func:`whence.load`.
        texts: 50 to 100 inputs of the task; those that are judged later should be others.
        methods: candidates; none: :data:`CANDIDATES`.
        target: target to explain; none: what the model answers for each text.
        link: scale of the scores; none: log-odds for labels, log-probability for text.
        unit: kind of feature: token, word, sentence, paragraph, passage, turn, or a segmenter.
        masker: masker, by name or instance, or ``"auto"``.
        size: masks in each text's pool.
        seed: seed of the methods, the masks and the bootstrap.
        token_budget: tokens in a batch to begin with.
        cache: store of evaluations; none: one in memory for this call. What a
            store knows is used after one of its evaluations was made again with the same answer (one
            evaluation a call, counted), and not at all where a hook or a replaced ``forward`` decides
            too, which is noted.
        progress: callable of (what, done, total), called after each text.

    Raises:
        OptionError: no text, or no candidate that works with this model.
        InputError, BudgetError: no text can be judged; where some can, the others are listed in
            ``skipped``.

    Cost: for each text the methods' own evaluations, ``size`` + 1, and eight for each candidate.
    """
    if not texts:
        raise OptionError("expected texts of the task, got none; give about 50")
    rows: list[Comparison] = []
    skipped: dict[str, str] = {}
    refusal: InputError | BudgetError | None = None
    for number, text in enumerate(texts, start=1):
        try:
            row = compare(
                model,
                text,
                methods=methods,
                target=target,
                link=link,
                unit=unit,
                masker=masker,
                size=size,
                seed=seed,
                token_budget=token_budget,
                cache=cache,
            )
        # The text's own fault: too long for the model, empty, too many features for a method.
        except (InputError, BudgetError) as error:
            refusal = refusal or error
            skipped[str(number)] = str(error)
        else:
            rows.append(row)
        if progress is not None:
            progress("texts", number, len(texts))
    if refusal is not None and not rows:
        raise refusal
    return _selected(model, rows, _methods(methods), seed, skipped)


def _unseen_p(explanations: Mapping[str, Attribution], instance: Instance) -> float:
    """The ensemble's p-value on masks that did not weigh its members: half weighs, half judges."""
    members = {n: e.scores[:, instance.output] for n, e in explanations.items() if n != ENSEMBLE}
    # Fewer than four masks on either side neither weigh nor judge. Chosen by hand.
    if len(instance.pool) < 8:
        return 1.0
    # Weights fit the masks that they were learnt on; on the same masks the ensemble would beat its
    # members by that alone.
    weigh, test = instance.pool.halves()
    scores, _ = ensemble(members, weigh, output=instance.output)
    return permutation_test(replace(instance, pool=test), scores)[0]


def _selected(
    model: Any,
    rows: Sequence[Comparison],
    methods: Mapping[str, Method],
    seed: int,
    skipped: dict[str, str],
) -> Selection:
    # On every text: means over different texts cannot be compared.
    worked = [name for name in (*methods, ENSEMBLE) if all(name in r.explanations for r in rows)]
    if not worked:
        reasons = {why for row in rows for why in row.failed.values()}
        raise OptionError(f"no candidate works with this model: {'; '.join(sorted(reasons))}")
    fidelity = {
        name: np.array([_judged(row, name) for row in rows], dtype=np.float64) for name in worked
    }
    costs = {
        name: float(np.mean([_cost(row.explanations[name]) for row in rows])) for name in worked
    }
    trials = [Trial(name, fidelity[name], costs[name]) for name in worked]
    # Random scores are there to show what chance does.
    chance = tuple(name for name, method in methods.items() if isinstance(method, Random))
    choice = choose(trials, barred=chance if set(worked) - set(chance) else (), seed=seed)
    # A stable sort: equals keep the order in which the methods were named.
    order = sorted(worked, key=lambda name: -float(fidelity[name].mean()))
    candidates = tuple(
        Candidate(
            name=name,
            method=MethodSpec(name=ENSEMBLE) if name == ENSEMBLE else MethodSpec.of(methods[name]),
            fidelity=float(fidelity[name].mean()),
            interval=choice.means[name],
            behind=choice.behind[name],
            # The usual 5 % level, for each text.
            significant=float(np.mean([row.p_values[name] <= 0.05 for row in rows])),
            comprehensiveness=float(np.mean([row.measurements[name][1].value for row in rows])),
            sufficiency=float(np.mean([row.measurements[name][2].value for row in rows])),
            unit=rows[0].measurements[name][1].unit,
            evaluations=costs[name],
        )
        for name in order
    )
    single_ones = [c for c in candidates if c.name != ENSEMBLE] or candidates
    best = max(single_ones, key=lambda candidate: candidate.significant)
    # More than half of the texts; chosen by hand.
    explainable = best.significant > 0.5
    why = choice.why
    if not explainable:
        why += (
            f"; but no candidate beats chance on more than {100 * best.significant:.0f} % of the texts: no "
            "list of words explains this task"
        )
    question = rows[0].instance.question
    assert question is not None
    selection = Selection(
        model=question.model.identity,
        texts=len(rows),
        documents=tuple(_document(row.instance.question) for row in rows),
        candidates=candidates,
        scores=frozen_array(np.stack([fidelity[name] for name in order])),
        chosen=choice.chosen,
        why=why,
        explainable=explainable,
        failed={name: why for row in rows for name, why in row.failed.items()},
        skipped=skipped,
        pool=max(len(row.instance.pool) for row in rows),
        judging=float(np.mean([row.judging for row in rows])),
        seed=seed,
        masker=MethodSpec.of(question.masker),
        segmenter=MethodSpec.of(question.segmenter),
        cost=_total(rows),
        whence=__version__,
        created=now(),
    )
    # Per task and not per input, from here on: on GECO the best fixed method had an average
    # precision of .964, the choice per input by the pool .944 to .947.
    single, reason = single_method(selection)
    _CHOSEN[model] = (
        question.model.identity.fingerprint or "",
        Remembered(methods[single], reason),
    )
    return selection


def _judged(row: Comparison, name: str) -> float:
    """Pool fidelity; of the ensemble, on masks that did not weigh its members."""
    if name != ENSEMBLE:
        return row.measurements[name][0].value
    members = {
        n: e.scores[:, row.instance.output] for n, e in row.explanations.items() if n != name
    }
    return cross_fitted(members, row.instance.pool, output=row.instance.output)


def _cost(result: Attribution) -> float:
    cost = result.provenance.cost
    # A pass forward and backward counts as one, as in Candidate.evaluations.
    return float(cost.evaluations + cost.gradient_evaluations)


def _total(rows: Sequence[Comparison]) -> Cost:
    costs = [
        e.provenance.cost
        for row in rows
        for name, e in row.explanations.items()
        if name != ENSEMBLE
    ]
    costs += [row.instance.game.cost for row in rows]
    return Cost.total(costs)


def _document(question: Question | None) -> str:
    assert question is not None
    text = question.segmentation.document.text
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _methods(requested: Sequence[str | Method] | None) -> dict[str, Method]:
    chosen = [method_by_name(method) for method in (CANDIDATES if requested is None else requested)]
    named: dict[str, Method] = {}
    for method in chosen:
        plain = slug(type(method).__name__)
        # Two settings of one method get a number, so that neither overwrites the other.
        alike = sum(1 for name in named if name.split(" ")[0] == plain)
        named[f"{plain} {alike + 1}" if alike else plain] = method
    if not named:
        raise OptionError(
            f"expected a method or more, got none; choose from {', '.join(map(slug, METHODS))}"
        )
    return named


def _ensemble(explanations: Mapping[str, Attribution], instance: Instance) -> Attribution | None:
    """The members' scores on one scale, averaged; ``None`` for fewer than two members."""
    if len(explanations) < 2:
        return None
    members = {name: e.scores[:, instance.output] for name, e in explanations.items()}
    scores, weights = ensemble(members, instance.pool, output=instance.output)
    first = next(iter(explanations.values()))
    shown = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    cost = Cost.total(result.provenance.cost for result in explanations.values())
    # Members were weighed by one output; of the others nothing is known, and their columns are 0.
    columns = np.zeros((len(scores), len(first.outputs)))
    columns[:, instance.output] = scores
    return replace(
        first,
        scores=frozen_array(columns),
        std_errors=None,
        quantity="weighted mean of standardised scores",
        unit="standard deviation",
        completeness=None,
        outcome="converged" if np.any(scores) else "degenerate",
        advice=(),
        notes=(f"weights: {shown}",),
        provenance=replace(
            first.provenance,
            method=MethodSpec(name=ENSEMBLE, options={k: float(v) for k, v in weights.items()}),
            cost=cost,
            choice=None,
        ),
    )
