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
    from whence.attention.attending import attend
    from whence.attribution import (
        InputXGradient,
        IntegratedGradients,
        KernelShap,
        LeaveOneOut,
        Lime,
        Random,
        ShapleyValues,
    )
    from whence.attribution.explaining import explain
    from whence.core import (
        Attribution,
        Continuation,
        Contrast,
        Label,
        Measurement,
        NextToken,
        Similarity,
        WhenceError,
        read_record,
    )
    from whence.games import DiskCache, MemoryCache
    from whence.models import load

_HOMES = {
    "attend": "whence.attention.attending",
    "load": "whence.models",
    "explain": "whence.attribution.explaining",
    "DiskCache": "whence.games",
    "MemoryCache": "whence.games",
    **dict.fromkeys(
        (
            "Attribution",
            "Continuation",
            "Contrast",
            "Label",
            "Measurement",
            "NextToken",
            "Similarity",
            "WhenceError",
            "read_record",
        ),
        "whence.core",
    ),
    **dict.fromkeys(
        (
            "InputXGradient",
            "IntegratedGradients",
            "KernelShap",
            "LeaveOneOut",
            "Lime",
            "Random",
            "ShapleyValues",
        ),
        "whence.attribution",
    ),
}

__all__ = [
    "Attribution",
    "Continuation",
    "Contrast",
    "DiskCache",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "Label",
    "LeaveOneOut",
    "Lime",
    "Measurement",
    "MemoryCache",
    "NextToken",
    "Random",
    "ShapleyValues",
    "Similarity",
    "WhenceError",
    "__version__",
    "attend",
    "explain",
    "load",
    "read_record",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'whence' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
