"""``whence.load``: a model from an id, a folder, a module in memory, or a callable."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from whence.core.errors import ModelLoadError, OptionError, unknown
from whence.models.adapters.callable import CallableModel
from whence.models.protocols import Task

if TYPE_CHECKING:
    from whence.models.adapters.base import TorchModel

__all__ = ["embedded_folder", "embedded_names", "load"]

EMBEDDED = "embedded:"
DTYPES = ("auto", "float32", "float16", "bfloat16", "float64")


def embedded_names() -> tuple[str, ...]:
    """Names of the example models that come with the package."""
    root = files("whence.models") / "embedded"
    if not root.is_dir():
        return ()
    return tuple(sorted(f.name for f in root.iterdir() if (f / "config.json").is_file()))


def embedded_folder(name: str) -> Path:
    """The folder of an example model.

    Raises:
        OptionError: no such model.
    """
    if name not in embedded_names():
        raise unknown("embedded model", name, embedded_names())
    return Path(str(files("whence.models") / "embedded" / name))


def load(
    ref: Any,
    *,
    task: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    labels: Sequence[str] | None = None,
) -> TorchModel | CallableModel:
    """Load a model so that its decisions can be explained.

    Args:
        ref: a Hugging Face id or local folder; ``"embedded:NAME"`` for an example model that
            comes with the package; ``(module, tokenizer)`` or a transformers pipeline already
            in memory, held as it is; or a callable from a list of texts to scores.
        task: ``classification``, ``causal``, ``seq2seq`` or ``embedding``; read from the
            model's configuration where not given.
        device: ``"auto"`` (a GPU where there is one), or a torch device.
        dtype: ``"auto"`` takes the stored one, but float32 on a CPU, where half precision is
            slow and inexact; or its name.
        revision: branch, tag or commit of a Hugging Face id.
        labels: names of a callable's columns.

    Raises:
        ModelLoadError: not found, damaged, weights missing, or of no task whence knows.
        OptionError: unknown task, device, dtype, or an option that has no meaning here.

    Example:
        >>> model = load(lambda texts: [float("good" in t) for t in texts], labels=["good"])
        >>> model.task
        'callable'
    """
    if task is not None and task not in get_args(Task):
        raise unknown("task", task, get_args(Task))
    wanted = cast("Task | None", task)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if isinstance(ref, str | os.PathLike):
        if labels is not None:
            raise OptionError("labels=... is for callables; a model brings its own label names")
        return _from_disk(str(os.fspath(ref)), wanted, device, dtype, revision)
    if revision is not None:
        raise OptionError("revision=... is for Hugging Face ids; this model is already in memory")
    if isinstance(ref, tuple) or (hasattr(ref, "model") and hasattr(ref, "tokenizer")):
        if (device, dtype) != ("auto", "auto"):
            raise OptionError(
                "a model in memory is held as it is; move or cast it yourself before loading"
            )
        pair: Any = ref
        module, tokenizer = pair if isinstance(ref, tuple) else (pair.model, pair.tokenizer)
        return _adapt(
            module, tokenizer, wanted, ref=_memory_ref(module), revision=None, folder=None
        )
    if callable(ref):
        if task not in (None, "callable"):
            raise OptionError(f"task={task!r} asked of a callable; leave task out")
        return CallableModel(ref, labels=labels)
    raise OptionError(
        f"cannot load {type(ref).__name__}; give a Hugging Face id or folder, a tuple "
        "(module, tokenizer), a pipeline, or a callable from texts to scores"
    )


def _memory_ref(module: Any) -> str:
    name = getattr(getattr(module, "config", None), "_name_or_path", "")
    return str(name) or f"memory:{type(module).__name__}"


def _from_disk(
    ref: str, task: Task | None, device: str, dtype: str, revision: str | None
) -> TorchModel:
    if ref.startswith(EMBEDDED):
        folder: Path | None = embedded_folder(ref.removeprefix(EMBEDDED))
        place = str(folder)
    else:
        path = Path(ref).expanduser()
        looks_local = ref.startswith((".", "/", "~")) or ref.count("/") != 1 or "\\" in ref
        if path.exists():
            folder, place = path, str(path)
            _check_folder(path)
        elif looks_local and ("/" in ref or "\\" in ref or ref.startswith((".", "~"))):
            raise ModelLoadError(
                f"no folder {ref}: a local model is a folder with config.json, weights "
                "(.safetensors) and tokenizer.json. Check the path, or give a Hugging Face id "
                "such as organisation/name."
            )
        else:
            folder, place = None, ref
    module, tokenizer, found = _read(place, ref, task, device, dtype, revision)
    return _adapt(module, tokenizer, found, ref=ref, revision=revision, folder=folder)


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise ModelLoadError(f"{path} is a file; a model is a folder with config.json and weights")
    if not (path / "config.json").is_file():
        inside = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
        raise ModelLoadError(
            f"{path} holds no config.json (found: {inside}); it is no model folder"
        )


def _read(
    place: str, ref: str, task: Task | None, device: str, dtype: str, revision: str | None
) -> tuple[Any, Any, Task]:
    import torch
    import transformers

    target = _device(device)
    with _quiet(), torch.random.fork_rng(devices=[]):
        try:
            config = transformers.AutoConfig.from_pretrained(place, revision=revision)
            found = task or _task(config, ref)
            classes = {
                "classification": transformers.AutoModelForSequenceClassification,
                "causal": transformers.AutoModelForCausalLM,
                "seq2seq": transformers.AutoModelForSeq2SeqLM,
                "embedding": transformers.AutoModel,
            }
            quantised = getattr(config, "quantization_config", None) is not None
            loader: Any = classes[found]
            module, info = loader.from_pretrained(
                place,
                revision=revision,
                dtype=_dtype(dtype, config, target, quantised),
                output_loading_info=True,
                **({"device_map": "auto"} if quantised else {}),
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(place, revision=revision)
        except (ModelLoadError, OptionError):
            raise
        except Exception as error:  # each part of the reader has errors of its own
            raise ModelLoadError(
                f"could not load {ref}: {type(error).__name__}: {_first_line(error)} "
                "Check that the folder is complete and undamaged (config.json, .safetensors "
                "weights, tokenizer.json), or that the id exists and can be reached."
            ) from error
        missing = sorted(info["missing_keys"])
        if missing:
            raise ModelLoadError(
                f"{ref} lacks {len(missing)} weight(s) of a {type(module).__name__}: "
                f"{', '.join(missing[:4])}. They would be random numbers, and so would every "
                f"explanation. Is task={found!r} the model's own?"
            )
        if len(tokenizer) - len(set(tokenizer.all_special_ids)) < 2:
            # The reader makes an empty tokenizer where a folder holds none, without a word.
            raise ModelLoadError(
                f"{ref} comes without a tokenizer (tokenizer.json); whence explains text, and "
                "text must be read as the model was taught to read it"
            )
        module.eval()
        if not quantised:
            module.to(target)
    return module, tokenizer, found


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return text if text.endswith(".") else f"{text}."


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars or advice of the reader; its settings are put back as found."""
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
        found = torch.device(device)
    except RuntimeError as error:
        raise OptionError(
            f"device {device!r} asked; 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps' are devices"
        ) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise OptionError(f"device {device!r} asked; this machine has no CUDA GPU. Use 'cpu'.")
    return found


