"""Configuration, weights and tokenizer of a model, from a local folder or a Hugging Face id."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from whence.core.errors import ModelLoadError, OptionError
from whence.models.values import Task

__all__ = ["Checkpoint", "locate", "pooling_of", "read", "task_of"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model is read from: ``path`` is a folder's path or an id, ``ref`` what the user gave."""

    ref: str
    path: str
    folder: Path | None
    revision: str | None


def locate(ref: str, revision: str | None) -> Checkpoint:
    """A folder, or a Hugging Face id where there is no folder of that name.

    Raises:
        ModelLoadError: a path to no folder, or to a folder without a configuration.
    """
    path = Path(ref).expanduser()
    if path.exists():
        _check_folder(path)
        return Checkpoint(ref, str(path), path, revision)
    # An id is one word, or two with one slash between them.
    if "\\" in ref or ref.startswith((".", "/", "~")) or ref.count("/") > 1:
        raise ModelLoadError(
            f"no folder {ref}: a local model is a folder with config.json, weights "
            "(.safetensors) and tokenizer.json. Check the path, or give a Hugging Face id "
            "such as organisation/name."
        )
    return Checkpoint(ref, ref, None, revision)


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise ModelLoadError(f"{path} is a file; expected a folder with config.json and weights")
    if not (path / "config.json").is_file():
        inside = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
        raise ModelLoadError(f"{path} is no model folder: it has no config.json, only {inside}")


def read(
    checkpoint: Checkpoint, task: Task | None, device: str, dtype: str
) -> tuple[Any, Any, Task]:
    """The module in evaluation mode on its device, the tokenizer, and the task.

    Raises:
        ModelLoadError: not found, damaged, weights missing, no tokenizer, or an unknown task.
        OptionError: no such device.
    """
    import torch

    target = _device(device)
    # transformers may draw from the global generator (weights that the folder lacks, before they
    # are refused below). Loading a model must not change what the caller draws next.
    with _quiet(), torch.random.fork_rng(devices=[]):
        try:
            module, tokenizer, task, missing = _from_pretrained(checkpoint, task, target, dtype)
        except (ModelLoadError, OptionError):
            raise
        except Exception as error:  # transformers, tokenizers and safetensors each raise their own
            raise ModelLoadError(
                f"could not load {checkpoint.ref}: {type(error).__name__}: {_first_line(error)} "
                "Check that the folder is complete and undamaged (config.json, .safetensors "
                "weights, tokenizer.json), or that the id exists and can be reached."
            ) from error
        if missing:
            raise ModelLoadError(
                f"{checkpoint.ref} lacks {len(missing)} weight(s) of a {type(module).__name__}: "
                f"{', '.join(missing[:4])}. They would be random numbers, and so would every "
                f"explanation. Is task={task!r} the model's own?"
            )
        if len(tokenizer) - len(set(tokenizer.all_special_ids)) < 2:
            # transformers makes an empty tokenizer where a folder holds none, without a word.
            raise ModelLoadError(
                f"{checkpoint.ref} comes without a tokenizer (tokenizer.json); whence needs the one "
                "that the model was trained with. Add it to the folder."
            )
        module.eval()
        # A quantised module was placed by device_map; some kinds refuse to be moved.
        if not _is_quantised(module.config):
            module.to(target)
    return module, tokenizer, task


def _from_pretrained(
    checkpoint: Checkpoint, task: Task | None, device: Any, dtype: str
) -> tuple[Any, Any, Task, list[str]]:
    """Module, tokenizer, task, and the names of weights that the folder does not hold."""
    import transformers

    path, revision = checkpoint.path, checkpoint.revision
    config = transformers.AutoConfig.from_pretrained(path, revision=revision)
    task = task or task_of(config, checkpoint.ref)
    loaders: dict[str, Any] = {
        "classification": transformers.AutoModelForSequenceClassification,
        "causal": transformers.AutoModelForCausalLM,
        "seq2seq": transformers.AutoModelForSeq2SeqLM,
        "embedding": transformers.AutoModel,
    }
    module, info = loaders[task].from_pretrained(
        path,
        revision=revision,
        dtype=_dtype(dtype, config, device),
        output_loading_info=True,
        **({"device_map": "auto"} if _is_quantised(config) else {}),
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, revision=revision)
    return module, tokenizer, task, sorted(info["missing_keys"])


def _is_quantised(config: Any) -> bool:
    return getattr(config, "quantization_config", None) is not None


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return text if text.endswith(".") else f"{text}."


@contextmanager
def _quiet() -> Generator[None]:
    """Turn off the progress bars and warnings of transformers; its settings are restored after."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _device(device: str) -> Any:
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        result = torch.device(device)
    except RuntimeError as error:
        raise OptionError(
            f"expected a device ('auto', 'cpu', 'cuda', 'cuda:1' or 'mps'), got {device!r}"
        ) from error
    if result.type == "cuda" and not torch.cuda.is_available():
        raise OptionError(f"device={device!r}, but this machine has no CUDA GPU; use 'cpu'")
    return result


def _dtype(dtype: str, config: Any, device: Any) -> Any:
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    stored = getattr(config, "dtype", None)
    if (
        device.type == "cpu"
        and not _is_quantised(config)
        and stored in (torch.float16, torch.bfloat16)
    ):
        return torch.float32
    return "auto"


def task_of(config: Any, ref: str) -> Task:
    """The task that a configuration's class name states.

    Raises:
        ModelLoadError: none that whence knows.
    """
    names = [str(name) for name in (getattr(config, "architectures", None) or [])]
    for name in names:
        if name.endswith("ForSequenceClassification"):
            return "classification"
        if name.endswith(("ForConditionalGeneration", "ForSeq2SeqLM")):
            return "seq2seq"
        if name.endswith(("ForCausalLM", "LMHeadModel")):
            return "causal"
        # Last, since LMHeadModel ends in Model too.
        if name.endswith("Model"):
            return "embedding"
    raise ModelLoadError(
        f"{ref} is {', '.join(names) or 'of no stated architecture'}; expected a sequence classifier, "
        "a causal or sequence-to-sequence language model, or an embedding model. Give task=... if it "
        "is one of these."
    )


def pooling_of(folder: Path) -> str:
    """The pooling that a sentence-transformers folder states: mean, cls or last; else the mean."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    try:
        settings = cast("dict[str, Any]", json.loads(path.read_text("utf-8")))
    except ValueError as error:
        raise ModelLoadError(f"{path} is not JSON: {error}") from error
    for key, name in (
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_lasttoken", "last"),
    ):
        if settings.get(key):
            return name
    raise ModelLoadError(f"{path} asks for an unknown pooling; expected mean, cls or last")
