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

from whence._composition import set_view_loader
from whence._version import __version__

if TYPE_CHECKING:
    from whence.attention.attend import attend
    from whence.attention.compare import compare_attention
    from whence.attention.effect_target import ablate
    from whence.attention.head_ablation import HeadAblation
    from whence.attention.logit_lens import logit_lens
    from whence.attention.patching import patch
    from whence.attention.size import attention_size
    from whence.attention.store import Attention
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
    from whence.students.data.query_budget import Budget
    from whence.students.distill import distill
    from whence.students.teacher.teacher import Teacher
    from whence.workflows.adopt import adopt
    from whence.workflows.explain import explain
    from whence.workflows.judge import judge
    from whence.workflows.select import compare, select
    from whence.workflows.verify import verify

_HOMES = {
    "Attention": "whence.attention.store",
    "HeadAblation": "whence.attention.head_ablation",
    "ablate": "whence.attention.effect_target",
    "attend": "whence.attention.attend",
    "logit_lens": "whence.attention.logit_lens",
    "patch": "whence.attention.patching",
    "attention_size": "whence.attention.size",
    "compare_attention": "whence.attention.compare",
    "load": "whence.models",
    "explain": "whence.workflows.explain",
    "judge": "whence.workflows.judge",
    "adopt": "whence.workflows.adopt",
    "verify": "whence.workflows.verify",
    "Budget": "whence.students.data.query_budget",
    "distill": "whence.students.distill",
    "Teacher": "whence.students.teacher.teacher",
    "compare": "whence.workflows.select",
    "select": "whence.workflows.select",
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


# The one place that reaches up to the views: when a value is first displayed.
set_view_loader(lambda: import_module("whence.app.views"))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'whence' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
