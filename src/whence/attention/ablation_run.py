"""One measurement of heads' effects on one output, alone and together."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float

from whence.attention.head_effects import (
    Effects,
    HeadName,
    HeadOutputs,
    HeadsTogether,
    gradient_estimates,
    mean_interval,
    mean_norm,
    read_shares,
    spearman,
)
from whence.attention.head_sets import RANDOM_SETS, carrying_set
from whence.core.attention_record import HeadEffects, HeadEntry, HeadSet
from whence.core.errors import WhenceError
from whence.core.provenance import Cost
from whence.games.batching import batched
from whence.models.access import GivesHeads
from whence.models.internals.interventions import HeadReplacement
from whence.models.protocols import Encoding, Readout, Row, TokenModel

__all__ = ["NOT_SHARED", "Ablation", "AblationInput", "AblationRun", "AblationSettings"]

Ablation = Literal["resample", "mean", "zero"]

NOT_SHARED = (
    "the blocks below a replaced head were run again for each replacement: with one run for all, a row "
    "without replacement had another value than the plain pass"
)

SEARCH_DRAWS = 4
"""Draws of replacements that a search for sets uses: half of the default, since what it finds is measured
again with others."""

DONOR_BYTES = 256 * 2**20
"""Bytes of heads' outputs of donors in memory at once, beside those of the first. Chosen by hand."""

SAME = 1e-3
"""Largest difference, over the larger of 1 and the value, of a row without changes."""


@runtime_checkable
class AblationSettings(Protocol):
    """The options of :class:`~whence.attention.head_ablation.HeadAblation`."""

    @property
    def measure(self) -> int:
        """Heads measured for their estimates."""
        ...

    @property
    def control(self) -> int:
        """Heads measured at random."""
        ...

    @property
    def draws(self) -> int:
        """Replacements of each head."""
        ...

    @property
    def ablation(self) -> str:
        """Kind of replacement."""
        ...

    @property
    def confidence(self) -> float:
        """Of intervals."""
        ...

    @property
    def sets(self) -> bool:
        """Whether sets of heads are searched for."""
        ...


class AblationInput(NamedTuple):
    """What heads are ablated on: one input of one model, and the output that is read."""

    model: GivesHeads
    encoding: Encoding
    readout: Readout
    seed: int
    token_budget: int


