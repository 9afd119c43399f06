"""The number that heads have an effect on, and the effects of several heads at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whence.attention.common import local_model, one_target
from whence.attention.head_ablation import HeadAblation
from whence.attention.head_effects import HeadsTogether
from whence.attention.size import Heads, Shapes
from whence.core.errors import OptionError, unknown
from whence.core.targets import LINKS, Continuation, Link, NextToken, Target
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.question import targets_of
from whence.models.access import GivesAttention
from whence.models.protocols import Encoding, Input, Readout, TokenModel

__all__ = ["EffectTarget", "ablate"]


class EffectTarget:
    """A target on a link, with the default of attention: the next token, or what is read."""

    def __init__(self, target: Target | str | int | None, link: str | None) -> None:
        if link is not None and link not in LINKS:
            raise unknown("link", link, LINKS)
        self.target = one_target(target, "attention")
        self.link: Link | None = link

    def readout(
        self, model: TokenModel, encoding: Encoding, continuation: Sequence[int] = ()
    ) -> Readout:
        """The target resolved on an input and the continuation that is read with it."""
        target = self.target
        if target is None and continuation:
            # By ids: its text, tokenised once more, may be other tokens than the model wrote.
            target = Continuation(token_ids=tuple(continuation))
        elif target is None and model.task in ("causal", "seq2seq"):
            target = NextToken()
        return model.readout(encoding, targets_of(target, model), link=self.link)


def ablate(
    model: Any,
    source: Input,
    heads: Heads,
    *,
    target: Target | str | int | None = None,
    link: str | None = None,
    ablation: HeadAblation = HeadAblation(),  # noqa: B008 - frozen
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    seed: int = 0,
) -> HeadsTogether:
    """What the target loses when several heads are replaced at once.

    ``effect = v(x) - v(x | outputs of the heads <- replacements)``, in the target's unit; positive:
    together they raised it. Replacements are those of :class:`HeadAblation`, whose ``measure`` and
    ``control`` are not used here.

    Cost: one pass over two tokens, and what :meth:`HeadAblation.together` states.

    Args:
        model: local transformers model from :func:`whence.load`.
        source: text, pair of texts, or messages.
        heads: pairs of a layer (name or number) and a head's number.
        target: number whose change is measured; none: the predicted label or the next token.
        link: scale of the target.
        ablation: kind and number of replacements.
        token_budget: tokens in a batch to begin with.
        seed: seed of the replacements that are drawn.

    Raises:
        CapabilityError: the model's heads cannot be replaced.
        OptionError: no heads, or no such layer or head.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:copier")
        >>> text = "ta mo ki be lo sa ni go da pi ta mo ki be lo sa"
        >>> one = whence.ablate(model, text, [(1, 2)])
        >>> four = whence.ablate(model, text, [(1, 0), (1, 1), (1, 2), (1, 3)])
        >>> one.effect < 0.1 < 3 < four.effect  # any one of them suffices
        True
    """
    known = local_model(model, "the effect of heads", gives=GivesAttention)
    if not heads:
        raise OptionError("expected at least one head as (layer, head), got no heads")
    question = EffectTarget(target, link)
    encoding = known.encode(source)
    names = Shapes(model, encoding).resolve(heads)
    readout = question.readout(known, encoding)
    return ablation.together(known, encoding, readout, names, seed=seed, token_budget=token_budget)
