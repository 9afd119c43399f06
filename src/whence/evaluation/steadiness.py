"""Steadiness: whether asking again gives the same explanation.

Another seed of the method, a slip of the fingers, an edit that says nothing: as long as the
model's answer stays what it was, its reasons should. An edit that moves the answer is no test of
the explanation; it is set aside, counted and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from whence.core.explanations import Attribution
from whence.core.features import Segmentation
from whence.core.measurements import Measurement
from whence.core.provenance import Cost
from whence.core.targets import Output
from whence.evaluation.additive import additive_fit
from whence.evaluation.agreement import (
    Agreement,
    agreement,
    align_features,
    overlap_chance,
    top_size,
)
from whence.evaluation.edits import Change, TextEdit, edit_by_name
from whence.evaluation.instance import Instance, on_a_scale_of_decisions
from whence.evaluation.pool import Pool
from whence.games.cache import Cache
from whence.games.question import ask_otherwise
from whence.models.interface import Input

__all__ = ["Axis", "Explain", "Stability", "axis_of", "measured", "paired_stability", "stability"]

Explain = Callable[[Input, int], Attribution]
"""The same method on an input, with a seed."""

MOVED = 0.1
"""The change of the probability from which an edit counts as another question."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One way of asking again: the agreements found, and the edits that were set aside.

    ``flipped`` counts edits after which the model decided otherwise.
    """

    name: str
    agreements: tuple[Agreement, ...]
    discarded: tuple[str, ...] = ()
    flipped: int = 0
    did: tuple[str, ...] = ()

    @property
    def overlap(self) -> float:
        """Mean rank-biased overlap; NaN where nothing could be compared."""
        return float(np.mean([a.overlap for a in self.agreements])) if self.agreements else np.nan


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """Every axis that was tried, and how many explanations it took."""

    axes: tuple[Axis, ...]
    explanations: int
    same_top: int = 0
    of: int = 0
    unsteady: str | None = None
    """Why the prediction itself does not hold still: most edits that say nothing turn it."""

    least: float = float("nan")
    """The smallest mean overlap of any axis."""

    chance: float = float("nan")
    """The overlap that shuffled scores have with the first, on average."""


def axis_of(
    name: str,
    reference: Attribution,
    again: Sequence[tuple[Attribution, str]],
    *,
    output: int = 0,
) -> Axis:
    """Compare explanations with the one they should be like.

    Args:
        name: of the axis.
        reference: the explanation.
        again: others, each with what was done.
        output: whose scores are compared.
    """
    kept: list[Agreement] = []
    discarded: list[str] = []
    did: list[str] = []
    flipped = 0
    before = _decision(reference, output)
    for other, change in again:
        after = _decision(other, output)
        if other.decision.text != reference.decision.text and name != "seed":
            flipped += 1
            discarded.append(f"{name}: {change}: the model decided otherwise")
        elif abs(after - before) >= MOVED and name != "seed":
            discarded.append(f"{name}: {change}: the answer moved from {before:.3g} to {after:.3g}")
        else:
            kept.append(_compared(reference, other, output))
            did.append(change)
    return Axis(name, tuple(kept), tuple(discarded), flipped, tuple(did))


def _decision(found: Attribution, output: int) -> float:
    """The explained answer, as a probability where its scale tells it."""
    what: Output = found.outputs[output]
    values: Float[np.ndarray, " m"] = np.asarray(
        found.values[output : output + 1], dtype=np.float64
    )
    return float(on_a_scale_of_decisions(values, what)[0])


def _compared(one: Attribution, other: Attribution, output: int) -> Agreement:
    return agreement(
        np.asarray(one.scores[:, output], dtype=np.float64),
        np.asarray(other.scores[:, output], dtype=np.float64),
        _partners(one.segmentation, other.segmentation),
    )


def _partners(one: Segmentation, other: Segmentation) -> Int[np.ndarray, "pairs 2"]:
    return align_features([f.text for f in one.features], [f.text for f in other.features])


def stability(
    instance: Instance,
    reference: Attribution,
    again: Explain,
    *,
    seeds: int = 3,
    edits: Sequence[str | TextEdit] = ("typo", "neutral"),
    times: int = 3,
) -> Stability:
    """Explain again with other seeds and after small edits, and compare.

    Cost: at most ``seeds`` + ``times`` x edits explanations.

    Args:
        instance: the input.
        reference: its explanation.
        again: the same method on another input or with another seed.
        seeds: how many other seeds.
        edits: kinds of edits; words that the explanation marks stay as they are.
        times: edits of each kind.
    """
    output = instance.output

    def asked(source: Input, seed: int) -> Attribution:
        found = again(source, seed)
        instance.spent.append(found.provenance.cost)
        return found

    rng = np.random.default_rng([instance.seed, 4])
    question = instance.question
    assert question is not None
    axes: list[Axis] = []
    made = 0
    if seeds:
        others = [
            (asked(question.source, reference.provenance.seed + 1 + i), f"seed {i + 1} more")
            for i in range(seeds)
        ]
        made += len(others)
        axes.append(axis_of("seed", reference, others, output=output))
    spared = _marked(np.asarray(reference.scores[:, output], dtype=np.float64))
    for kind in edits:
        edit = edit_by_name(kind)
        changes = _distinct(edit, reference, spared, rng, times)
        found = [(asked(c.source, reference.provenance.seed), c.did) for c in changes]
        made += len(found)
        axes.append(axis_of(edit.name, reference, found, output=output))
    return _summary(axes, made, np.asarray(reference.scores[:, output], dtype=np.float64))


def paired_stability(
    instance: Instance,
    reference: Attribution,
    *,
    edits: Sequence[str | TextEdit] = ("typo", "neutral"),
    times: int = 1,
    draws: int = 200,
    cache: Cache | None = None,
) -> Stability:
    """Stability of a method that is dear to run again, from the game that its scores rest on.

    After an edit the masks of the pool are asked again; additive weights fitted to the answers
    before and after, on the same masks, are compared as two explanations are. For another seed,
    scores are drawn twice from their standard errors (``draws`` times; exact scores do not vary).

    Cost: the pool's size + 1 evaluations for each edit, in place of a whole explanation.

    Args:
        instance: the input.
        reference: its explanation.
        edits: kinds of edits; words that the explanation marks stay as they are.
        times: edits of each kind.
        draws: pairs of scores drawn.
        cache: where evaluations are kept.
    """
    output, question = instance.output, instance.question
    assert question is not None
    rng = np.random.default_rng([instance.seed, 4])
    scores = np.asarray(reference.scores[:, output], dtype=np.float64)
    axes = [Axis("seed", _redrawn(scores, reference, output, draws, rng))]
    spared = _marked(scores)
    before = additive_fit(instance.pool, output)
    asked = 0
    for kind in edits:
        edit = edit_by_name(kind)
        kept: list[Agreement] = []
        discarded: list[str] = []
        flipped = 0
        for change in _distinct(edit, reference, spared, rng, times):
            asked += 1
            found = _same_masks(instance, change.source, cache)
            instance.spent.append(found.cost)
            reason = _moved(instance, found)
            if reason is not None:
                flipped += found.decision != question.decision.text
                discarded.append(f"{edit.name}: {change.did}: {reason}")
                continue
            after = additive_fit(found.pool, output)
            kept.append(
                agreement((before.weights + before.slope)[found.kept], after.weights + after.slope)
            )
        axes.append(Axis(edit.name, tuple(kept), tuple(discarded), flipped))
    return _summary(axes, 0, scores)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The pool's masks on an edited text: which features are left of the first, and the answers."""

    pool: Pool
    kept: Int[np.ndarray, " m"]
    decision: str
    cost: Cost


