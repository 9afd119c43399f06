"""Two runs of one model, on a clean input and a corrupted one; parts of one put into the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Float, Int

from whence.attention.common import forced_by, one_readout, read_tokens
from whence.attention.patch_sites import Place, Site, token_places
from whence.core.errors import CapabilityError, InputError, OptionError
from whence.core.explanations import Outcome
from whence.core.provenance import Cost
from whence.core.targets import Link, Target
from whence.games.batching import batched
from whence.models.internals.interventions import HeadReplacement
from whence.models.internals.residual_states import StateReplacement, stack_of
from whence.models.protocols import Encoding, Input, Readout, Row, TokenModel

__all__ = ["Patched", "TwoRuns"]

Patched = Literal["states", "heads", "attention"]
"""What is put in the other's place: the residual state after a block, one head's output, or the
outputs of all heads of a layer (before its output projection)."""

_MISLEADS = (
    "patching finds what restores the difference between these two inputs, not all that the "
    "decision needs: parts that both runs share, and parts that stand in for each other, score 0"
)


@dataclass(slots=True, eq=False)
class TwoRuns:
    """Two inputs of one model, what is measured, and what it has cost."""

    model: TokenModel
    clean: Encoding
    other: Encoding
    readout: Readout
    denoise: bool
    token_budget: int
    values: tuple[float, float] = (0.0, 0.0)
    row_tokens: int = 0
    asked: int = 0
    passes: int = 0
    tokens: int = 0
    deviation: float | None = None

    @classmethod
    def of(
        cls,
        model: TokenModel,
        source: Input,
        corrupted: Input,
        target: Target | str | int | None,
        link: Link | None,
        *,
        denoise: bool,
        token_budget: int,
    ) -> TwoRuns:
        """Both inputs encoded, the target resolved on the clean one, and measured on both.

        Raises:
            InputError: they differ in their number of tokens.
            OptionError: several outputs, or a contrast of continuations of several tokens.
        """
        clean, other = model.encode(source), model.encode(corrupted)
        _check_lengths(model, clean, other)
        readout = one_readout(model, clean, target, link, "patching")
        sequences = forced_by(readout)
        if len(readout.outputs) != 1:
            raise OptionError(
                f"{len(readout.outputs)} outputs asked; patching measures one. Leave per_token out."
            )
        if len(sequences) > 1 and any(len(sequence) > 1 for sequence in sequences):
            raise OptionError(
                "a contrast of continuations of several tokens asked: their runs differ in length. "
                "Patch for each continuation by itself; on log-probabilities the contrast's "
                "scores are the difference of theirs."
            )
        run = cls(model, clean, other, readout, denoise, token_budget)
        run.values = (run.value(clean), run.value(other))
        return run

    @property
    def base(self) -> Encoding:
        """The input of the run that is patched."""
        return self.other if self.denoise else self.clean

    @property
    def cost(self) -> Cost:
        """Cells and passes so far."""
        return Cost(evaluations=self.asked, distinct_evaluations=self.passes, tokens=self.tokens)

    def value(self, encoding: Encoding) -> float:
        """The target on an input as it is."""
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        found = self.model.evaluate([row], self.readout)
        self.row_tokens = found.tokens
        self.count(found.tokens)
        return float(found.values[0, 0])

    def count(self, tokens: int) -> None:
        """Note one pass that was asked for and made."""
        self.asked += 1
        self.passes += 1
        self.tokens += tokens

    def places(self) -> tuple[Place, ...]:
        """Every token that is read, as a feature of the clean document."""
        forced = max(forced_by(self.readout), key=len, default=())
        tokens, decoder = read_tokens(self.model, self.clean, forced[:-1])
        return token_places(self.clean.document, tokens, decoder)

    def sites(self, what: Patched) -> tuple[Site, ...]:
        """What can be exchanged between the runs, in the order in which it runs."""
        donor, base = (self.inside(what, e) for e in self.ends())
        last = stack_of(list(base)[-1])
        found: list[Site] = []
        for name, held in base.items():
            # A classifier of encoder-decoder kind reads one text in both of its stacks.
            decoder = self.model.task == "seq2seq" and stack_of(name) == last
            groups: list[tuple[str, tuple[int, ...]]] = [(name, ())]
            if what == "attention":
                groups = [(name, tuple(range(held[0].shape[1])))]
            elif what == "heads":
                groups = [(f"{name} head {head}", (head,)) for head in range(held[0].shape[1])]
            for label, heads in groups:
                chosen = list(heads) or [0]
                found.append(
                    Site(
                        name=label,
                        layer=name,
                        heads=heads,
                        decoder=decoder,
                        donor=tuple(call[:, chosen] for call in donor[name]),
                        base=tuple(call[:, chosen] for call in held),
                    )
                )
        return tuple(found)

    def ends(self) -> tuple[Encoding, Encoding]:
        """The run that gives, and the run that is patched."""
        return (self.clean, self.other) if self.denoise else (self.other, self.clean)

    def inside(self, what: Patched, encoding: Encoding) -> dict[str, list[np.ndarray]]:
        """States or heads' outputs of one pass, each call ``[tokens, heads, width]``."""
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        inner = cast("Any", self.model)
        self.count(self.row_tokens)
        if what == "states":
            states: dict[str, list[np.ndarray]] = inner.states(row, self.readout)
            return {name: [c[:, None] for c in calls] for name, calls in states.items()}
        heads: dict[str, list[np.ndarray]] = inner.head_outputs([row], self.readout)
        if not heads:
            raise CapabilityError(
                f"{what} asked of {self.model.identity.architecture}, whose layers keep their "
                "softmax to themselves: no head's output can be had. what='states' works here."
            )
        return {name: [call[0] for call in calls] for name, calls in heads.items()}

    def scores(
        self, sites: Sequence[Site], places: Sequence[Place | None]
    ) -> Float[np.ndarray, "places sites"]:
        """Effects ``[places, sites]``; 0 where both runs hold the same, or nothing is there."""
        cells: list[tuple[int, int]] = []
        changes: list[tuple[Site, Int[np.ndarray, " chosen"]]] = []
        for row, place in enumerate(places):
            for column, site in enumerate(sites):
                if place is not None and place.decoder != site.decoder:
                    continue
                self.asked += 1
                chosen = site.everywhere if place is None else place.positions
                if site.differs(chosen):
                    cells.append((row, column))
                    changes.append((site, chosen))
        length = len(self.base.ids) + self.readout.extra_tokens
        patched = batched(changes, length, self.token_budget, self.patched)
        found: np.ndarray = np.zeros((len(places), len(sites)))
        for cell, value in zip(cells, patched, strict=True):
            found[cell] = value - self.values[1] if self.denoise else self.values[0] - value
        return found

    def patched(self, changes: Sequence[tuple[Site, Int[np.ndarray, " _"]]]) -> list[float]:
        """The target with each change made, in one batch."""
        inner = cast("Any", self.model)
        if changes[0][0].heads:
            rows = [_heads(site, chosen) for site, chosen in changes]
            found = inner.evaluate_with_changes(self.base, self.readout, rows)
        else:
            rows = [_state(site, chosen) for site, chosen in changes]
            found = inner.evaluate_with_states(self.base, self.readout, rows)
        self.passes += len(changes)
        self.tokens += found.tokens
        return found.values[:, 0].tolist()

    def check(self, last: Site) -> None:
        """Every position of the last block patched must give the other run's target."""
        (value,) = self.patched([(last, last.everywhere)])
        self.asked += 1
        self.deviation = abs(value - self.values[0 if self.denoise else 1])

    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        differing = np.flatnonzero(self.clean.ids != self.other.ids)
        clean, other = (
            "".join(self.model.decode([int(t)]) + " | " for t in e.ids[differing[:12]])[:-3]
            for e in (self.clean, self.other)
        )
        found = [
            _MISLEADS,
            f"the inputs differ at {len(differing)} of {len(self.clean.ids)} tokens: "
            f"{clean!r} clean, {other!r} corrupted",
        ]
        if self.deviation is not None:
            unit = self.readout.outputs[0].unit
            found.append(
                "check: every position of the last block patched gives the other input's target "
                f"within {self.deviation:.1e} {unit}"
            )
        if self.model.task == "seq2seq":
            found.append(
                "text tokens pass only through the encoder's layers and written ones only through "
                "the decoder's: elsewhere there is nothing to patch and the score is 0"
            )
        return tuple(found)

    def outcome(self) -> tuple[Outcome, tuple[str, ...]]:
        """Whether there is a difference to share out."""
        if self.values[0] != self.values[1]:
            return "converged", ()
        if np.array_equal(self.clean.ids, self.other.ids):
            return "degenerate", ("the model reads both inputs as the same tokens",)
        return "degenerate", (
            "both inputs give the same target: there is no difference to recover; choose a "
            "corrupted input that changes the answer",
        )


