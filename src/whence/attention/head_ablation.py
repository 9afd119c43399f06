"""Which heads matter: estimated for all of them, measured for the foremost and for random ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Float

from whence.core.attention_record import HeadEffects, HeadEntry
from whence.core.errors import CapabilityError, OptionError, unknown
from whence.core.provenance import Cost
from whence.core.targets import Output
from whence.games.batching import DEFAULT_TOKEN_BUDGET, batched
from whence.models.internals.interventions import HeadReplacement
from whence.models.protocols import Encoding, GivesHeads, Readout, Row, TokenModel

__all__ = ["ABLATIONS", "Ablation", "Effects", "HeadAblation", "HeadsTogether"]

Ablation = Literal["resample", "mean", "zero"]
ABLATIONS: tuple[Ablation, ...] = ("resample", "mean", "zero")

HeadName = tuple[str, int]


class Effects(NamedTuple):
    """What was found.

    ``how`` it was measured; an entry for every head, in the order they ran; and ``read_from``:
    how much the target is read from each position, by the length of the gradient of the last
    layer's outputs there, summing to one (or all zero).
    """

    how: HeadEffects
    heads: tuple[HeadEntry, ...]
    read_from: Float[np.ndarray, " queries"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadsTogether:
    """The measured effect of several heads at once, in the target's unit.

    ``low`` and ``high`` are a Student interval, ``None`` where nothing was drawn.
    """

    output: Output
    value: float
    effect: float
    low: float | None
    high: float | None
    draws: int
    evaluations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadAblation:
    """What the target loses when one head's output is replaced, for chosen heads.

    ``effect = v(x) - v(x | o_h <- stand-in)``, in the target's unit; positive: the head raised the
    target. The stand-in replaces the head's output at every position, before the layer's output
    projection; everything after it answers. Stand-ins:

    - ``resample``: the head's output on the same text with half of its tokens replaced (by the
      mask token; where there is none, by tokens of the text, drawn with replacement, so that a
      model to which order says nothing sees another text too), in pairs that replace
      complementary halves. The effect is the mean over ``draws``, with a Student interval.
    - ``mean``: the mean of those outputs, position by position. One number, no interval.
    - ``zero``: nothing. The model never saw that, so effects may be those of a broken model.

    Two estimates cover every head and choose the ``measure`` heads that are measured: ``gradient``
    ``sum g . (o - o_mean)``, exact to first order, and ``direct``, the same along the residual
    stream alone (later layers hold what they read, norms their divisors). ``control`` further
    heads are drawn at random: what effects look like without choosing.

    Cost: two gradient passes for each of the readout's sequences, ``2 draws`` passes for the
    stand-ins, and ``draws`` evaluations a measured head (one for ``mean`` and ``zero``).

    Misleads where heads stand in for each other: each of two that suffice alone has no effect
    (McGrath et al. 2023, arXiv:2307.15771). Michel et al. (2019), arXiv:1905.10650; Zhang & Nanda
    (2024), arXiv:2309.16042, on stand-ins; Nanda (2023) on the gradient estimate.
    """

    measure: int = 32
    control: int = 32
    draws: int = 8
    ablation: str = "resample"
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.ablation not in ABLATIONS:
            raise unknown("ablation", self.ablation, ABLATIONS)
        for name, least in (("measure", 0), ("control", 0), ("draws", 2)):
            if getattr(self, name) < least:
                raise OptionError(f"{name}={getattr(self, name)} asked; it must be {least} or more")
        if not 0 < self.confidence < 1:
            raise OptionError(f"confidence={self.confidence} asked; it must be between 0 and 1")

    def evaluations(self, heads: int) -> int:
        """Passes beside the two for gradients, for a model of so many heads."""
        measured = min(heads, self.measure + self.control)
        if self.ablation == "zero":
            return measured
        if self.ablation == "mean":
            return self.draws + measured
        return self.draws * (2 + measured)

    def run(
        self,
        model: TokenModel,
        encoding: Encoding,
        readout: Readout,
        *,
        seed: int = 0,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
    ) -> Effects | None:
        """The effects of a model's heads on one output; ``None`` where no head can be changed.

        Raises:
            OptionError: the readout has several outputs.
        """
        if not isinstance(model, GivesHeads):
            return None
        if len(readout.outputs) != 1:
            names = ", ".join(output.name for output in readout.outputs)
            raise OptionError(f"heads have effects on one output at a time; asked were: {names}")
        return _Work(self, model, encoding, readout, seed, token_budget).effects()

    def together(
        self,
        model: TokenModel,
        encoding: Encoding,
        readout: Readout,
        heads: Sequence[HeadName],
        *,
        seed: int = 0,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
    ) -> HeadsTogether:
        """What the target loses when some heads are replaced at once, each by its stand-in.

        Heads that stand in for each other have small effects one by one and a large one together.
        Cost: ``2 draws + 1`` passes (``draws + 2`` for ``mean``, 2 for ``zero``).

        Raises:
            CapabilityError: no head of the model can be replaced.
        """
        if not isinstance(model, GivesHeads):
            raise CapabilityError(f"heads of {model.identity.ref} cannot be replaced")
        return _Work(self, model, encoding, readout, seed, token_budget).together(heads)


class _Work:
    def __init__(
        self,
        spec: HeadAblation,
        model: GivesHeads,
        encoding: Encoding,
        readout: Readout,
        seed: int,
        token_budget: int,
    ) -> None:
        self.spec = spec
        self.model = model
        self.encoding = encoding
        self.readout = readout
        self.seed = seed
        self.token_budget = token_budget
        self.rng = np.random.default_rng(seed)
        self.length = len(encoding.ids) + readout.extra_tokens
        self.evaluations = 0

    def effects(self) -> Effects | None:
        started = time.perf_counter()
        gradients = self.model.head_gradients(self.encoding, self.readout)
        if not gradients.outputs:
            return None
        donors = [] if self.spec.ablation == "zero" else self._donors()
        mean = self._mean(donors)
        direct = self.model.head_gradients(self.encoding, self.readout, direct=True)
        gradient = _estimates(gradients.outputs, gradients.gradients, mean)
        along = _estimates(direct.outputs, direct.gradients, mean)
        names: list[HeadName] = list(gradient)
        order = sorted(names, key=lambda name: -abs(gradient[name]))
        ranked = order[: self.spec.measure]
        rest = order[self.spec.measure :]
        picked = self.rng.permutation(len(rest))[: self.spec.control]
        control = [rest[place] for place in sorted(picked)]
        measured = [*ranked, *control]
        value = float(self._values([()])[0])
        falls = value - self._ablated(measured, donors, mean)
        entries = {
            name: HeadEntry(
                layer=name[0],
                head=name[1],
                direct=along[name],
                gradient=gradient[name],
                output_norm=_norm(gradients.outputs[name[0]], name[1]),
            )
            for name in names
        }
        for place, name in enumerate(measured):
            effect, low, high = _interval(falls[place], self.spec.confidence)
            entries[name] = replace(
                entries[name],
                effect=effect,
                low=low,
                high=high,
                chosen="ranked" if place < len(ranked) else "random",
            )
        how = HeadEffects(
            output=self.readout.outputs[0],
            value=value,
            ablation=cast("Ablation", self.spec.ablation),
            draws=falls.shape[1],
            confidence=self.spec.confidence,
            agreement=_agreement([gradient[n] for n in measured], falls.mean(axis=1)),
            seed=self.seed,
            cost=Cost(
                evaluations=self.evaluations,
                distinct_evaluations=self.evaluations,
                gradient_evaluations=2,
                tokens=(self.evaluations + 2) * self.length,
                seconds=time.perf_counter() - started,
            ),
        )
        last = list(gradients.gradients)[-1]
        shares = _read_from(gradients.outputs[last][-1], gradients.gradients[last][-1])
        return Effects(how, tuple(entries.values()), shares)

    def together(self, heads: Sequence[HeadName]) -> HeadsTogether:
        donors = [] if self.spec.ablation == "zero" else self._donors()
        mean = self._mean(donors) if self.spec.ablation == "mean" else None
        value = float(self._values([()])[0])
        stand_ins = donors if self.spec.ablation == "resample" else [None]
        falls: list[float] = []
        for donor in stand_ins:
            outputs = mean if donor is None else self._outputs(donor)
            change = tuple(_replaced(name, outputs) for name in heads)
            falls.append(value - float(self._values([change])[0]))
        effect, low, high = _interval(np.array(falls), self.spec.confidence)
        return HeadsTogether(
            output=self.readout.outputs[0],
            value=value,
            effect=effect,
            low=low,
            high=high,
            draws=len(falls),
            evaluations=self.evaluations,
        )

    def _donors(self) -> list[Row]:
        """The text with half of its tokens replaced, in complementary pairs."""
        ids, free = self.encoding.ids, np.flatnonzero(~self.encoding.frozen)
        mask = cast("TokenModel", self.model).vocabulary.mask_id
        found: list[Row] = []
        halves: list[np.ndarray] = []
        for draw in range(self.spec.draws):
            if draw % 2 == 0:
                halves = np.array_split(self.rng.permutation(free), 2)
            chosen = halves[draw % 2]
            donor = ids.copy()
            donor[chosen] = self.rng.choice(ids[free], len(chosen)) if mask is None else mask
            found.append(Row(ids=donor, token_types=self.encoding.token_types))
        return found

    def _outputs(self, donor: Row) -> dict[str, list[np.ndarray]]:
        self.evaluations += 1
        found = self.model.head_outputs([donor], self.readout)
        return {name: [call[0] for call in calls] for name, calls in found.items()}

    def _mean(self, donors: Sequence[Row]) -> dict[str, list[np.ndarray]] | None:
        """The mean output over donors. One donor's outputs are held at a time."""
        total: dict[str, list[np.ndarray]] = {}
        for donor in donors:
            for name, calls in self._outputs(donor).items():
                if name not in total:
                    total[name] = [call.copy() for call in calls]
                    continue
                for held, call in zip(total[name], calls, strict=True):
                    held += call
        for calls in total.values():
            for held in calls:
                held /= np.float32(len(donors))
        return total or None

    def _ablated(
        self, heads: Sequence[HeadName], donors: Sequence[Row], mean: Mapping[str, Any] | None
    ) -> Float[np.ndarray, "heads draws"]:
        if self.spec.ablation != "resample":
            return self._values([(_replaced(name, mean),) for name in heads])[:, None]
        columns = []
        for donor in donors:
            outputs = self._outputs(donor)
            columns.append(self._values([(_replaced(name, outputs),) for name in heads]))
        return np.stack(columns, axis=1)

    def _values(self, changes: Sequence[tuple[HeadReplacement, ...]]) -> Float[np.ndarray, " rows"]:
        def run(chosen: Sequence[tuple[HeadReplacement, ...]]) -> list[float]:
            found = self.model.evaluate_with_changes(self.encoding, self.readout, chosen).values
            return [float(value) for value in found[:, 0]]

        values = batched(changes, self.length, self.token_budget, run)
        self.evaluations += len(changes)
        return np.array(values, dtype=np.float64)


