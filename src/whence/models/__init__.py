"""Models: the one room that knows transformers. ``load`` makes any model explainable."""

from whence.models.interface import (
    Encoding,
    GivesGradients,
    Input,
    Model,
    Precision,
    Task,
    TextModel,
    TokenModel,
)
from whence.models.loading import embedded_names, load

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
