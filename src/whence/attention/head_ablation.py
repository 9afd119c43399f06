"""Which heads matter: estimated for all of them, measured for the top ones and for random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whence.attention.ablation_run import Ablation, AblationInput, AblationRun
from whence.attention.head_effects import (
    Effects,
    HeadName,
    HeadsTogether,
)
from whence.core.errors import CapabilityError, OptionError, unknown
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.models.access import GivesHeads
from whence.models.protocols import Encoding, Readout, TokenModel

__all__ = ["ABLATIONS", "HeadAblation"]

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
    without choosing. The heads that were ranked are measured all at once as well: heads that back
    each other up have a larger effect together than the sum of their own. ``sets`` searches for a small
    set that carries the answer, and for the set of lower layers that feeds it
    (:func:`~whence.attention.head_sets.carrying_set`), and measures both, with draws that
    the search did not see, beside random sets.

    Cost: two gradient passes for each of the readout's sequences, ``2 draws`` passes for the
    replacements, ``draws`` evaluations a measured head (one for ``mean`` and ``zero``), and one
    a batch without a replacement. Heads of one layer are replaced in one batch, below which the blocks
    run once for all its rows; where the row without a replacement shows that the model does not take
    this, every row runs whole, and a note says so. The ranked heads at once: ``3 draws`` more
    (two for ``mean`` and ``zero``). ``sets``:
    ``4`` passes for each set that the search tries, about ``2 k log2(n / k)`` of them for ``k`` of
    ``n`` heads, and ``draws`` for each random set.

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
    sets: bool = False

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
