"""Stability: whether the same words come up when the question is put again a little otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, OptionError, unknown
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.evaluation.instance import Explain, Instance, Neighbours
from whence.evaluation.metrics.permutation_test import noise_share
from whence.evaluation.robustness.rank_agreement import (
    PERSISTENCE,
    Agreement,
    agreement,
    align_features,
    jaccard_chance,
    least_overlap_chance,
    sign_chance,
    without_noise,
)
from whence.evaluation.robustness.text_perturbations import (
    TEMPLATES,
    Perturbation,
    PerturbationSet,
    decides,
    holds,
    kept_edits,
    neutral_edits,
    own_neighbours,
    synonyms,
    templates,
    typos,
)
from whence.games.cache import MemoryCache
from whence.games.question import Question
from whence.models.protocols import Row, TextModel, TokenModel

__all__ = ["AXES", "Axis", "Stability", "batch_deviation", "stability"]

Axis = Literal[
    "seed",
    "typo",
    "neutral",
    "synonym",
    "template",
    "padding",
    "batch",
    "dtype",
    "quantisation",
    "masker",
]
AXES: tuple[Axis, ...] = (
    "seed",
    "typo",
    "neutral",
    "synonym",
    "template",
    "padding",
    "batch",
    "dtype",
    "quantisation",
    "masker",
)
USUAL: tuple[Axis, ...] = ("seed", "typo", "neutral")
PROBES = 8
"""Coalitions on which answers alone and in a batch are compared. Chosen by hand: rounding shows in
any of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """The agreement along each axis.

    Attributes:
        measurements: for each axis the least rank-biased overlap, and the mean top-k Jaccard, sign
            agreement and Kendall's tau; of padding and batch, how far the answers move.
        repeats: for each axis, every repetition: what was changed, and how far it agreed.
        discarded: edits that moved the prediction and were not counted.
        open: axes along which nothing could be compared, with the reason.
        explanations: number of times the method ran.
    """

    measurements: tuple[Measurement, ...]
    repeats: dict[Axis, tuple[tuple[str, Agreement], ...]]
    discarded: tuple[str, ...]
    open: tuple[str, ...]
    explanations: int
    share_discarded: dict[Axis, float] = field(default_factory=dict[Axis, float])

    @property
    def least(self) -> Measurement | None:
        """The axis on which the explanation holds least: the answer to "same if asked again?"."""
        overlaps = [m for m in self.measurements if m.name.startswith("overlap-")]
        return min(overlaps, key=lambda m: m.value, default=None)

    def measurement(self, name: str) -> Measurement:
        """A measurement by its name, such as ``"overlap-typo"``.

        Raises:
            OptionError: it was not made.
        """
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        raise unknown("measurement", name, [m.name for m in self.measurements])


def stability(
    instance: Instance,
    explanation: Attribution,
    explain: Explain,
    *,
    axes: Sequence[str] = USUAL,
    repeats: int = 3,
    neighbours: Neighbours | None = None,
    wordings: Sequence[str] = TEMPLATES,
    variants: Mapping[Axis, Sequence[Explain]] | None = None,
) -> Stability:
    """Explain again along some axes, and compare with the first explanation.

    Only changes that leave the prediction as it was count. ``random`` is what shuffled scores
    would give: the least of as many shuffles, where the value is a least. Scores within the noise
    of the first explanation are level: their order is not compared.

    ``dtype`` and ``quantisation`` round the weights (:func:`whence.models.weights.quantize.quantize`).
    ``padding`` and ``batch`` compare the model's answers on eight coalitions, asked one by one,
    with the same rows beside a longer one and in one batch; they are tests for a fault: more than
    1e-4 in float32 is one.

    Args:
        instance: input that was explained.
        explanation: explanation.
        explain: same method on another input, with another seed. It must read the model as
            it is at that moment.
        axes: names from :data:`AXES`.
        repeats: explanations for each axis.
        neighbours: function that proposes synonyms; none: the model's own embeddings.
        wordings: templates.
        variants: for an axis, other ways to explain the same input, such as with another masker,
            which is needed for ``masker`` and may be given for ``batch``, ``padding``, ``dtype``.

    Cost: ``repeats`` explanations an axis, and a pass for each edit tried.

    Raises:
        OptionError: an unknown axis, or one that needs a variant.
    """
    question = instance.question
    if question is None:
        raise CapabilityError("stability needs the question behind the game; this game is analytic")
    wrong = [name for name in axes if name not in AXES]
    if wrong:
        raise unknown("axis", wrong[0], AXES)
    if repeats < 1:
        raise OptionError(f"expected repeats of 1 or more, got repeats={repeats}")
    run = _Run(instance, question, explanation, explain, repeats)
    # In one order, however the caller lists them: results stand alike in every record.
    for axis in AXES:
        if axis not in axes:
            continue
        others = (variants or {}).get(axis)
        if axis in ("padding", "batch"):
            run.measured(batch_deviation(instance, question, axis))
        if others is not None:
            for number, other in enumerate(others):
                run.compare(axis, f"variant {number}", other(question.source, run.seed))
        elif axis == "seed":
            for number in range(1, repeats + 1):
                seed = run.seed + number
                run.compare(axis, f"seed {seed}", explain(question.source, seed))
        elif axis in ("typo", "neutral", "synonym", "template"):
            run.edited(axis, lambda axis=axis: run.edits(axis, neighbours, wordings))
        elif axis in ("dtype", "quantisation"):
            run.rounded(axis)
        elif axis == "masker":
            raise OptionError(
                "axis 'masker' asked without variants={'masker': [...]}: functions that explain "
                "with another masker"
            )
        run.conclude(axis)
    return Stability(
        measurements=tuple(run.measurements),
        repeats={axis: tuple(rows) for axis, rows in run.repeats.items()},
        discarded=tuple(run.discarded),
        open=tuple(run.open),
        explanations=run.explanations,
        share_discarded=run.shares,
    )


