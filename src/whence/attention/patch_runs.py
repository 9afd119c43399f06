"""Runs of one model on a clean and a corrupted input; parts of one run put into the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Float, Int

from whence.attention.common import encoding_of, read_tokens
from whence.attention.patch_sites import Site, TokenFeature, token_features
from whence.core.errors import CapabilityError, InputError, OptionError
from whence.core.explanations import Outcome
from whence.core.provenance import Cost
from whence.games.batching import batched
from whence.games.question import Question
from whence.models.internals.module_paths import stack_of
from whence.models.protocols import Encoding, Input, Readout, Row, TokenModel

__all__ = ["PatchRuns", "Patched"]

Patched = Literal["states", "heads", "attention"]
"""What is replaced: the residual state after a block, one head's output, or the outputs of all heads
of a layer (before its output projection)."""

MISLEADS = (
    "patching finds what restores the difference between these two inputs, not all that the "
    "decision needs: parts that both runs share, and parts that back each other up, score 0"
)

DIFFERING_TOKENS = 12
"""Tokens of each input that a note quotes at most."""


@dataclass(slots=True, eq=False)
class PatchRuns:
    """Two inputs of one model, the target's values on them, and the cost so far.

    ``denoise``: the corrupted run is patched with parts of the clean one; else the other way round.
    ``values`` are those of the clean and of the corrupted input.
    """

    model: TokenModel
    clean: Encoding
    corrupted: Encoding
    readout: Readout
    denoise: bool
    token_budget: int
    values: tuple[float, float] = (0.0, 0.0)
    row_tokens: int = 0
    cells: int = 0
    passes: int = 0
    tokens: int = 0
    deviation: float | None = None

    @classmethod
    def of(
        cls, question: Question, corrupted: Input, *, denoise: bool, token_budget: int
    ) -> PatchRuns:
        """The question's input and another, with the target measured on both.

        Raises:
            InputError: they differ in their number of tokens.
            OptionError: several outputs, or a contrast of continuations of several tokens.
        """
        model = cast("TokenModel", question.model)
        clean, other = encoding_of(question), model.encode(corrupted)
        _check_lengths(model, clean, other)
        if len(question.readout.outputs) != 1:
            raise OptionError(
                f"got {len(question.readout.outputs)} outputs; patching measures one. Leave "
                "per_token out."
            )
        if len(question.sequences) > 1 and any(len(ids) > 1 for ids in question.sequences):
            raise OptionError(
                "got a contrast of continuations of several tokens, whose runs differ in length. "
                "Patch for each continuation by itself; on log-probabilities the contrast's "
                "scores are the difference of theirs."
            )
        runs = cls(model, clean, other, question.readout, denoise, token_budget)
        runs.values = (runs.value(clean), runs.value(other))
        return runs

    @property
    def donor(self) -> Encoding:
        """The input of the run that parts are taken from."""
        return self.clean if self.denoise else self.corrupted

    @property
    def base(self) -> Encoding:
        """The input of the run that is patched."""
        return self.corrupted if self.denoise else self.clean

    @property
    def cost(self) -> Cost:
        """Cells and passes so far."""
        return Cost(evaluations=self.cells, distinct_evaluations=self.passes, tokens=self.tokens)

    def value(self, encoding: Encoding) -> float:
        """The target on an input as it is."""
        result = self.model.evaluate([_row(encoding)], self.readout)
        self.row_tokens = result.tokens
        self.count(result.tokens)
        return float(result.values[0, 0])

    def count(self, tokens: int) -> None:
        """Count one cell that took one pass."""
        self.cells += 1
        self.passes += 1
        self.tokens += tokens

    def features(self) -> tuple[TokenFeature, ...]:
        """Every token that is read, as a feature of the clean document."""
        sequences = getattr(self.readout, "sequences", ())
        forced = max(sequences, key=len, default=())
        tokens, decoder = read_tokens(self.model, self.clean, forced[:-1])
        return token_features(self.clean.document, tokens, decoder)

    def sites(self, what: Patched) -> tuple[Site, ...]:
        """The sites that can be exchanged between the runs, in the order in which they run."""
        donor, base = self._inside(what, self.donor), self._inside(what, self.base)
        # The decoder runs last, so the last name is of its stack.
        last = stack_of(list(base)[-1])
        sites: list[Site] = []
        for name, calls in base.items():
            # A classifier of encoder-decoder kind reads one text in both of its stacks.
            decoder = self.model.task == "seq2seq" and stack_of(name) == last
            for label, heads in _groups(what, name, calls[0].shape[1]):
                # A state is stored as one head, so that states and heads have one shape.
                columns = list(heads) or [0]
                sites.append(
                    Site(
                        name=label,
                        layer=name,
                        heads=heads,
                        decoder=decoder,
                        donor=tuple(call[:, columns] for call in donor[name]),
                        base=tuple(call[:, columns] for call in calls),
                    )
                )
        return tuple(sites)

    def _inside(self, what: Patched, encoding: Encoding) -> dict[str, list[np.ndarray]]:
        """States or heads' outputs of one pass, each call ``[tokens, heads, width]``."""
        inner = cast("Any", self.model)
        self.count(self.row_tokens)
        if what == "states":
            states: dict[str, list[np.ndarray]] = inner.states(_row(encoding), self.readout)
            return {name: [call[:, None] for call in calls] for name, calls in states.items()}
        heads: dict[str, list[np.ndarray]] = inner.head_outputs([_row(encoding)], self.readout)
        if not heads:
            raise CapabilityError(
                f"the layers of {self.model.identity.architecture} compute their softmax "
                f"themselves, so no head's output can be read for {what}. what='states' works here."
            )
        return {name: [call[0] for call in calls] for name, calls in heads.items()}

    def scores(
        self, sites: Sequence[Site], features: Sequence[TokenFeature | None]
    ) -> Float[np.ndarray, "features sites"]:
        """Effects; 0 where both runs are the same, or the feature is not read by the site.

        A feature of ``None`` is every position.
        """
        cells: list[tuple[int, int]] = []
        patches: list[tuple[Site, Int[np.ndarray, " chosen"]]] = []
        for row, feature in enumerate(features):
            for column, site in enumerate(sites):
                if feature is not None and feature.decoder != site.decoder:
                    continue
                self.cells += 1
                positions = site.every_position if feature is None else feature.positions
                # Equal in every bit on both sides: the patched run is the base run, and its effect
                # is exactly 0. A pass would only add its rounding.
                if site.differs(positions):
                    cells.append((row, column))
                    patches.append((site, positions))
        length = len(self.base.ids) + self.readout.extra_tokens
        values = batched(patches, length, self.token_budget, self._patched)
        scores: np.ndarray = np.zeros((len(features), len(sites)))
        for cell, value in zip(cells, values, strict=True):
            # Both directions are signed alike: above 0 the clean part raised the target.
            scores[cell] = value - self.values[1] if self.denoise else self.values[0] - value
        return scores

    def _patched(self, patches: Sequence[tuple[Site, Int[np.ndarray, " _"]]]) -> list[float]:
        """The target with each patch alone, in one batch."""
        inner = cast("Any", self.model)
        if patches[0][0].heads:
            changes = [site.head_change(positions) for site, positions in patches]
            result = inner.evaluate_with_changes(self.base, self.readout, changes)
        else:
            changes = [site.state_change(positions) for site, positions in patches]
            result = inner.evaluate_with_states(self.base, self.readout, changes)
        self.passes += len(patches)
        self.tokens += result.tokens
        return result.values[:, 0].tolist()

    def check(self, last: Site) -> None:
        """Patch every position of the last block: that must give the donor run's target."""
        (value,) = self._patched([(last, last.every_position)])
        self.cells += 1
        self.deviation = abs(value - self.values[0 if self.denoise else 1])

    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        differing = np.flatnonzero(self.clean.ids != self.corrupted.ids)
        clean, corrupted = (
            " | ".join(self.model.decode([int(t)]) for t in e.ids[differing[:DIFFERING_TOKENS]])
            for e in (self.clean, self.corrupted)
        )
        notes = [
            MISLEADS,
            f"the inputs differ at {len(differing)} of {len(self.clean.ids)} tokens: "
            f"{clean!r} clean, {corrupted!r} corrupted",
        ]
        if self.deviation is not None:
            unit = self.readout.outputs[0].unit
            notes.append(
                "check: every position of the last block patched gives the other input's target "
                f"within {self.deviation:.1e} {unit}"
            )
        if self.model.task == "seq2seq":
            notes.append(
                "text tokens pass only through the encoder's layers and written ones only through "
                "the decoder's: elsewhere there is nothing to patch and the score is 0"
            )
        return tuple(notes)

    def outcome(self) -> tuple[Outcome, tuple[str, ...]]:
        """Whether there is a difference to attribute, and advice where there is none."""
        if self.values[0] != self.values[1]:
            return "converged", ()
        if np.array_equal(self.clean.ids, self.corrupted.ids):
            return "degenerate", ("the model reads both inputs as the same tokens",)
        return "degenerate", (
            "both inputs give the same target: there is no difference to recover; choose a "
            "corrupted input that changes the answer",
        )


