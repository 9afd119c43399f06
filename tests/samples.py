"""Hand-made records for tests of what stores and shows them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from whence.core import (
    Attribution,
    Completeness,
    Cost,
    Decision,
    Document,
    Feature,
    Label,
    MethodSpec,
    ModelIdentity,
    NamedScore,
    Output,
    Provenance,
    Segmentation,
)
from whence.core.arrays import frozen_array


def attribution(
    *,
    scores=((1.0, -0.5), (-2.0, 0.25), (0.1, 0.0)),
    values=(1.5, 0.5),
    text="pain denied today",
    std_errors=None,
    **changes,
) -> Attribution:
    """Three features over a text of at least three characters, two outputs."""
    count = len(scores)
    size = max(1, len(text) // count)
    cuts = [*range(0, size * count, size), len(text)]
    features = tuple(
        Feature(start=a, end=b, text=text[a:b], part="text") for a, b in pairwise(cuts[: count + 1])
    )
    outputs = tuple(
        Output(name=name, link="log_odds", unit="nat", target=Label(label=name))
        for name in ("one", "two")[: len(values)]
    )
    settings = {
        "segmentation": Segmentation(unit="word", document=Document.plain(text), features=features),
        "outputs": outputs,
        "scores": frozen_array(np.array(scores, dtype=float)),
        "std_errors": None if std_errors is None else frozen_array(std_errors),
        "values": frozen_array(values),
        "base_values": frozen_array(np.zeros(len(values))),
        "quantity": "Shapley value",
        "decision": Decision(text="one", scores=(NamedScore(name="one", value=0.8),)),
        "completeness": Completeness(
            residual=frozen_array(np.zeros(len(values))),
            relative=frozen_array(np.zeros(len(values))),
            by_construction=True,
        ),
        "outcome": "converged",
        "advice": (),
        "notes": ("a note",),
        "provenance": Provenance(
            whence="0.1.0",
            created="2026-01-01T00:00:00+00:00",
            model=ModelIdentity(
                ref="m", task="classification", architecture="Bert", fingerprint="f" * 64
            ),
            method=MethodSpec(name="KernelShap"),
            masker=MethodSpec(name="Deletion"),
            segmenter=MethodSpec(name="Words"),
            seed=0,
            cost=Cost(evaluations=8, distinct_evaluations=7, tokens=50, seconds=0.5),
            choice="because",
        ),
    }
    return Attribution(**{**settings, **changes})