class _Run:
    """One pass over the axes."""

    def __init__(
        self,
        instance: Instance,
        question: Question,
        explanation: Attribution,
        explain: Explain,
        count: int,
    ) -> None:
        self.instance, self.question, self.explanation = instance, question, explanation
        self.explain, self.count = explain, count
        # Only the axis "seed" takes another: elsewhere the noise of sampling would be counted as
        # well.
        self.seed = explanation.provenance.seed
        scores = np.array(explanation.scores[:, instance.output])
        self.noise = noise_share(instance, scores)
        self.scores = without_noise(scores, self.noise)
        self.texts = [feature.text for feature in explanation.segmentation.features]
        self.before = decides(question, question.source)
        self.measurements: list[Measurement] = []
        self.repeats: dict[Axis, list[tuple[str, Agreement]]] = {}
        self.discarded: list[str] = []
        self.open: list[str] = []
        self.shares: dict[Axis, float] = {}
        self.explanations = 0

    def compare(self, axis: Axis, says: str, again: Attribution) -> None:
        self.explanations += 1
        texts = [feature.text for feature in again.segmentation.features]
        other = without_noise(np.array(again.scores[:, self.instance.output]), self.noise)
        pairs = align_features(self.texts, texts)
        self.repeats.setdefault(axis, []).append((says, agreement(self.scores, other, pairs)))

    def edits(
        self, axis: Axis, neighbours: Neighbours | None, wordings: Sequence[str]
    ) -> PerturbationSet:
        edits: Any
        if axis == "typo":
            edits = typos(self.question, self.scores, seed=self.instance.seed)
        elif axis == "neutral":
            edits = neutral_edits(self.question)
        elif axis == "template":
            edits = templates(self.question, wordings)
        else:
            who = neighbours
            if who is None:
                if not isinstance(self.question.model, TokenModel):
                    raise CapabilityError(
                        f"{self.question.model.identity.ref} is read in text and has no "
                        "embeddings to find neighbours in; give neighbours=..."
                    )
                who = own_neighbours(self.question.model)
            edits = synonyms(self.question, self.scores, who, seed=self.instance.seed)
        return kept_edits(self.question, self.before, edits, self.count)

    def edited(self, axis: Axis, perturb: Callable[[], PerturbationSet]) -> None:
        perturbations = perturb()
        self.discarded += perturbations.discarded
        self.shares[axis] = perturbations.share_discarded
        for edit in perturbations.kept:
            self._again(axis, edit)

    def _again(self, axis: Axis, edit: Perturbation) -> None:
        self.compare(axis, edit.says, self.explain(edit.source, self.seed))

    def rounded(self, axis: Axis) -> None:
        # The room of models is entered only where weights are touched: it brings torch along.
        from whence.models.weights.quantize import quantize

        model: Any = self.question.model
        if not hasattr(model, "module"):
            self.open.append(f"{axis}: {model.identity.ref} has no weights to round")
            return
        to = "bfloat16" if axis == "dtype" else "int8"
        context: AbstractContextManager[Any] = quantize(model, to)
        with context:
            why = holds(self.before, decides(self.question, self.question.source))
            self.shares[axis] = float(why is not None)
            if why is not None:
                self.discarded.append(f"{axis}: weights rounded to {to}: {why}")
                return
            again = self.explain(self.question.source, self.seed)
        self.compare(axis, f"weights rounded to {to}", again)

    def measured(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    def conclude(self, axis: Axis) -> None:
        agreements = [each for _, each in self.repeats.get(axis, [])]
        if not agreements:
            if axis not in ("padding", "batch") and not any(o.startswith(axis) for o in self.open):
                self.open.append(f"{axis}: no change left the prediction as it was")
            return
        # The least of several is below the mean of one, so its chance level is the least of as
        # many.
        least = least_overlap_chance(self.scores, len(agreements), seed=self.instance.seed)
        rows = (
            ("overlap", "rank-biased overlap", min(a.overlap for a in agreements), least.value),
            (
                "jaccard",
                "top-k Jaccard",
                _mean([a.jaccard for a in agreements]),
                jaccard_chance(self.scores, self.scores).value,
            ),
            (
                "signs",
                "share of signs",
                _mean([a.signs for a in agreements]),
                sign_chance(self.scores, self.scores).value,
            ),
            ("tau", "tau_b", _mean([a.tau for a in agreements]), 0.0),
        )
        for name, unit, value, random in rows:
            self.measurements.append(
                Measurement(
                    name=f"{name}-{axis}",
                    value=value,
                    unit=unit,
                    n=len(agreements),
                    direction="higher",
                    interval=None,
                    specification=self.instance.specification(
                        "stability", axis=axis, repeats=self.count, p=PERSISTENCE, top=0.2
                    ),
                    random=random,
                    best=1.0,
                )
            )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def batch_deviation(
    instance: Instance, question: Question, axis: Literal["padding", "batch"]
) -> Measurement:
    """How far answers move when rows are read beside a longer one, or all in one batch.

    The largest difference over eight coalitions to the answers had one by one, in the output's
    unit. Cost: 16 evaluations, 8 more rows for padding.
    """
    rng = np.random.default_rng([instance.seed, 21])
    coalitions = rng.random((PROBES, instance.n)) < rng.random((PROBES, 1))
    coalitions[0] = True
    if axis == "batch":
        # A budget of one token puts every row in a batch of its own. Each game has a fresh cache,
        # else the second would repeat the first one's answers.
        alone = question.game(cache=MemoryCache(), token_budget=1)(coalitions)
        together = question.game(cache=MemoryCache(), token_budget=1 << 20)(coalitions)
    else:
        alone, together = _beside_a_longer_one(question, coalitions)
    moved = np.abs(alone - together)[:, instance.output]
    return Measurement(
        name=f"deviation-{axis}",
        value=float(moved.max()),
        unit=instance.what.unit,
        n=PROBES,
        direction="lower",
        interval=None,
        specification=instance.specification("batch_deviation", axis=axis, probes=PROBES),
        best=0.0,
    )


def _beside_a_longer_one(
    question: Question, coalitions: Float[np.ndarray, "m n"] | Any
) -> tuple[Float[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    model, readout = question.model, question.readout
    if isinstance(model, TokenModel) and question.encoding is not None:
        assert question.tokens is not None
        tokens = question.tokens.anchored(readout)
        rows = question.masker.bind(model, question.encoding, tokens)(coalitions)
        ids, types = question.encoding.ids, question.encoding.token_types
        # Twice the text, as far as the model reads: any longer row makes the others be padded.
        most = model.vocabulary.limit or 2 * len(ids)
        # The row beside need not mean anything: its answer is not looked at.
        longer = Row(
            ids=np.tile(ids, 2)[:most],
            token_types=None if types is None else np.tile(types, 2)[:most],
        )
        alone = [model.evaluate([row], readout).values[0] for row in rows]
        beside = [model.evaluate([row, longer], readout).values[0] for row in rows]
        return np.stack(alone), np.stack(beside)
    assert isinstance(model, TextModel)
    document, segmentation = question.segmentation.document, question.segmentation
    texts = question.masker.bind_text(model, document, segmentation)(coalitions)
    longer_text = f"{document.text} {document.text}"
    alone = [model.evaluate_text([text], readout).values[0] for text in texts]
    beside = [model.evaluate_text([text, longer_text], readout).values[0] for text in texts]
    return np.stack(alone), np.stack(beside)