def _same_masks(instance: Instance, source: Input, cache: Cache | None) -> _Asked:
    question = instance.question
    assert question is not None
    edited = ask_otherwise(question, source)
    left, right = _partners(question.segmentation, edited.segmentation).T
    # Inserted features are always there: the pair of games differs by the edit alone.
    masks = np.ones((len(instance.pool) + 1, len(edited.segmentation)), dtype=bool)
    masks[:-1, right] = instance.pool.masks[:, left]
    game = edited.game(cache=cache)
    values = game(masks)
    pool = Pool(instance.pool.masks[:, left], values[:-1], values[-1], False, instance.pool.seed)
    return _Asked(pool, left, edited.decision.text, game.cost)


def _moved(instance: Instance, found: _Asked) -> str | None:
    """Why an edit is another question, if it is one."""
    question = instance.question
    assert question is not None
    if found.decision != question.decision.text:
        return "the model decided otherwise"
    ends = np.array([instance.full, float(found.pool.full[instance.output])])
    before, after = on_a_scale_of_decisions(ends, instance.what)
    if abs(after - before) >= MOVED:
        return f"the answer moved from {before:.3g} to {after:.3g}"
    return None


def _redrawn(
    scores: Float[np.ndarray, " n"],
    reference: Attribution,
    output: int,
    draws: int,
    rng: np.random.Generator,
) -> tuple[Agreement, ...]:
    if reference.std_errors is None:
        return (agreement(scores, scores),)
    errors = np.asarray(reference.std_errors[:, output], dtype=np.float64)
    return tuple(
        agreement(scores + errors * rng.normal(size=len(scores)), scores + errors * noise)
        for noise in rng.normal(size=(draws, len(scores)))
    )


def _marked(scores: Float[np.ndarray, " n"]) -> set[int]:
    return set(np.argsort(-np.abs(scores), kind="stable")[: top_size(len(scores))].tolist())


def _summary(axes: Sequence[Axis], explanations: int, scores: Float[np.ndarray, " n"]) -> Stability:
    overlaps = [axis.overlap for axis in axes if axis.agreements]
    compared = [a for axis in axes if axis.name != "seed" for a in axis.agreements]
    neutral = next((axis for axis in axes if axis.name == "neutral"), None)
    tried = 0 if neutral is None else len(neutral.agreements) + len(neutral.discarded)
    unsteady = None
    if neutral is not None and 2 * neutral.flipped > tried:
        unsteady = (
            f"the model decides otherwise after {neutral.flipped} of {tried} edits that say nothing"
        )
    return Stability(
        axes=tuple(axes),
        explanations=explanations,
        same_top=sum(a.jaccard >= 0.5 for a in compared),
        of=len(compared),
        unsteady=unsteady,
        least=min(overlaps) if overlaps else float("nan"),
        chance=overlap_chance(scores, scores).value,
    )


def _distinct(
    edit: TextEdit,
    reference: Attribution,
    spared: set[int],
    rng: np.random.Generator,
    times: int,
) -> list[Change]:
    """Different edits, as many as asked for where the text offers so many."""
    found: dict[str, Change] = {}
    for _ in range(4 * times):
        if len(found) == times:
            break
        change = edit.apply(reference.segmentation, spared, rng)
        if change is None:
            break
        found.setdefault(change.did, change)
    return list(found.values())


def measured(instance: Instance, axis: Axis, chance: float) -> Measurement:
    """An axis as a measurement: its mean overlap beside that of random rankings."""
    return Measurement(
        name=f"stability-{axis.name}",
        value=axis.overlap,
        unit="rank-biased overlap",
        n=len(axis.agreements),
        direction="higher",
        interval=None,
        specification=instance.specification("stability", axis=axis.name, persistence=0.8),
        random=chance,
        best=1.0,
    )
