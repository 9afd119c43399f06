"""Shortcuts of the adapters, each shown on the rows at hand to change no answer.

The answer to a row is that of the bare module called on this row alone, without padding. Three
shortcuts are faster and may answer otherwise: what rows share is read once (a prefix, an encoder's
pass), rows of several lengths are padded to one, rows share a pass. A readout's first batch that
takes one is compared with its longest and its shortest row read alone; where they differ, the
shortcut is dropped for this readout, and the record says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import torch

from whence.core.errors import ModelOutputError, WhenceError
from whence.models.adapters.local_model import out_of_memory_as_memory_error

__all__ = [
    "TOLERANCE",
    "Answers",
    "Scores",
    "Shortcuts",
    "agree",
    "answers",
    "check_steady",
    "refusal",
    "tolerance_of",
]

Shortcut = Literal["reuse", "padding", "company"]

TOLERANCE = 1e-4
"""Largest deviation of a logit, as a share of its size or of 1, whichever is more: what
``whence.verify`` allows between two machines. Batches of float32 differ by less than 3e-5."""
ROUNDINGS = 8
"""Roundings of a coarser type (half precision) that are allowed where they exceed that; chosen by hand."""
GROWTH = 2
"""A batch is compared again once it takes a shortcut this many times further than any batch before:
over windows of positions, or beyond the room of experts, answers change with size alone."""

REPEATS = 4
"""Times that one row is read of a model that may answer it in several ways: draws of a few hashes or of
dropout often leave a short row as it was."""

INSTEAD: dict[Shortcut, str] = {
    "reuse": "what rows share is read anew for each of them",
    "padding": "only rows of equal length share a pass",
    "company": "each row is read in a pass of its own",
}
"""What is done without a shortcut. Padding goes to the right alone: to the left it moves every token
of models that count positions, and rows of equal length need none."""


class Scores(NamedTuple):
    """Raw numbers ``[rows, columns]`` of one pass, tokens read for them, and tokens reused."""

    raw: torch.Tensor
    tokens: int
    reused: int = 0


class Answers(NamedTuple):
    """Raw numbers of all rows, tokens read, and rows read beside those asked for."""

    raw: torch.Tensor
    tokens: int
    probes: int


@dataclass(slots=True, eq=False)
class Shortcuts:
    """Shortcuts that a readout's rows may still take, how far each was proven, and what was found.

    Attributes:
        taken: shortcuts not dropped so far, in the order in which they are given up.
        proven: tokens over which each was seen to change nothing.
        dropped: reasons, each with the last shortcut that was given up for it.
        remarks: sentences for the record on what could not be shown.
        differentiated: inputs whose gradients were compared with their values.
        steady: whether a row alone, read several times, had one answer; asked where a pass draws random
            numbers, or where a shortcut changes answers.
    """

    taken: list[Shortcut] = field(default_factory=lambda: list(get_args(Shortcut)))
    proven: dict[Shortcut, int] = field(default_factory=dict["Shortcut", int])
    dropped: dict[str, Shortcut] = field(default_factory=dict[str, "Shortcut"])
    remarks: list[str] = field(default_factory=list[str])
    differentiated: set[bytes] = field(default_factory=set[bytes])
    steady: bool = False

    @property
    def notes(self) -> list[str]:
        """Sentences for the record, one for each reason or doubt."""
        return [
            *(f"{INSTEAD[name]}: {why}" for why, name in self.dropped.items()),
            *self.remarks,
        ]

    @classmethod
    def of_batches(cls) -> Shortcuts:
        """Those of a model in which rows have nothing to share but a pass."""
        return cls(taken=["padding", "company"])

    def due(self, used: dict[Shortcut, int]) -> bool:
        """Whether a batch goes further than what was proven."""
        return any(size > GROWTH * self.proven.get(name, 0) for name, size in used.items())

    def drop(self, used: dict[Shortcut, int], why: str) -> bool:
        """Give up the first shortcut that a batch took; false where it took none."""
        name: Shortcut | None = next((each for each in self.taken if used.get(each, 0)), None)
        if name is None:
            return False
        self.taken.remove(name)
        # A model that refuses any batch gives one reason for all three.
        self.dropped[why] = name
        return True

    def prove(self, used: dict[Shortcut, int]) -> None:
        """Store how far a batch went that agreed with its rows alone."""
        for name, size in used.items():
            self.proven[name] = max(size, self.proven.get(name, 0))

    def groups(self, lengths: Sequence[int]) -> list[list[int]]:
        """Indices of the rows that share a pass."""
        if "company" not in self.taken:
            return [[index] for index in range(len(lengths))]
        if "padding" in self.taken:
            return [list(range(len(lengths)))]
        return [
            [index for index, length in enumerate(lengths) if length == each]
            for each in sorted(set(lengths), reverse=True)
        ]

    def used(self, lengths: Sequence[int], reused: int) -> dict[Shortcut, int]:
        """Tokens over which rows of these lengths take each shortcut."""
        each = [[lengths[index] for index in group] for group in self.groups(lengths)]
        return {
            "reuse": reused,
            "padding": max(max(group) - min(group) for group in each),
            "company": max(len(group) * max(group) if len(group) > 1 else 0 for group in each),
        }


def answers(
    run: Callable[[list[int], bool], Scores],
    lengths: Sequence[int],
    shortcuts: Shortcuts,
    coarseness: float,
    *,
    compare: bool = True,
) -> Answers:
    """Raw numbers of some rows, each within a tolerance of what the row gets alone.

    Args:
        run: function of the indices of rows that share a pass, and whether what they share may be
            read once; of one index it is the bare module's call.
        lengths: tokens of each row.
        shortcuts: state of the readout, changed where a shortcut is proven or dropped.
        coarseness: rounding of the arithmetic, see :func:`tolerance_of`.
        compare: flag without which only what was dropped before, or is refused now, is left out.

    Cost: two rows read once more where a shortcut is compared, all rows where one is dropped, and once
    a readout ``REPEATS`` more where one is dropped or random numbers are drawn.

    Raises:
        ModelOutputError: one row alone has two answers.
    """
    alone: dict[int, torch.Tensor] = {}
    tokens = read = 0
    generators = _generators()
    while True:
        reuse = "reuse" in shortcuts.taken
        try:
            with out_of_memory_as_memory_error():
                parts = [
                    (group, run(group, reuse and len(group) > 1))
                    for group in shortcuts.groups(lengths)
                ]
        except (MemoryError, WhenceError):
            raise
        # A model may refuse a batch, a padded row or a stored prefix in any way its author chose.
        # What is an error of the row itself comes again when it is alone.
        except Exception as error:
            if not shortcuts.drop(shortcuts.used(lengths, reused=1), refusal(error)):
                raise
            continue
        raw = torch.empty_like(parts[0][1].raw[:1]).repeat(len(lengths), 1)
        for group, scores in parts:
            raw[group] = scores.raw
            tokens += scores.tokens
        read += len(lengths)
        if not shortcuts.steady and not torch.equal(_generators(), generators):
            read += _ask_again(run, lengths.index(max(lengths)), coarseness)
            shortcuts.steady = True
        used = shortcuts.used(lengths, max(scores.reused for _, scores in parts))
        if not compare or not shortcuts.due(used):
            break
        # Of the largest pass the longest row, the shortest, and of equal ones the first and the
        # last: experts with room for so many tokens serve the first ones first.
        most = max((group for group, _ in parts), key=lambda group: len(group) * lengths[group[0]])
        order = sorted(most, key=lambda index: (-lengths[index], index))
        for index in (order[0], order[-1]):
            if index not in alone:
                single = run([index], False)
                alone[index] = single.raw[0]
                tokens, read = tokens + single.tokens, read + 1
        truth = torch.stack(list(alone.values()))
        if agree(raw[list(alone)], truth, coarseness):
            shortcuts.prove(used)
            break
        gaps = (raw[list(alone)] - truth).abs().amax(1)
        if not shortcuts.steady:
            worst = list(alone)[int(gaps.argmax())]
            read += _ask_again(run, worst, coarseness)
            shortcuts.steady = True
        shortcuts.drop(
            used,
            f"together their numbers moved by up to {float(gaps.max()):.2g} from those of one alone",
        )
    return Answers(raw, tokens, read - len(lengths))


def _generators() -> torch.Tensor:
    """The states of torch's global generators: a pass that moves them draws random numbers."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    return torch.cat(states)