def _row(encoding: Encoding) -> Row:
    return Row(ids=encoding.ids, token_types=encoding.token_types)


def _groups(what: Patched, name: str, heads: int) -> list[tuple[str, tuple[int, ...]]]:
    """The sites of a layer: name for a reader, and heads."""
    if what == "states":
        return [(name, ())]
    if what == "attention":
        return [(name, tuple(range(heads)))]
    return [(f"{name} head {head}", (head,)) for head in range(heads)]


def _check_lengths(model: TokenModel, clean: Encoding, corrupted: Encoding) -> None:
    if len(clean.ids) == len(corrupted.ids):
        return
    same = min(len(clean.ids), len(corrupted.ids))
    first = int(np.argmax(np.append(clean.ids[:same] != corrupted.ids[:same], True)))
    texts = [
        " | ".join(model.decode([int(token)]) for token in encoding.ids[first : first + 8])
        for encoding in (clean, corrupted)
    ]
    raise InputError(
        f"the clean input has {len(clean.ids)} tokens, the corrupted one {len(corrupted.ids)}; "
        "states are patched position by position, so both need the same number. They differ from "
        f"token {first} on: {texts[0]!r} and {texts[1]!r}. Replace words by words of as many tokens "
        "(model.encode(text).ids counts them), rather than adding or dropping any."
    )
