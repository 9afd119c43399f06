"""Models: the one room that knows transformers. ``load`` makes any model explainable."""

from whence.models.load import embedded_names, load
from whence.models.protocols import (
    Encoding,
    GivesGradients,
    Input,
    Model,
    Precision,
    Task,
    TextModel,
    TokenModel,
)

__all__ = [
    "Encoding",
    "GivesGradients",
    "Input",
    "Model",
    "Precision",
    "Task",
    "TextModel",
    "TokenModel",
    "embedded_names",
    "load",
]
