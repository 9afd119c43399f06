"""Activation patching: what one run's states, heads or layers do in the other's place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Float

from whence.attention.common import (
    check_model,
    decided,
    provenance,
)
from whence.attention.patch_runs import Patched, TwoRuns
from whence.attention.patch_sites import Place, Site, whole_feature
from whence.core.arrays import frozen_array
from whence.core.depth_records import HeadEffect, HeadPatching
from whence.core.errors import unknown
from whence.core.explanations import Attribution, Decision
from whence.core.features import Segmentation
from whence.core.provenance import Provenance
from whence.core.targets import Link, Target
from whence.models.protocols import GivesHeads, GivesStates, Input

__all__ = ["Direction", "Patched", "Positions", "patch"]

Positions = Literal["each", "all"]
Direction = Literal["denoise", "noise"]


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
    """How much of the difference between two inputs comes back with each state, head or layer.

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

    It misleads where the corrupted input is unlike any the model was made for, where backups take
    over from what is patched, and where the target saturates: a contrast of two answers, or a
    logit, is safer than a probability. Vig et al. (2020, arXiv:2004.12265); Meng et al. (2022,
    arXiv:2202.05262); Zhang & Nanda (2024, arXiv:2309.16042); Heimersheim & Nanda (2024,
    arXiv:2404.15255).

    Args:
        model: a local transformers model.
        source: the clean input.
        corrupted: the other, of as many tokens.
        target: one label, contrast, token or continuation; none: the predicted label of the
            clean input, or what the model writes after it.
        what: ``states`` after each block, ``heads`` one by one, or all heads of an ``attention``
            layer.
        positions: ``each`` token apart, or ``all`` at once; none: ``all`` for heads, else
            ``each``.
        direction: ``denoise`` asks what suffices, ``noise`` what is needed.
        link: the target's scale; none: as in :func:`whence.explain`.
        token_budget: tokens in a batch to begin with.

    Returns:
        An attribution of features to layers (or heads), or for heads at all positions a
        :class:`~whence.core.depth_records.HeadPatching`.

    Raises:
        InputError: the inputs differ in their number of tokens.
        OptionError: an unknown option, or a contrast of continuations of several tokens.
        CapabilityError: the model's inside cannot be had.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> found = whence.patch(model, "She missed no payments.", "She missed 9 payments.")
        >>> found.scores.shape
        (7, 3)
    """
    started = time.perf_counter()
    inside = GivesStates if what == "states" else GivesHeads
    known = check_model(model, "patching", inside=inside)
    for name, asked, kind in (
        ("what", what, Patched),
        ("positions", positions, Positions),
        ("direction", direction, Direction),
    ):
        if asked is not None and asked not in get_args(kind):
            raise unknown(name, asked, get_args(kind))
    positions = positions or ("all" if what == "heads" else "each")
    run = TwoRuns.of(
        known,
        source,
        corrupted,
        target,
        link,
        denoise=direction == "denoise",
        token_budget=token_budget,
    )
    sites = run.sites(cast("Patched", what))
    places = run.places() if positions == "each" else (None,)
    scores = run.scores(sites, places)
    if what == "states":
        run.check(sites[-1])
    options = {
        "what": what,
        "positions": positions,
        "direction": direction,
        "corrupted": run.other.document.text,
    }
    decision = decided(known, run.clean, run.readout, target)
    run.count(len(run.clean.ids))
    cost = replace(run.cost, seconds=time.perf_counter() - started)
    made = provenance(known, "patch", options, cost)
    if what == "heads" and positions == "all":
        return _heads(run, sites, scores[0], decision, made, cast("Direction", direction))
    return _attribution(run, sites, places, scores, decision, made)


def _attribution(
    run: TwoRuns,
    sites: Sequence[Site],
    places: Sequence[Place | None],
    scores: Float[np.ndarray, "places sites"],
    decision: Decision,
    made: Provenance,
) -> Attribution:
    """Features by layers."""
    document = run.clean.document
    features = tuple(
        whole_feature(document) if place is None else place.feature for place in places
    )
    output = run.readout.outputs[0]
    outcome, advice = run.outcome()
    return Attribution(
        segmentation=Segmentation(unit="token", document=document, features=features),
        outputs=tuple(replace(output, name=site.name) for site in sites),
        scores=frozen_array(scores),
        std_errors=None,
        values=frozen_array([run.values[0]] * len(sites)),
        base_values=frozen_array([run.values[1]] * len(sites)),
        quantity=f"patching effect on {output.name}",
        decision=decision,
        completeness=None,
        outcome=outcome,
        advice=advice,
        notes=run.notes(),
        provenance=made,
    )


def _heads(
    run: TwoRuns,
    sites: Sequence[Site],
    effects: Float[np.ndarray, " sites"],
    decision: Decision,
    made: Provenance,
    direction: Direction,
) -> HeadPatching:
    """Heads, each at all positions."""
    clean, other = run.values
    outcome, advice = run.outcome()
    return HeadPatching(
        document=run.clean.document,
        corrupted=run.other.document,
        decision=decision,
        output=run.readout.outputs[0],
        value=clean,
        base_value=other,
        direction=direction,
        heads=tuple(
            HeadEffect(
                layer=site.layer,
                head=site.heads[0],
                effect=float(effect),
                share=None if clean == other else float(effect) / (clean - other),
            )
            for site, effect in zip(sites, effects, strict=True)
        ),
        outcome=outcome,
        advice=advice,
        notes=run.notes(),
        provenance=made,
    )