def _ask_again(run: Callable[[list[int], bool], Scores], index: int, coarseness: float) -> int:
    """Read a row alone a few times and compare its answers; the number of passes."""
    first = run([index], False).raw[0]
    for _ in range(REPEATS - 1):
        check_steady(run([index], False).raw[0], first, coarseness)
    return REPEATS


def check_steady(again: torch.Tensor, first: torch.Tensor, coarseness: float) -> None:
    """Refuse a model whose answers to one row, read twice in the same way, are not one answer.

    Raises:
        ModelOutputError: they differ.
    """
    if not agree(again, first, coarseness):
        raise ModelOutputError(
            "the model answers one text differently in two calls in evaluation mode (by "
            f"{float((again - first).abs().max()):.2g}): it draws random numbers, or keeps something from "
            "one call to the next, so it has no answer to explain. Where its configuration has a seed "
            "(such as hash_seed of Reformer), set it; dropout that is always on has to be turned off"
        )


def refusal(error: Exception) -> str:
    """The reason for giving up a shortcut that a model does not take."""
    return f"the model refuses otherwise ({type(error).__name__}: {error})"


def agree(numbers: torch.Tensor, truth: torch.Tensor, tolerance: float) -> bool:
    """Whether numbers are within a tolerance of others, as a share of their size or of 1."""
    allowed = tolerance * truth.abs().clamp_min(1)
    # Equal: infinities have no difference, and a NaN of the row alone is the game's to refuse.
    same = (numbers == truth) | (numbers.isnan() & truth.isnan())
    return bool((same | ((numbers - truth).abs() <= allowed)).all())


def tolerance_of(*kinds: torch.dtype) -> float:
    """Deviation that the rounding of some floating-point types explains.

    Example:
        >>> tolerance_of(torch.float32), tolerance_of(torch.float32, torch.bfloat16)
        (0.0001, 0.0625)
    """
    eps = [torch.finfo(kind).eps for kind in kinds if kind.is_floating_point]
    return max([TOLERANCE, *(ROUNDINGS * each for each in eps)])