def _state(site: Site, chosen: Int[np.ndarray, " chosen"]) -> tuple[StateReplacement, ...]:
    states = tuple(call[:, 0] for call in site.donor)
    return (StateReplacement(block=site.layer, positions=chosen, states=states),)


def _heads(site: Site, chosen: Int[np.ndarray, " chosen"]) -> tuple[HeadReplacement, ...]:
    return tuple(
        HeadReplacement(
            layer=site.layer,
            head=head,
            outputs=tuple(call[:, index] for call in site.donor),
            queries=chosen,
        )
        for index, head in enumerate(site.heads)
    )


def _check_lengths(model: TokenModel, clean: Encoding, other: Encoding) -> None:
    if len(clean.ids) == len(other.ids):
        return
    same = min(len(clean.ids), len(other.ids))
    first = int(np.argmax(np.append(clean.ids[:same] != other.ids[:same], True)))
    shown = [
        " | ".join(model.decode([int(token)]) for token in encoding.ids[first : first + 8])
        for encoding in (clean, other)
    ]
    raise InputError(
        f"the clean input has {len(clean.ids)} tokens, the corrupted one {len(other.ids)}; states "
        "are patched place by place, so both need the same number. They part at token "
        f"{first}: {shown[0]!r} and {shown[1]!r}. Exchange words for words of as many tokens "
        "(model.encode(text).ids counts them), rather than adding or dropping any."
    )
