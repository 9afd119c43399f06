"""Which heads matter: estimated for all of them, measured for the top ones and for random ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

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
from whence.core.attention_record import HeadEffects, HeadEntry
from whence.core.errors import CapabilityError, OptionError, WhenceError, unknown
from whence.core.provenance import Cost
from whence.games.batching import DEFAULT_TOKEN_BUDGET, batched
from whence.models.access import GivesHeads
from whence.models.internals.interventions import HeadReplacement
from whence.models.protocols import Encoding, Readout, Row, TokenModel

__all__ = ["ABLATIONS", "Ablation", "AblationInput", "AblationRun", "HeadAblation"]

Ablation = Literal["resample", "mean", "zero"]
NOT_SHARED = (
    "the blocks below a replaced head were run again for each replacement: with one run for all, a row "
    "without replacement had another value than the plain pass"
)

DONOR_BYTES = 256 * 2**20
"""Bytes of heads' outputs of donors in memory at once, beside those of the first. Chosen by hand."""

SAME = 1e-3
"""Largest difference, over the larger of 1 and the value, of a row without changes."""

ABLATIONS: tuple[Ablation, ...] = ("resample", "mean", "zero")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadAblation:
    """What the target loses when one head's output is replaced, for chosen heads.

    ``effect = v(x) - v(x | o_h <- replacement)``, in the target's unit; positive: the head raised
    the target. The head's output is replaced at every position, before the layer's output
    projection; all later layers respond. Replacements:

    - ``resample``: the head's output on the same text with half of its tokens replaced (by the
      mask token; where there is none, by tokens of the text, drawn with replacement, so that a
      model that ignores word order reads another text too), in pairs that replace
      complementary halves. The effect is the mean over ``draws``, with a Student interval.
    - ``mean``: the mean of those outputs, position by position. One number, no interval.
    - ``zero``: zero. The model never saw that, so effects may be those of a broken model.

    Two estimates cover every head: ``gradient``, ``sum g . (o - o_mean)``, exact to first order,
    and ``direct``, the same along the residual stream alone (what later layers read and the
    divisors of norms are frozen). The ``measure`` heads with the largest gradient estimate are
    measured, and ``control`` further heads drawn at random, which show what effects look like
    without choosing.

    Cost: two gradient passes for each of the readout's sequences, ``2 draws`` passes for the
    replacements, ``draws`` evaluations a measured head (one for ``mean`` and ``zero``), and one
    a batch without a replacement. Heads of one layer are replaced in one batch, below which the blocks
    run once for all its rows; where the row without a replacement shows that the model does not take
    this, every row runs whole, and a note says so.

    Misleads where heads back each other up: each of two that suffice alone has no effect
    (McGrath et al. 2023, arXiv:2307.15771). Michel et al. (2019), arXiv:1905.10650; Zhang & Nanda
    (2024), arXiv:2309.16042, on replacements; Nanda (2023) on the gradient estimate.
    """

    # Numbers chosen by hand; not calibrated. Eight draws are four pairs of halves.
    measure: int = 32
    control: int = 16
    draws: int = 8
    ablation: str = "resample"
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.ablation not in ABLATIONS:
            raise unknown("ablation", self.ablation, ABLATIONS)
        for name, least in (("measure", 0), ("control", 0), ("draws", 2)):
            value = getattr(self, name)
            if value < least:
                raise OptionError(f"expected {name} of {least} or more, got {name}={value}")
        if not 0 < self.confidence < 1:
            raise OptionError(
                f"expected a confidence between 0 and 1, got confidence={self.confidence}"
            )

    def evaluations(self, heads: int) -> int:
        """Passes beside the two for gradients, for a model of so many heads.

        Beside these: one of the input, and a row without a replacement in each batch.
        """
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
        """Effects of a model's heads on one output; ``None`` where no head can be replaced.

        Raises:
            OptionError: the readout has several outputs.
        """
        if not isinstance(model, GivesHeads):
            return None
        if len(readout.outputs) != 1:
            names = ", ".join(output.name for output in readout.outputs)
            raise OptionError(f"heads have effects on one output at a time, got outputs {names}")
        case = AblationInput(model, encoding, readout, seed, token_budget)
        return AblationRun(self, case).effects()

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
        """What the target loses when several heads are replaced at once.

        Heads that back each other up have small effects one by one and a large one together.
        Cost: ``2 draws + 1`` passes (``draws + 2`` for ``mean``, 2 for ``zero``).

        Raises:
            CapabilityError: no head of the model can be replaced.
        """
        if not isinstance(model, GivesHeads):
            raise CapabilityError(
                f"the heads of {model.identity.ref} cannot be replaced; local transformers models "
                "work here"
            )
        case = AblationInput(model, encoding, readout, seed, token_budget)
        return AblationRun(self, case).together(heads)


class AblationInput(NamedTuple):
    """What heads are ablated on: one input of one model, and the output that is read."""

    model: GivesHeads
    encoding: Encoding
    readout: Readout
    seed: int
    token_budget: int


class AblationRun:
    """One measurement; counts its evaluations and draws from its own generator."""

    def __init__(self, spec: HeadAblation, case: AblationInput) -> None:
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
        how = HeadEffects(
            output=readout.outputs[0],
            value=value,
            ablation=cast("Ablation", self.spec.ablation),
            draws=losses.shape[1],
            confidence=self.spec.confidence,
            agreement=spearman([estimates[name] for name in measured], losses.mean(axis=1)),
            seed=self.case.seed,
            cost=self._cost(time.perf_counter() - started),
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
