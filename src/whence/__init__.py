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

from whence._class_files import class_files
from whence._composition import set_view_loader
from whence._version import __version__ as __version__

# For type checkers, which read no folders: a class that is not listed here is Any to them.
if TYPE_CHECKING:
    from whence.attention.attend import attend as attend
    from whence.attention.compare import compare_attention as compare_attention
    from whence.attention.effect_target import ablate as ablate
    from whence.attention.head_ablation import HeadAblation as HeadAblation
    from whence.attention.logit_lens import logit_lens as logit_lens
    from whence.attention.patching import patch as patch
    from whence.attention.size import attention_size as attention_size
    from whence.attention.store import Attention as Attention
    from whence.attribution import (
        Alti as Alti,
        AttentionFlow as AttentionFlow,
        AttentionKnockout as AttentionKnockout,
        GradientWeightedAttention as GradientWeightedAttention,
        InputXGradient as InputXGradient,
        IntegratedGradients as IntegratedGradients,
        KernelShap as KernelShap,
        LeaveOneOut as LeaveOneOut,
        Lime as Lime,
        LinearDatamodel as LinearDatamodel,
        NormBased as NormBased,
        Random as Random,
        Rollout as Rollout,
        ShapleyValues as ShapleyValues,
        ValueZeroing as ValueZeroing,
        PermutationShap as PermutationShap,
        BanzhafValues as BanzhafValues,
        PartitionShap as PartitionShap,
        Sobol as Sobol,
        Saliency as Saliency,
        SmoothGrad as SmoothGrad,
        VarGrad as VarGrad,
        GradientShap as GradientShap,
        SequentialIntegratedGradients as SequentialIntegratedGradients,
    )
    from whence.attribution.interactions import interactions as interactions
    from whence.core import (
        Attribution as Attribution,
        Continuation as Continuation,
        Contrast as Contrast,
        Expansion as Expansion,
        HeadPatching as HeadPatching,
        Label as Label,
        LogitLens as LogitLens,
        MaskFill as MaskFill,
        Measurement as Measurement,
        NextToken as NextToken,
        Selection as Selection,
        Similarity as Similarity,
        TokenLabel as TokenLabel,
        TrustLabel as TrustLabel,
        WhenceError as WhenceError,
        compare_labels as compare_labels,
        read_record as read_record,
    )
    from whence.decisions.anchors import anchor as anchor
    from whence.decisions.counterfactual import counterfactuals as counterfactuals
    from whence.decisions.subsets import subsets as subsets
    from whence.games import (
        AttentionMask as AttentionMask,
        Deletion as Deletion,
        DiskCache as DiskCache,
        MaskToken as MaskToken,
        MemoryCache as MemoryCache,
        Pad as Pad,
        Paragraphs as Paragraphs,
        Passages as Passages,
        Replacement as Replacement,
        Sentences as Sentences,
        Spans as Spans,
        Tokens as Tokens,
        Turns as Turns,
        Words as Words,
    )
    from whence.models import load as load
    from whence.students.data.query_budget import Budget as Budget
    from whence.students.distill import distill as distill
    from whence.students.teacher.teacher import Teacher as Teacher
    from whence.workflows.adopt import adopt as adopt
    from whence.workflows.explain import explain as explain
    from whence.workflows.judge import judge as judge
    from whence.workflows.measure import measure as measure
    from whence.workflows.select import compare as compare, select as select
    from whence.workflows.specification_curve import specification_curve as specification_curve
    from whence.workflows.verify import verify as verify

_VALUES = {
    "whence.attention.attend": ("attend",),
    "whence.attention.compare": ("compare_attention",),
    "whence.attention.effect_target": ("ablate",),
    "whence.attention.head_ablation": ("HeadAblation",),
    "whence.attention.logit_lens": ("logit_lens",),
    "whence.attention.patching": ("patch",),
    "whence.attention.size": ("attention_size",),
    "whence.attention.store": ("Attention",),
    "whence.attribution.interactions": ("interactions",),
    "whence.core": (
        "Attribution",
        "Continuation",
        "Contrast",
        "Expansion",
        "HeadPatching",
        "Label",
        "LogitLens",
        "MaskFill",
        "Measurement",
        "NextToken",
        "Selection",
        "Similarity",
        "TokenLabel",
        "TrustLabel",
        "WhenceError",
        "compare_labels",
        "read_record",
    ),
    "whence.decisions.anchors": ("anchor",),
    "whence.decisions.counterfactual": ("counterfactuals",),
    "whence.decisions.subsets": ("subsets",),
    "whence.games.cache": ("MemoryCache",),
    "whence.games.disk_cache": ("DiskCache",),
    "whence.models": ("load",),
    "whence.students.data.query_budget": ("Budget",),
    "whence.students.distill": ("distill",),
    "whence.students.teacher.teacher": ("Teacher",),
    "whence.workflows.adopt": ("adopt",),
    "whence.workflows.explain": ("explain",),
    "whence.workflows.judge": ("judge",),
    "whence.workflows.measure": ("measure",),
    "whence.workflows.select": ("compare", "select"),
    "whence.workflows.specification_curve": ("specification_curve",),
    "whence.workflows.verify": ("verify",),
}
"""Functions and values, by the module that defines them."""

_FOLDERS = (
    "whence.attribution.perturbation",
    "whence.attribution.gradient",
    "whence.attribution.attention",
    "whence.attribution.baseline",
    "whence.games.maskers",
    "whence.games.segmenters",
)
"""Folders whose classes are public, one a file: a new method, masker or segmenter is one file."""


# The one place that reaches up to the views: when a value is first displayed.
set_view_loader(lambda: import_module("whence.app.views"))


_MODULES = {name: module for module, names in _VALUES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted({"__version__", *_MODULES, *class_files(_FOLDERS)})
    # No folder is read for a name that the table has.
    module = _MODULES.get(name) or class_files(_FOLDERS).get(name)
    if module is None:
        raise AttributeError(f"module 'whence' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __getattr__("__all__")