def _replaced(name: HeadName, outputs: Mapping[str, Any] | None) -> HeadReplacement:
    layer, head = name
    given = None if outputs is None else tuple(call[:, head] for call in outputs[layer])
    return HeadReplacement(layer=layer, head=head, outputs=given)


def _estimates(
    outputs: Mapping[str, list[np.ndarray]],
    slopes: Mapping[str, list[np.ndarray | None]],
    mean: Mapping[str, list[np.ndarray]] | None,
) -> dict[HeadName, float]:
    """``sum g . (o - o_mean)`` of every head, over its calls and positions."""
    found: dict[HeadName, float] = {}
    for layer, calls in outputs.items():
        total = np.zeros(calls[0].shape[1])
        for place, (output, slope) in enumerate(zip(calls, slopes[layer], strict=True)):
            if slope is None:
                continue
            away = output if mean is None else output - mean[layer][place]
            total += np.einsum("qhd,qhd->h", slope[0], away, dtype=np.float64)
        found.update({(layer, head): float(value) for head, value in enumerate(total)})
    return found


def _read_from(
    output: Float[np.ndarray, "queries heads width"], slope: np.ndarray | None
) -> Float[np.ndarray, " queries"]:
    if slope is None:
        return np.zeros(len(output))
    lengths = np.sqrt(np.square(slope[0], dtype=np.float64).sum(axis=(1, 2)))
    total = lengths.sum()
    return lengths / total if total > 0 else lengths


def _norm(calls: Sequence[np.ndarray], head: int) -> float:
    lengths = np.concatenate([np.linalg.norm(call[:, head], axis=1) for call in calls])
    return float(lengths.mean())


def _interval(
    draws: Float[np.ndarray, " draws"], confidence: float
) -> tuple[float, float | None, float | None]:
    """Mean and Student interval; no interval of a single number."""
    mean = float(draws.mean())
    if len(draws) == 1:
        return mean, None, None
    from scipy.special import stdtrit

    half = float(stdtrit(len(draws) - 1, (1 + confidence) / 2))
    half *= float(draws.std(ddof=1)) / len(draws) ** 0.5
    return mean, mean - half, mean + half


def _agreement(estimates: Sequence[float], measured: Float[np.ndarray, " heads"]) -> float:
    """Spearman correlation; NaN where one side does not vary."""
    guesses = np.array(estimates)
    if len(guesses) < 3 or np.ptp(guesses) == 0 or np.ptp(measured) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(cast("Any", spearmanr(guesses, measured)).statistic)