def _dtype(dtype: str, config: Any, target: Any, quantised: bool) -> Any:
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    stored = getattr(config, "dtype", None)
    if target.type == "cpu" and not quantised and stored in (torch.float16, torch.bfloat16):
        return torch.float32
    return "auto"


def _task(config: Any, ref: str) -> Task:
    names = [str(name) for name in (getattr(config, "architectures", None) or [])]
    for name in names:
        if name.endswith("ForSequenceClassification"):
            return "classification"
        if name.endswith(("ForConditionalGeneration", "ForSeq2SeqLM")):
            return "seq2seq"
        if name.endswith(("ForCausalLM", "LMHeadModel")):
            return "causal"
        if name.endswith("Model"):
            return "embedding"
    raise ModelLoadError(
        f"{ref} is {', '.join(names) or 'of no stated architecture'}; whence explains sequence "
        "classifiers, causal and sequence-to-sequence language models, and embedding models. "
        "Say task=... if it is one of these."
    )


def _adapt(
    module: Any,
    tokenizer: Any,
    task: Task | None,
    *,
    ref: str,
    revision: str | None,
    folder: Path | None,
) -> TorchModel:
    from whence.models.adapters.causal import CausalLM
    from whence.models.adapters.classifier import SequenceClassifier
    from whence.models.adapters.embedder import Embedder
    from whence.models.adapters.seq2seq import Seq2SeqLM

    if not hasattr(module, "config") or not hasattr(module, "get_input_embeddings"):
        raise OptionError(
            f"(module, tokenizer) given with a {type(module).__name__}; a transformers model is due"
        )
    if tokenizer is None:
        raise ModelLoadError(f"{ref} comes without a tokenizer; whence explains text")
    found = task
    if found is None:
        named = type(module).__name__
        config: Any = type("Named", (), {"architectures": [named]})
        found = _task(config, ref)
    if found == "classification":
        return SequenceClassifier(module, tokenizer, ref=ref, revision=revision)
    if found == "causal":
        return CausalLM(module, tokenizer, ref=ref, revision=revision)
    if found == "seq2seq":
        return Seq2SeqLM(module, tokenizer, ref=ref, revision=revision)
    if found == "embedding":
        pooling: Any = "mean" if folder is None else _pooling(folder)
        return Embedder(module, tokenizer, ref=ref, revision=revision, pooling=pooling)
    raise OptionError(f"task={found!r} asked of a transformers model; leave task out")


def _pooling(folder: Path) -> str:
    """How a sentence-transformers folder says its tokens become one vector; else the mean."""
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
    raise ModelLoadError(f"{path} asks for a pooling whence does not know; mean, cls, last are")
