"""Core: what everything speaks of. Features, targets, explanations, measurements, errors.

NumPy and pydantic only: no torch.
"""

from whence.core.depth_records import HeadEffect, HeadPatching, LensPosition, LensToken, LogitLens
from whence.core.errors import (
    BudgetError,
    CapabilityError,
    DeadlockError,
    GradientError,
    InputError,
    Interrupted,
    ModelLoadError,
    ModelOutputError,
    NewerVersionError,
    OptionError,
    RecordError,
    TextTooLongError,
    TrustError,
    UndefinedError,
    WhenceError,
    WriteError,
)
from whence.core.explanations import Attribution, Completeness, Decision, NamedScore
from whence.core.features import Document, Feature, Part, Segmentation, Span
from whence.core.label_diff import LabelDiff, compare_labels
from whence.core.measurements import Interval, Measurement
from whence.core.other_explanations import Boundary, Counterfactual, Edit, Interactions, Rule
from whence.core.provenance import Cost, MethodSpec, ModelIdentity, Provenance
from whence.core.selection import Candidate, Selection
from whence.core.store import read_record
from whence.core.targets import (
    Continuation,
    Contrast,
    Expansion,
    Label,
    MaskFill,
    NextToken,
    Output,
    Similarity,
    TokenLabel,
)
from whence.core.trust import KeptPool, Quantity, TrustLabel

__all__ = [
    "Attribution",
    "Boundary",
    "BudgetError",
    "Candidate",
    "CapabilityError",
    "Completeness",
    "Continuation",
    "Contrast",
    "Cost",
    "Counterfactual",
    "DeadlockError",
    "Decision",
    "Document",
    "Edit",
    "Expansion",
    "Feature",
    "GradientError",
    "HeadEffect",
    "HeadPatching",
    "InputError",
    "Interactions",
    "Interrupted",
    "Interval",
    "KeptPool",
    "Label",
    "LabelDiff",
    "LensPosition",
    "LensToken",
    "LogitLens",
    "MaskFill",
    "Measurement",
    "MethodSpec",
    "ModelIdentity",
    "ModelLoadError",
    "ModelOutputError",
    "NamedScore",
    "NewerVersionError",
    "NextToken",
    "OptionError",
    "Output",
    "Part",
    "Provenance",
    "Quantity",
    "RecordError",
    "Rule",
    "Segmentation",
    "Selection",
    "Similarity",
    "Span",
    "TextTooLongError",
    "TokenLabel",
    "TrustError",
    "TrustLabel",
    "UndefinedError",
    "WhenceError",
    "WriteError",
    "compare_labels",
    "read_record",
]
