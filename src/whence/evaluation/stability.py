"""Stability: whether asking again gives the same explanation.

Another seed of the method, a slip of the fingers, an edit that says nothing: as long as the
model's answer stays what it was, its reasons should. An edit that moves the answer is no test of
the explanation; it is set aside, counted and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.core.targets import Output
from whence.evaluation.agreement import (
    Agreement,
    agreement,
    align_features,
    random_agreement,
    top_size,
)
from whence.evaluation.edits import Change, TextEdit, edit_by_name
from whence.evaluation.instance import Instance, on_a_scale_of_decisions
from whence.models.interface import Input

__all__ = ["Axis", "Explain", "Stability", "axis_of", "measured", "stability"]

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

    least: float = field(default=float("nan"))
    """The smallest mean overlap of any axis."""


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
    left, right, unmatched = align_features(one.segmentation, other.segmentation)
    return agreement(
        np.asarray(one.scores[left, output], dtype=np.float64),
        np.asarray(other.scores[right, output], dtype=np.float64),
        unmatched=unmatched,
    )


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
    magnitude = np.abs(reference.scores[:, output])
    spared = set(np.argsort(-magnitude, kind="stable")[: top_size(instance.n)].tolist())
    for kind in edits:
        edit = edit_by_name(kind)
        changes = _distinct(edit, reference, spared, rng, times)
        found = [(asked(c.source, reference.provenance.seed), c.did) for c in changes]
        made += len(found)
        axes.append(axis_of(edit.name, reference, found, output=output))
    overlaps = [axis.overlap for axis in axes if axis.agreements]
    compared = [a for axis in axes for a in axis.agreements]
    neutral = next((axis for axis in axes if axis.name == "neutral"), None)
    unsteady = None
    tried = 0 if neutral is None else len(neutral.agreements) + len(neutral.discarded)
    if neutral is not None and 2 * neutral.flipped > tried:
        unsteady = (
            f"the model decides otherwise after {neutral.flipped} of {tried} edits that say nothing"
        )
    return Stability(
        axes=tuple(axes),
        explanations=made,
        same_top=sum(a.jaccard >= 0.5 for a in compared),
        of=len(compared),
        unsteady=unsteady,
        least=min(overlaps) if overlaps else float("nan"),
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


def measured(instance: Instance, axis: Axis) -> Measurement:
    """An axis as a measurement: its mean overlap beside that of random rankings."""
    return Measurement(
        name=f"stability-{axis.name}",
        value=axis.overlap,
        unit="rank-biased overlap",
        n=len(axis.agreements),
        direction="higher",
        interval=None,
        specification=instance.specification("stability", axis=axis.name, persistence=0.8),
        random=random_agreement(instance.n).overlap,
        best=1.0,
    )
