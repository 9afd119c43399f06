"""Hand-made records for tests of what stores and shows them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from whence.core import (
    Attribution,
    Candidate,
    Completeness,
    Cost,
    Decision,
    Document,
    Feature,
    HeadEffect,
    HeadPatching,
    Interval,
    KeptPool,
    Label,
    LensPosition,
    LensToken,
    LogitLens,
    Measurement,
    MethodSpec,
    ModelIdentity,
    NamedScore,
    Output,
    Provenance,
    Quantity,
    Segmentation,
    Selection,
    TrustLabel,
)
from whence.core.arrays import frozen_array
from whence.core.attention_record import ReadToken
from whence.core.specification_curve import Specification, SpecificationCurve


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
        for name in ("one", "two", "three")[: len(values)]
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


def lens(**changes) -> LogitLens:
    """Two layers, one position."""
    token = ReadToken(id=5, text="pain", start=0, end=4)
    likely = LensToken(id=7, text=" denied", probability=0.75)
    settings = {
        "document": Document.plain("pain"),
        "decision": Decision(text=" denied"),
        "tokens": (token,),
        "decoder_tokens": (),
        "layers": ("h.0", "h.1"),
        "positions": (LensPosition(index=0, target_id=7, target=" denied"),),
        "log_probabilities": frozen_array([[-2.5], [-0.25]]),
        "ranks": ((3,), (1,)),
        "entropies": frozen_array([[1.5], [0.5]]),
        "divergences": frozen_array([[1.25], [0.0]]),
        "top": (((likely,),), ((likely,),)),
        "certificate": 0.0,
        "notes": ("a note",),
        "provenance": attribution().provenance,
    }
    return LogitLens(**{**settings, **changes})


def head_patching(**changes) -> HeadPatching:
    """Two heads of one layer."""
    one = attribution()
    settings = {
        "document": Document.plain("pain denied"),
        "corrupted": Document.plain("pain stated"),
        "decision": one.decision,
        "output": one.outputs[0],
        "value": 2.0,
        "base_value": 1.0,
        "direction": "denoise",
        "heads": (
            HeadEffect(layer="h.0.attn", head=0, effect=0.25, share=0.25),
            HeadEffect(layer="h.0.attn", head=1, effect=-0.5, share=None),
        ),
        "outcome": "converged",
        "advice": (),
        "notes": (),
        "provenance": one.provenance,
    }
    return HeadPatching(**{**settings, **changes})


def trust_label(**changes) -> TrustLabel:
    """A label of :func:`attribution` whose first output passed one test."""
    fidelity = Measurement(
        name="pool-fidelity",
        value=0.7,
        unit="correlation",
        n=2,
        direction="higher",
        interval=Interval(low=0.5, high=0.9, level=0.95, how="bootstrap"),
        specification=MethodSpec(name="PoolFidelity", options={"pool": 2}),
        random=0.0,
        best=0.8,
    )
    settings = {
        "output": "one",
        "level": "default",
        "grade": "B",
        "says": "Without the marked word the probability falls from 82 % to 41 %.",
        "reasons": (),
        "calibration": None,
        "quantities": (
            Quantity(
                question="Better than chance?",
                finding="pass",
                says="The scores tell which words matter (p = 0.001).",
                measurements=(fidelity,),
            ),
        ),
        "additive_share": None,
        "reliable": (True, False, False),
        "pool": KeptPool(
            masks=("100", "011"),
            values=frozen_array([[0.2, 0.1], [0.5, 0.4]]),
            full=frozen_array([1.5, 0.5]),
            complete=False,
            seed=3,
            masker=MethodSpec(name="Deletion"),
        ),
        "discarded": (),
        "cost": Cost(evaluations=41, distinct_evaluations=41, tokens=200, seconds=0.1),
        "explanations": 0,
        "notes": (),
        **changes,
    }
    return TrustLabel(**settings)


def selection(**changes) -> Selection:
    """Two candidates on two texts."""
    candidates = tuple(
        Candidate(
            name=name,
            method=MethodSpec(name=name),
            fidelity=fidelity,
            interval=None,
            behind=None,
            significant=1.0,
            comprehensiveness=0.3,
            sufficiency=0.1,
            unit="probability",
            evaluations=20.0,
        )
        for name, fidelity in (("lime", 0.8), ("random", 0.1))
    )
    settings = {
        "model": attribution().provenance.model,
        "texts": 2,
        "documents": ("a" * 64, "b" * 64),
        "candidates": candidates,
        "scores": frozen_array([[0.7, 0.9], [0.1, 0.1]]),
        "chosen": "lime",
        "why": "the highest",
        "explainable": True,
        "failed": {"rollout": "the model gives no attention"},
        "pool": 64,
        "judging": 81.0,
        "seed": 0,
        "masker": MethodSpec(name="Deletion"),
        "segmenter": MethodSpec(name="Words"),
        "cost": Cost(evaluations=100, distinct_evaluations=90, tokens=500, seconds=1.0),
        "whence": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        **changes,
    }
    return Selection(**settings)


def specification_curve(**changes) -> SpecificationCurve:
    """Two specifications that ran and one that failed."""
    choices = {
        "method": "lime", "absence": "deletion", "scale": "log_odds", "unit": "word", "seed": "0",
    }  # fmt: skip
    explained = attribution()
    ran = Specification(
        choices=choices, top="late", share=0.5, keeps_top=True, keeps_sign=True, verdict="usable"
    )
    settings = {
        "reason": explained.segmentation.features[0],
        "output": explained.outputs[0],
        "score": 1.5,
        "share": 0.6,
        "choices": choices,
        "verdict": "usable",
        "specifications": (
            ran,
            replace(ran, choices={**choices, "seed": "1"}, keeps_top=False, top="not"),
            Specification(choices={**choices, "method": "integrated-gradients"}, failed="no"),
        ),
        "left_out": {"unit token": "the model is read in text"},
        "model": explained.provenance.model,
        "explanation": explained.digest,
        "cost": Cost(evaluations=100, distinct_evaluations=90, tokens=500, seconds=1.0),
        "whence": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        **changes,
    }
    return SpecificationCurve(**settings)
