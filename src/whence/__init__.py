"""whence: what a language model decided, which words decided it, and how true that answer is.

>>> import whence
>>> model = whence.load(lambda texts: [2.0 * ("late" in t) for t in texts], labels=["risk"])
>>> e = whence.explain(model, "two late payments", method="shapley-values")
>>> [(r.feature.text, r.score) for r in e.top(1)]
[('late', 2.0)]

Names are imported when they are first used, so ``import whence`` loads no heavy package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from whence._version import __version__

if TYPE_CHECKING:
    from whence.attention.attending import ablate, attend, attention_size
    from whence.attention.comparing import compare_attention
    from whence.attention.effects import HeadAblation
    from whence.attention.kept import Attention
    from whence.attention.logit_lens import logit_lens
    from whence.attention.patching import patch
    from whence.attribution import (
        Alti,
        AttentionFlow,
        AttentionKnockout,
        GradientWeightedAttention,
        InputXGradient,
        IntegratedGradients,
        KernelShap,
        LeaveOneOut,
        Lime,
        NormBased,
        Random,
        Rollout,
        ShapleyValues,
        ValueZeroing,
    )
    from whence.core import (
        Attribution,
        Continuation,
        Contrast,
        HeadPatching,
        Label,
        LogitLens,
        Measurement,
        NextToken,
        Selection,
        Similarity,
        TrustLabel,
        WhenceError,
        compare_labels,
        read_record,
    )
    from whence.games import DiskCache, MemoryCache
    from whence.models import load
    from whence.records.explaining import explain
    from whence.records.foreign import adopt
    from whence.records.judging import judge
    from whence.records.selecting import compare, select
    from whence.records.verifying import verify
    from whence.students.budget import Budget
    from whence.students.distilling import distill
    from whence.students.teacher import Teacher

_HOMES = {
    "Attention": "whence.attention.kept",
    "HeadAblation": "whence.attention.effects",
    "ablate": "whence.attention.attending",
    "attend": "whence.attention.attending",
    "logit_lens": "whence.attention.logit_lens",
    "patch": "whence.attention.patching",
    "attention_size": "whence.attention.attending",
    "compare_attention": "whence.attention.comparing",
    "load": "whence.models",
    "explain": "whence.records.explaining",
    "judge": "whence.records.judging",
    "adopt": "whence.records.foreign",
    "verify": "whence.records.verifying",
    "Budget": "whence.students.budget",
    "distill": "whence.students.distilling",
    "Teacher": "whence.students.teacher",
    "compare": "whence.records.selecting",
    "select": "whence.records.selecting",
    "DiskCache": "whence.games",
    "MemoryCache": "whence.games",
    **dict.fromkeys(
        (
            "Attribution",
            "Continuation",
            "Contrast",
            "HeadPatching",
            "Label",
            "LogitLens",
            "Measurement",
            "NextToken",
            "Selection",
            "Similarity",
            "TrustLabel",
            "WhenceError",
            "compare_labels",
            "read_record",
        ),
        "whence.core",
    ),
    **dict.fromkeys(
        (
            "Alti",
            "AttentionFlow",
            "AttentionKnockout",
            "GradientWeightedAttention",
            "InputXGradient",
            "IntegratedGradients",
            "KernelShap",
            "LeaveOneOut",
            "Lime",
            "NormBased",
            "Random",
            "Rollout",
            "ShapleyValues",
            "ValueZeroing",
        ),
        "whence.attribution",
    ),
}

__all__ = [
    "Alti",
    "Attention",
    "AttentionFlow",
    "AttentionKnockout",
    "Attribution",
    "Budget",
    "Continuation",
    "Contrast",
    "DiskCache",
    "GradientWeightedAttention",
    "HeadAblation",
    "HeadPatching",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "Label",
    "LeaveOneOut",
    "Lime",
    "LogitLens",
    "Measurement",
    "MemoryCache",
    "NextToken",
    "NormBased",
    "Random",
    "Rollout",
    "Selection",
    "ShapleyValues",
    "Similarity",
    "Teacher",
    "TrustLabel",
    "ValueZeroing",
    "WhenceError",
    "__version__",
    "ablate",
    "adopt",
    "attend",
    "attention_size",
    "compare",
    "compare_attention",
    "compare_labels",
    "distill",
    "explain",
    "judge",
    "load",
    "logit_lens",
    "patch",
    "read_record",
    "select",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'whence' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
