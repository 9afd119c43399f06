"""Activation patching: what comes back when parts of one run are put into another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from jaxtyping import Float

from whence.attention.common import ask_one, local_model, provenance
from whence.attention.patch_runs import Patched, PatchRuns
from whence.attention.patch_sites import Site, TokenFeature, whole_feature
from whence.core.arrays import frozen_array
from whence.core.depth_records import HeadEffect, HeadPatching
from whence.core.errors import unknown
from whence.core.explanations import Attribution
from whence.core.features import Segmentation
from whence.core.provenance import Provenance, Setting
from whence.core.targets import Link, Target
from whence.games.question import Question
from whence.models.access import GivesHeads, GivesStates
from whence.models.protocols import Input
from whence.models.public_call import public_call

__all__ = ["Direction", "Patched", "Positions", "patch"]

Positions = Literal["each", "all"]
Direction = Literal["denoise", "noise"]


@public_call
def patch(
    model: Any,
    source: Input,
    corrupted: Input,
    *,
    target: Target | str | int | None = None,
    what: str = "states",
    positions: str | None = None,
    direction: str = "denoise",
    link: Link | None = None,
    token_budget: int = 4096,
) -> Attribution | HeadPatching:
    """How much of the difference between two inputs each state, head or layer brings back.

    With ``v`` the target, ``denoise`` runs the corrupted input with one part taken from the clean
    run and scores ``v(patched) - v(corrupted)``; ``noise`` runs the clean input with one part from
    the corrupted run and scores ``v(clean) - v(patched)``. Either way a positive score says that
    the clean part raised the target; the unit is the target's. ``v(clean) - v(corrupted)`` is the
    whole difference: the share recovered is a score over it. Scores do not add up to it.

    The two inputs must have the same number of tokens. Every token read is a feature, special and
    forced ones too (an empty span, the token its ``part``); outputs are the layers. The target is
    resolved on the clean input.

    Cost: 4 passes, one for the decision, and one for each feature and layer where the two runs
    differ in any bit (where they do not, the score is 0 and nothing is run); for states one more,
    the check. A contrast of continuations takes two forward passes each time. A target left open
    is first written by the model, a pass for each token.

    It misleads where the corrupted input is unlike any that the model was trained on, where backup
    heads take over from what is patched, and where the target saturates: a contrast of two answers, or a
    logit, is safer than a probability. Vig et al. (2020, arXiv:2004.12265); Meng et al. (2022,
    arXiv:2202.05262); Zhang & Nanda (2024, arXiv:2309.16042); Heimersheim & Nanda (2024,
    arXiv:2404.15255).

    Args:
        model: local transformers model from :func:`whence.load`.
        source: clean input.
        corrupted: other input, of as many tokens.
        target: label, contrast, token or continuation; none: the predicted label of the clean
            input, or what the model writes after it.
        what: part that is replaced: ``states`` after each block, ``heads`` one by one, or all heads
            of an ``attention`` layer.
        positions: ``each`` token alone, or ``all`` at once; none: ``all`` for heads, else ``each``.
        direction: ``denoise`` shows what is sufficient, ``noise`` what is necessary.
        link: scale of the target; none: as in :func:`whence.explain`.
        token_budget: tokens in a batch to begin with.

    Returns:
        An attribution of features to layers (or heads), or for heads at all positions a
        :class:`~whence.core.depth_records.HeadPatching`.

    Raises:
        InputError: the inputs differ in their number of tokens.
        OptionError: an unknown option, or a contrast of continuations of several tokens.
        CapabilityError: the model's states or heads cannot be read.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> result = whence.patch(model, "She missed no payments.", "She missed 9 payments.")
        >>> result.scores.shape
        (7, 3)
    """
    started = time.perf_counter()
    gives = GivesStates if what == "states" else GivesHeads
    known = local_model(model, "patching", gives=gives)
    for name, value, kind in (
        ("what", what, Patched),
        ("positions", positions, Positions),
        ("direction", direction, Direction),
    ):
        if value is not None and value not in get_args(kind):
            raise unknown(name, value, get_args(kind))
    # Each head at each token would take as many times the passes as there are tokens.
    positions = positions or ("all" if what == "heads" else "each")
    question = ask_one(known, source, target, link, "patching")
    runs = PatchRuns.of(
        question, corrupted, denoise=direction == "denoise", token_budget=token_budget
    )
    # The pass of the decision, which the question made.
    runs.count(len(runs.clean.ids))
    sites = runs.sites(cast("Patched", what))
    features = runs.features() if positions == "each" else (None,)
    scores = runs.scores(sites, features)
    if what == "states":
        runs.check(sites[-1])
    options: dict[str, Setting] = {
        "what": what,
        "positions": positions,
        "direction": direction,
        "corrupted": runs.corrupted.document.text,
    }
    cost = replace(runs.cost, seconds=time.perf_counter() - started)
    origin = provenance(known, "patch", options, cost)
    if what == "heads" and positions == "all":
        heads = tuple(
            HeadEffect(
                layer=site.layer,
                head=site.heads[0],
                effect=float(effect),
                share=_share(float(effect), runs),
            )
            for site, effect in zip(sites, scores[0], strict=True)
        )
        return _head_patching(question, runs, heads, cast("Direction", direction), origin)
    return _attribution(question, runs, _Scores(sites, features, scores), origin)


class _Scores(NamedTuple):
    sites: Sequence[Site]
    features: Sequence[TokenFeature | None]
    values: Float[np.ndarray, "features sites"]


def _attribution(
    question: Question, runs: PatchRuns, scores: _Scores, origin: Provenance
) -> Attribution:
    """Scores of features by layers."""
    document = runs.clean.document
    features = tuple(
        whole_feature(document) if feature is None else feature.feature
        for feature in scores.features
    )
    output = runs.readout.outputs[0]
    outcome, advice = runs.outcome()
    return Attribution(
        segmentation=Segmentation(unit="token", document=document, features=features),
        outputs=tuple(replace(output, name=site.name) for site in scores.sites),
        scores=frozen_array(scores.values),
        std_errors=None,
        values=frozen_array([runs.values[0]] * len(scores.sites)),
        base_values=frozen_array([runs.values[1]] * len(scores.sites)),
        quantity=f"patching effect on {output.name}",
        decision=question.decision,
        completeness=None,
        outcome=outcome,
        advice=advice,
        notes=runs.notes(),
        provenance=origin,
    )


def _head_patching(
    question: Question,
    runs: PatchRuns,
    heads: tuple[HeadEffect, ...],
    direction: Direction,
    origin: Provenance,
) -> HeadPatching:
    """Effects of heads, each at all positions."""
    outcome, advice = runs.outcome()
    return HeadPatching(
        document=runs.clean.document,
        corrupted=runs.corrupted.document,
        decision=question.decision,
        output=runs.readout.outputs[0],
        value=runs.values[0],
        base_value=runs.values[1],
        direction=direction,
        heads=heads,
        outcome=outcome,
        advice=advice,
        notes=runs.notes(),
        provenance=origin,
    )


def _share(effect: float, runs: PatchRuns) -> float | None:
    """The share of the difference; ``None`` where there is none."""
    clean, corrupted = runs.values
    return None if clean == corrupted else effect / (clean - corrupted)
