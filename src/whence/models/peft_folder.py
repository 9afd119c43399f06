"""Adapter folders of peft: which model they change, for which task, and what they hold of its head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whence.core.errors import ModelLoadError
from whence.models.values import Task

__all__ = ["AdapterFolder"]

FILE = "adapter_config.json"
TASKS: dict[str, Task] = {
    "SEQ_CLS": "classification",
    "TOKEN_CLS": "token_classification",
    "CAUSAL_LM": "causal",
    "SEQ_2_SEQ_LM": "seq2seq",
    "FEATURE_EXTRACTION": "embedding",
}
HEADS = ("score.weight", "classifier.weight", "out_proj.weight", "dense.weight")
"""The last weight of a head, one row a label, as transformers' families call it."""


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A folder, or an id, that holds changes to a model and not the model.

    Attributes:
        ref: name for messages.
        path: folder or id of the adapter.
        settings: its ``adapter_config.json``.
        weights: its file of weights; ``None`` where they are no safetensors.
    """

    ref: str
    path: str
    settings: dict[str, Any]
    weights: Path | None

    @property
    def base(self) -> str:
        """Folder or id of the model that is changed; a relative folder is one beside the adapter's.

        Raises:
            ModelLoadError: the folder does not say.
        """
        stated = self.settings.get("base_model_name_or_path")
        if not stated:
            raise ModelLoadError(
                f"{self.ref} is an adapter and names no model that it changes: expected "
                f"base_model_name_or_path in its {FILE}"
            )
        beside = Path(self.path) / stated
        return str(beside) if not Path(stated).exists() and beside.exists() else str(stated)

    @property
    def task(self) -> Task | None:
        """The task it was trained for; ``None`` where it does not say."""
        return TASKS.get(str(self.settings.get("task_type")))

    def names(self) -> dict[str, tuple[int, ...]]:
        """The model's own weights that the folder holds in whole, such as a head, with their shape."""
        if self.weights is None:
            return {}
        from safetensors import safe_open

        with safe_open(self.weights, framework="np") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        return {
            key.removeprefix("base_model.model.").replace(".modules_to_save", ""): shape
            for key, shape in shapes.items()
            if ".lora_" not in key
        }

    def labels(self) -> int | None:
        """The number of labels of the head it holds; ``None`` where it holds none."""
        rows = [
            shape[0]
            for name in HEADS
            for key, shape in self.names().items()
            if key.endswith(name) and len(shape) == 2
        ]
        return rows[0] if rows else None

    def put_on(self, module: Any) -> Any:
        """The module with the adapter around it.

        Raises:
            ModelLoadError: peft is not installed.
        """
        try:
            from peft import PeftModel  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ModelLoadError(
                f"{self.ref} is an adapter of {self.base}, and peft, which reads it, is not installed: "
                "pip install peft. Or merge it where peft is: model.merge_and_unload() and "
                "save_pretrained"
            ) from error
        return PeftModel.from_pretrained(module, self.path)