class AblationRun:
    """One measurement; counts its evaluations and draws from its own generator."""

    def __init__(self, spec: AblationSettings, case: AblationInput) -> None:
        self.spec = spec
        self.case = case
        self.rng = np.random.default_rng(case.seed)
        self.length = len(case.encoding.ids) + case.readout.extra_tokens
        self.evaluations = 0
        # Until a row without changes has another value than the plain pass.
        self.shares = True

    def effects(self) -> Effects | None:
        """Estimates for every head, effects for the top ones and for random ones."""
        started = time.perf_counter()
        model, encoding, readout, *_ = self.case
        gradients = model.head_gradients(encoding, readout)
        if not gradients.outputs:
            return None
        donors = self.donors()
        mean = self._mean(donors)
        # A second gradient pass: the frozen model gives the same value and other gradients.
        direct = gradient_estimates(model.head_gradients(encoding, readout, direct=True), mean)
        estimates = gradient_estimates(gradients, mean)
        ranked, control = self._choose(estimates)
        measured = [*ranked, *control]
        value = self._value(())
        losses = value - self._ablated(measured, donors, mean, value)
        entries = {
            (layer, head): HeadEntry(
                layer=layer,
                head=head,
                direct=direct[layer, head],
                gradient=estimate,
                output_norm=mean_norm(gradients.outputs[layer], head),
            )
            for (layer, head), estimate in estimates.items()
        }
        for number, name in enumerate(measured):
            effect, low, high = mean_interval(losses[number], self.spec.confidence)
            chosen = "ranked" if number < len(ranked) else "random"
            entries[name] = replace(entries[name], effect=effect, low=low, high=high, chosen=chosen)
        together = self._sets(ranked, _known_effects(entries), mean, value)
        how = HeadEffects(
            output=readout.outputs[0],
            value=value,
            ablation=cast("Ablation", self.spec.ablation),
            draws=losses.shape[1],
            confidence=self.spec.confidence,
            agreement=spearman([estimates[name] for name in measured], losses.mean(axis=1)),
            seed=self.case.seed,
            cost=self._cost(time.perf_counter() - started),
            sets=together,
        )
        notes = () if self.shares else (NOT_SHARED,)
        return Effects(how, tuple(entries.values()), read_shares(gradients), notes)

    def together(self, heads: Sequence[HeadName]) -> HeadsTogether:
        """What the target loses when the heads are replaced at once."""
        donors = self.donors()
        mean = self._mean(donors) if self.spec.ablation == "mean" else None
        value = self._value(())
        losses: list[float] = []
        for donor in donors if self.spec.ablation == "resample" else (None,):
            outputs = mean if donor is None else self._outputs(donor)
            change = tuple(_replacement(name, outputs) for name in heads)
            losses.append(value - self._value(change))
        effect, low, high = mean_interval(np.array(losses), self.spec.confidence)
        return HeadsTogether(
            output=self.case.readout.outputs[0],
            value=value,
            effect=effect,
            low=low,
            high=high,
            draws=len(losses),
            evaluations=self.evaluations,
        )

    def donors(self) -> list[Row]:
        """The text with half of its tokens replaced, in complementary pairs; none for ``zero``."""
        if self.spec.ablation == "zero":
            return []
        encoding = self.case.encoding
        ids, free = encoding.ids, np.flatnonzero(~encoding.frozen)
        mask = cast("TokenModel", self.case.model).vocabulary.mask_id
        donors: list[Row] = []
        halves: list[np.ndarray] = []
        for draw in range(self.spec.draws):
            # Complementary halves: in each pair every token is replaced exactly once, so that no
            # draw of halves favours a token. The interval still treats the draws as independent.
            if draw % 2 == 0:
                halves = np.array_split(self.rng.permutation(free), 2)
            half = halves[draw % 2]
            donor = ids.copy()
            donor[half] = self.rng.choice(ids[free], len(half)) if mask is None else mask
            donors.append(Row(ids=donor, token_types=encoding.token_types))
        return donors

    def _choose(self, estimates: dict[HeadName, float]) -> tuple[list[HeadName], list[HeadName]]:
        """The heads with the largest estimates, and as many of the rest as ``control`` says."""
        order = sorted(estimates, key=lambda name: -abs(estimates[name]))
        ranked, rest = order[: self.spec.measure], order[self.spec.measure :]
        # From the rest alone, so that the two groups share no head.
        drawn = self.rng.permutation(len(rest))[: self.spec.control]
        return ranked, [rest[index] for index in sorted(drawn)]

    def _outputs(self, donor: Row) -> dict[str, list[np.ndarray]]:
        self.evaluations += 1
        outputs = self.case.model.head_outputs([donor], self.case.readout)
        return {name: [call[0] for call in calls] for name, calls in outputs.items()}

    def _mean(self, donors: Sequence[Row]) -> HeadOutputs | None:
        """The mean output over donors, of which one is in memory at a time; of none: ``None``."""
        total: dict[str, list[np.ndarray]] = {}
        for donor in donors:
            for name, calls in self._outputs(donor).items():
                if name not in total:
                    total[name] = [call.copy() for call in calls]
                    continue
                for sum_, call in zip(total[name], calls, strict=True):
                    sum_ += call
        for calls in total.values():
            for sum_ in calls:
                sum_ /= np.float32(len(donors))
        return total or None

    def _ablated(
        self,
        heads: Sequence[HeadName],
        donors: Sequence[Row],
        mean: HeadOutputs | None,
        value: float,
    ) -> Float[np.ndarray, "heads draws"]:
        """The target with each head replaced, for each draw."""
        if self.spec.ablation != "resample":
            changes = [(_replacement(name, mean),) for name in heads]
            return self._by_layer(heads, changes, value)[:, None]
        columns: list[np.ndarray] = []
        while len(columns) < len(donors):
            # As many donors at once as memory for their outputs allows: heads of a layer then share
            # larger batches.
            outputs = [self._outputs(donors[len(columns)])]
            size = sum(call.nbytes for calls in outputs[0].values() for call in calls)
            more = min(len(donors) - len(columns), max(1, DONOR_BYTES // max(1, size)))
            start = len(columns)
            outputs += [self._outputs(donor) for donor in donors[start + 1 : start + more]]
            names = [name for _ in outputs for name in heads]
            changes = [(_replacement(name, each),) for each in outputs for name in heads]
            columns += list(self._by_layer(names, changes, value).reshape(more, len(heads)))
        return np.stack(columns, axis=1)

    def _sets(
        self,
        ranked: Sequence[HeadName],
        effects: dict[HeadName, float],
        mean: HeadOutputs | None,
        value: float,
    ) -> tuple[HeadSet, ...]:
        """The ranked heads at once and, where asked for, the sets that a search finds."""
        chosen = {"ranked": list(ranked)}
        if self.spec.sets:
            chosen |= self._searched(effects, mean, value)
        chosen = {name: heads for name, heads in chosen.items() if len(heads) > (name == "ranked")}
        groups = list(chosen.values())
        for name, heads in chosen.items():
            if name != "ranked":
                groups += [self._drawn(list(effects), heads) for _ in range(RANDOM_SETS)]
        if not groups:
            return ()
        columns = [self._at_once(groups, [each], value) for each in self._stand_ins(mean)]
        losses = np.concatenate(columns, axis=1)
        random = losses[len(chosen) :].mean(axis=1).tolist()
        sets: list[HeadSet] = []
        for number, (name, heads) in enumerate(chosen.items()):
            effect, low, high = mean_interval(losses[number], self.spec.confidence)
            drawn = () if name == "ranked" else tuple(random[:RANDOM_SETS])
            random = random[len(drawn) :]
            sets.append(
                HeadSet(
                    chosen=cast("Any", name),
                    heads=tuple(heads),
                    effect=effect,
                    low=low,
                    high=high,
                    random=drawn,
                )
            )
        return tuple(sets)

    def _searched(
        self, effects: dict[HeadName, float], mean: HeadOutputs | None, value: float
    ) -> dict[str, list[HeadName]]:
        """The set that carries the answer, and the set of lower layers that feeds it."""
        stand_ins = list(itertools.islice(self._stand_ins(mean), SEARCH_DRAWS))
        layers = list(dict.fromkeys(layer for layer, _ in effects))
        # Lower layers leave first: the set is then the one nearest to the answer, and what feeds it
        # is searched below it. Within a layer, heads of small effect leave first.
        order = sorted(effects, key=lambda name: (layers.index(name[0]), abs(effects[name])))

        def effect(heads: Sequence[HeadName]) -> float:
            return float(self._at_once([heads], stand_ins, value).mean())

        carries = carrying_set(order, effect)
        first = min((layers.index(layer) for layer, _ in carries), default=0)
        below = [name for name in order if name[0] in layers[:first]]
        return {"carries": carries, "feeds": carrying_set(below, effect) if below else []}

    def _stand_ins(self, mean: HeadOutputs | None) -> Iterator[HeadOutputs | None]:
        """Replacements of fresh draws, one at a time; one alone where nothing is drawn."""
        if self.spec.ablation != "resample":
            yield mean
            return
        for donor in self.donors():
            yield self._outputs(donor)

    def _at_once(
        self,
        groups: Sequence[Sequence[HeadName]],
        stand_ins: Sequence[HeadOutputs | None],
        value: float,
    ) -> Float[np.ndarray, "groups stand_ins"]:
        """What the target loses with all heads of each group replaced, by each replacement."""
        changes = [
            tuple(_replacement(name, outputs) for name in heads)
            for heads in groups
            for outputs in stand_ins
        ]
        shared = self._shared(changes, value) if self.shares else None
        values = self._values(changes) if shared is None else shared
        return value - values.reshape(len(groups), len(stand_ins))

    def _drawn(self, heads: Sequence[HeadName], besides: Sequence[HeadName]) -> list[HeadName]:
        """A random set of as many heads as ``besides``, and another one where there is one."""
        drawn = list(besides)
        while set(drawn) == set(besides):
            places = self.rng.choice(len(heads), len(besides), replace=False)
            drawn = [heads[place] for place in sorted(places)]
            if len(besides) == len(heads):
                break
        return drawn

    def _by_layer(
        self,
        heads: Sequence[HeadName],
        changes: Sequence[tuple[HeadReplacement, ...]],
        value: float,
    ) -> Float[np.ndarray, " changes"]:
        """The target after each change of one head; those of one layer share the blocks below it."""
        values = np.zeros(len(changes))
        for layer in dict.fromkeys(layer for layer, _ in heads):
            places = [place for place, name in enumerate(heads) if name[0] == layer]
            group = [changes[place] for place in places]
            shared = self._shared(group, value) if self.shares else None
            values[places] = self._values(group) if shared is None else shared
        return values

    def _shared(
        self, changes: Sequence[tuple[HeadReplacement, ...]], value: float
    ) -> Float[np.ndarray, " rows"] | None:
        """Values from passes that share the blocks below a layer; ``None`` where that fails."""
        model, encoding, readout, _, budget = self.case

        def run(batch: Sequence[tuple[HeadReplacement, ...]]) -> list[float]:
            # The last row has no change.
            rows = [*batch, ()]
            result = model.evaluate_with_changes(encoding, readout, rows, share=True).values[:, 0]
            self.evaluations += len(rows)
            if len(result) != len(rows) or not _same(float(result[-1]), value):
                raise _NotSharedError
            return result[:-1].tolist()

        try:
            return np.array(batched(changes, self.length, budget, run), dtype=np.float64)
        except WhenceError:
            raise
        except (_NotSharedError, RuntimeError, IndexError, TypeError, ValueError):
            # A module written for whole batches fails on shapes; the plain passes that follow
            # raise what is wrong with the change itself.
            self.shares = False
            return None

    def _value(self, change: tuple[HeadReplacement, ...]) -> float:
        return float(self._values([change])[0])

    def _values(self, changes: Sequence[tuple[HeadReplacement, ...]]) -> Float[np.ndarray, " rows"]:
        model, encoding, readout, _, budget = self.case

        def run(batch: Sequence[tuple[HeadReplacement, ...]]) -> list[float]:
            values = model.evaluate_with_changes(encoding, readout, batch).values
            return [float(value) for value in values[:, 0]]

        values = batched(changes, self.length, budget, run)
        self.evaluations += len(changes)
        return np.array(values, dtype=np.float64)

    def _cost(self, seconds: float) -> Cost:
        return Cost(
            evaluations=self.evaluations,
            distinct_evaluations=self.evaluations,
            gradient_evaluations=2,
            tokens=(self.evaluations + 2) * self.length,
            seconds=seconds,
        )


def _known_effects(entries: Mapping[HeadName, HeadEntry]) -> dict[HeadName, float]:
    """The effect of every head: measured, or else to first order."""
    return {
        name: (entry.gradient or 0.0) if entry.effect is None else entry.effect
        for name, entry in entries.items()
    }


class _NotSharedError(Exception):
    """A row without changes has another value than the plain pass."""


def _same(value: float, plain: float) -> bool:
    # In another batch a kernel rounds otherwise: below 1e-5 of the value in float32, 2^-8 of it in
    # bfloat16. A mixed-up row is off by the whole effect of a text.
    return abs(value - plain) <= SAME * max(1.0, abs(plain))


def _replacement(name: HeadName, outputs: HeadOutputs | None) -> HeadReplacement:
    layer, head = name
    calls = None if outputs is None else tuple(call[:, head] for call in outputs[layer])
    return HeadReplacement(layer=layer, head=head, outputs=calls)
