"""The search for a smallest set of edits that flips a decision: singles, then combinations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import comb

import numpy as np

from whence.core.other_explanations import Boundary, Edit
from whence.decisions.candidate_edits import Candidates
from whence.decisions.edited_texts import EditedTexts
from whence.decisions.minimal_subset import minimal_subset
from whence.decisions.number_boundary import nearest_flip

__all__ = ["EditSearch", "Flip", "Limits"]

MOVES_EACH = 2
"""Edits of one feature that go into combinations: the two nearest to a flip. Chosen by hand."""

Move = tuple[int, Edit]
State = tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a search goes: states that a depth hands on, and edits at most."""

    beam: int
    edits: int


@dataclass(frozen=True, slots=True, eq=False)
class Flip:
    """A set of edits that flips, whether it is minimal, and the bracket of an edited number."""

    state: State
    minimal: bool | None
    boundary: Boundary | None

    @property
    def features(self) -> frozenset[int]:
        """Features that are edited."""
        return frozenset(index for index, _ in self.state)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits."""
        return tuple(edit for _, edit in self.state)


class EditSearch:
    """Sets of edits, fewest first, each asked of the model.

    Singles are asked first: deletions, numbers, then substitutions, of the features in ``order``. Sets
    of more combine the edits nearest to a flip: all of them where they fit half of what is left of the
    budget, else by a beam.

    Args:
        texts: outputs of the model on edited texts.
        candidates: edits of each feature.
        kinds: kinds of edits that are allowed.
        limits: width and depth.
        order: features, the most promising first; none: by what their deletion does.
        prefer: cost of a set of edits among flips of one size; the least is taken.
    """

    def __init__(
        self,
        texts: EditedTexts,
        candidates: Candidates,
        *,
        kinds: frozenset[str],
        limits: Limits,
        order: Sequence[int] | None,
        prefer: Callable[[State], tuple[float, ...]],
    ) -> None:
        self._texts, self._candidates, self._kinds = texts, candidates, kinds
        self._limits, self._prefer = limits, prefer
        self._boundaries: dict[tuple[int, str], Boundary] = {}
        self._singles = self._ask_singles(order)

    def smallest(self, banned: frozenset[int]) -> Flip | None:
        """The first set of edits found that flips and touches none of some features."""
        singles = {move: lead for move, lead in self._singles.items() if move[0] not in banned}
        flipped = [(move,) for move in singles if self._flipped((move,))]
        if flipped:
            return self._checked(min(flipped, key=self._prefer))
        moves = self._moves(singles)
        beam: list[State] = [(move,) for move in moves][: self._limits.beam]
        for depth in range(2, self._limits.edits + 1):
            states = self._states(beam, moves, depth)
            leads = self._leads(states)
            flipped = [state for state in leads if self._flipped(state)]
            if flipped:
                return self._checked(min(flipped, key=self._prefer))
            if not leads or self._texts.exhausted:
                return None
            beam = sorted(leads, key=lambda state: leads[state])[: self._limits.beam]
        return None

    def _ask_singles(self, order: Sequence[int] | None) -> dict[Move, float]:
        every = range(len(self._candidates.segmentation))
        ranked = list(every if order is None else order)
        deletions = [(index, self._candidates.deletion(index)) for index in ranked]
        # Asked for the ranking too, where deletions are not allowed as edits.
        leads = self._leads([(move,) for move in deletions]) if self._ranks(order) else {}
        if order is None:
            ranked = [state[0][0] for state in sorted(leads, key=lambda state: leads[state])]
        singles = {s[0]: lead for s, lead in leads.items()} if "deletion" in self._kinds else {}
        if "number" in self._kinds:
            for index in ranked:
                singles |= self._numbers(index)
        moves = chain.from_iterable(
            (
                (index, edit)
                for edit in self._candidates.substitutions(index)
                if edit.how in self._kinds
            )
            for index in ranked
        )
        # Half of what is left goes to combinations of what these show.
        least = self._leads(_first(moves, self._texts.room // 2))
        return singles | {state[0]: lead for state, lead in least.items()}

    def _ranks(self, order: Sequence[int] | None) -> bool:
        return order is None or "deletion" in self._kinds

    def _numbers(self, index: int) -> dict[Move, float]:
        number = self._candidates.number(index)
        if number is None:
            return {}
        asked: dict[Move, float] = {}

        def flips(values: Sequence[int]) -> list[bool | None]:
            moves = [(index, self._candidates.with_number(index, steps)) for steps in values]
            asked.update({s[0]: lead for s, lead in self._leads([(m,) for m in moves]).items()})
            return self._texts.flips([(edit,) for _, edit in moves])

        nearest = nearest_flip(number, flips)
        if nearest is None:
            return asked
        move = (index, self._candidates.with_number(index, nearest[0]))
        self._boundaries[index, move[1].text] = nearest[1]
        # Of values that flip alone only the nearest is an answer.
        return {m: lead for m, lead in asked.items() if m == move or not self._flipped((m,))}

    def _moves(self, singles: dict[Move, float]) -> list[Move]:
        counts: dict[int, int] = {}
        moves: list[Move] = []
        for move in sorted(singles, key=lambda move: singles[move]):
            counts[move[0]] = counts.get(move[0], 0) + 1
            if counts[move[0]] <= MOVES_EACH:
                moves.append(move)
        return moves

    def _states(self, beam: list[State], moves: list[Move], depth: int) -> list[State]:
        if comb(len(moves), depth) <= self._texts.room // 2:
            every = combinations(moves, depth)
            return [state for state in every if len({index for index, _ in state}) == depth]
        grown: dict[frozenset[tuple[int, str]], State] = {}
        for state in beam:
            touched = {index for index, _ in state}
            for move in moves:
                if move[0] not in touched:
                    new = (*state, move)
                    grown.setdefault(frozenset((i, e.text) for i, e in new), new)
        # In the order of the beam, so that a budget that ends cuts the least promising.
        return list(grown.values())

    def _leads(self, states: Iterable[State]) -> dict[State, float]:
        listed = list(states)
        answers = self._texts([_edits(state) for state in listed])
        lead = self._texts.rule.lead
        return {
            state: float(lead(values[None])[0])
            for state, values in zip(listed, answers, strict=True)
            if values is not None
        }

    def _flipped(self, state: State) -> bool:
        return bool(self._texts.flips([_edits(state)])[0])

    def _checked(self, state: State) -> Flip:
        """The smallest flip within a flip, with its numbers moved back to where it just flips."""
        state, minimal = self._pruned(state)
        boundary = None
        for place, (index, edit) in enumerate(state):
            if edit.how != "number":
                continue
            if len(state) == 1:
                boundary = self._boundaries.get((index, edit.text))
                continue
            nearest = self._nearest(state, place)
            if nearest is not None:
                move, boundary = nearest
                state = (*state[:place], move, *state[place + 1 :])
                # The edits are others now, and what their subsets do was not asked yet.
                state, minimal = self._pruned(state)
                break
        return Flip(state, minimal, boundary)

    def _nearest(self, state: State, place: int) -> tuple[Move, Boundary] | None:
        index = state[place][0]
        number = self._candidates.number(index)
        assert number is not None
        rest = [edit for at, (_, edit) in enumerate(state) if at != place]

        def flips(values: Sequence[int]) -> list[bool | None]:
            edits = [self._candidates.with_number(index, steps) for steps in values]
            return self._texts.flips([(*rest, edit) for edit in edits])

        nearest = nearest_flip(number, flips)
        if nearest is None:
            return None
        return (index, self._candidates.with_number(index, nearest[0])), nearest[1]

    def _pruned(self, state: State) -> tuple[State, bool | None]:
        """The smallest subset that flips; with it whether no proper subset of that does."""
        return minimal_subset(state, self._flips)

    def _flips(self, states: Sequence[State]) -> list[bool | None]:
        # No edit at all is the text as it is, which holds its decision.
        return self._texts.flips([_edits(state) for state in states])


def _edits(state: State) -> tuple[Edit, ...]:
    return tuple(edit for _, edit in state)


def _first(moves: Iterable[Move], count: int) -> list[State]:
    return [(move,) for move, _ in zip(moves, np.arange(count), strict=False)]
