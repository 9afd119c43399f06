"""Configuration, weights and tokenizer of a model, from a local folder or a Hugging Face id."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from whence.core.errors import ModelLoadError, OptionError
from whence.models.peft_folder import AdapterFolder
from whence.models.task import named_class, task_of, task_of_class
from whence.models.values import Task

__all__ = ["Checkpoint", "StoredModule", "locate", "read", "sparse_pooling"]


@dataclass(frozen=True, slots=True)
class StoredModule:
    """A module of a sentence-transformers folder: the name of its class, and its subfolder."""

    kind: str
    path: str

    def file(self, name: str) -> str:
        """The path of one of its files, from the folder of the model on."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model is read from: ``path`` is a folder's path or an id, ``ref`` what the user gave."""

    ref: str
    path: str
    folder: Path | None
    revision: str | None

    def file(self, name: str) -> Path | None:
        """One file of a folder or of an id; ``None`` where there is none of that name."""
        from transformers.utils.hub import cached_file

        found = cached_file(
            self.path,
            name,
            revision=self.revision,
            _raise_exceptions_for_missing_entries=False,
        )
        return None if found is None else Path(found)

    def json(self, name: str) -> Any:
        """What a JSON file holds; ``None`` where there is none of that name.

        Raises:
            ModelLoadError: not JSON.
        """
        path = self.file(name)
        if path is None:
            return None
        try:
            return json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise ModelLoadError(f"{path} is not JSON: {error}") from error

    def modules(self) -> tuple[StoredModule, ...]:
        """The modules that a sentence-transformers folder lists, in order; else none.

        Raises:
            ModelLoadError: a module that is code of the folder, or lies outside it.
        """
        modules: list[StoredModule] = []
        for entry in cast("list[dict[str, str]]", self.json("modules.json") or []):
            path, kind = PurePosixPath(entry["path"]), entry["type"]
            if path.is_absolute() or ".." in path.parts:
                raise ModelLoadError(
                    f"modules.json of {self.ref} names a module outside its folder: {entry['path']!r}"
                )
            if not kind.startswith("sentence_transformers."):
                raise ModelLoadError(
                    f"{self.ref} has a module {kind!r} whose code lies in its own folder, which whence "
                    "does not run. Load it with sentence-transformers and ask it as a function: "
                    "whence.load(lambda texts: model.similarity(model.encode(texts), other))"
                )
            modules.append(
                StoredModule(kind.rpartition(".")[2], "" if path == PurePosixPath() else str(path))
            )
        return tuple(modules)


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


CONFIGURATIONS = ("config.json", "modules.json", "adapter_config.json")
"""One of these is in every folder of a model: transformers' own, that of sentence-transformers, whose
transformer may lie in a subfolder, or that of an adapter of peft."""


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise ModelLoadError(f"{path} is a file; expected a folder with config.json and weights")
    if not any((path / name).is_file() for name in CONFIGURATIONS):
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
    checkpoint: Checkpoint, task: Task | None, device: Any, dtype: str, labels: int | None = None
) -> tuple[Any, Any, Task, list[str]]:
    """Module, tokenizer, task, and the names of weights that the folder does not hold.

    ``labels`` is their number where another folder holds the head.
    """
    import transformers

    adapter = _adapter(checkpoint)
    if adapter is not None:
        return _with_adapter(checkpoint, adapter, task, device, dtype)
    modules = checkpoint.modules()
    place = {"revision": checkpoint.revision, "subfolder": _transformer_folder(checkpoint, modules)}
    config = transformers.AutoConfig.from_pretrained(checkpoint.path, **place)
    if labels is not None and labels != config.num_labels:
        config.num_labels = labels
    task = task or _stated_task(checkpoint, modules) or task_of(config, checkpoint.ref)
    loaders: dict[str, Any] = {
        "classification": transformers.AutoModelForSequenceClassification,
        "causal": _named_class(config, "causal") or transformers.AutoModelForCausalLM,
        "seq2seq": _named_class(config, "seq2seq") or transformers.AutoModelForSeq2SeqLM,
        "embedding": _encoder_class(config),
        "token_classification": transformers.AutoModelForTokenClassification,
        "masked_lm": transformers.AutoModelForMaskedLM,
        "sparse_embedding": transformers.AutoModelForMaskedLM,
    }
    if task == "embedding" and loaders[task] is not transformers.AutoModel:
        # A class of the encoder alone may refuse the configuration of both stacks.
        config.is_encoder_decoder = False
    module, info = loaders[task].from_pretrained(
        checkpoint.path,
        config=config,
        dtype=_dtype(dtype, config, device),
        output_loading_info=True,
        **place,
        **({"device_map": "auto"} if _is_quantised(config) else {}),
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.path, **place)
    if modules:
        _limit_and_lower(tokenizer, checkpoint, modules[0])
    missing = sorted(info["missing_keys"])
    if task == "embedding":
        # The states of the tokens are read, from which the pooler of BERT's kind makes a vector
        # that no pooling here takes; a masked-language-model folder does not hold one.
        missing = [name for name in missing if "pooler" not in name.split(".")]
    return module, tokenizer, task, missing


def _adapter(checkpoint: Checkpoint) -> AdapterFolder | None:
    """The adapter that a folder holds in place of a model; ``None`` for a model."""
    if checkpoint.file("config.json") is not None:
        return None
    settings = checkpoint.json("adapter_config.json")
    if settings is None:
        return None
    weights = checkpoint.file("adapter_model.safetensors")
    return AdapterFolder(checkpoint.ref, checkpoint.path, settings, weights)


def _with_adapter(
    checkpoint: Checkpoint, adapter: AdapterFolder, task: Task | None, device: Any, dtype: str
) -> tuple[Any, Any, Task, list[str]]:
    """As :func:`_from_pretrained`, of the model that an adapter changes, with the adapter on it."""
    import transformers

    base = locate(adapter.base, adapter.settings.get("revision"))
    module, tokenizer, task, missing = _from_pretrained(
        base, task or adapter.task, device, dtype, adapter.labels()
    )
    # The head is trained with the adapter and stored in its folder.
    held = adapter.names()
    missing = [name for name in missing if name not in held]
    if checkpoint.file("tokenizer_config.json") is not None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            checkpoint.path, revision=checkpoint.revision
        )
    return adapter.put_on(module), tokenizer, task, missing


def _transformer_folder(checkpoint: Checkpoint, modules: tuple[StoredModule, ...]) -> str:
    """The subfolder of the transformer: that of the first module of sentence-transformers."""
    if not modules:
        return ""
    if modules[0].kind not in ("Transformer", "MLMTransformer"):
        raise ModelLoadError(
            f"{checkpoint.ref} begins with a {modules[0].kind}, which has no transformer whose tokens "
            "whence could perturb. Load it with sentence-transformers and ask it as a function of "
            "texts: whence.load(lambda texts: model.similarity(model.encode(texts), other))"
        )
    return modules[0].path


def _stated_task(checkpoint: Checkpoint, modules: tuple[StoredModule, ...]) -> Task | None:
    """The task of a sentence-transformers folder; ``None`` where the configuration names it."""
    settings = checkpoint.json("config_sentence_transformers.json") or {}
    # A CrossEncoder is a classifier of pairs.
    if not modules or settings.get("model_type") == "CrossEncoder":
        return None
    return "sparse_embedding" if sparse_pooling(checkpoint) is not None else "embedding"


def sparse_pooling(checkpoint: Checkpoint) -> dict[str, str] | None:
    """The settings of the pooling that makes a sparse embedding; ``None`` where there is none."""
    pooling = [module for module in checkpoint.modules() if module.kind == "SpladePooling"]
    return checkpoint.json(pooling[0].file("config.json")) or {} if pooling else None


def _named_class(config: Any, task: Task) -> Any:
    """The class that the configuration names, if it is of this task; ``None``: one of transformers' table.

    The tables lack decoders that read images as well.
    """
    for name in getattr(config, "architectures", None) or []:
        kind = named_class(name)
        if kind is not None and task_of_class(kind, name, config) == task:
            return kind
    return None


def _encoder_class(config: Any) -> Any:
    """The class that gives the states of a text's tokens: of an encoder-decoder, the encoder's.

    sentence-transformers takes the same: a decoder's states are of another text.
    """
    import transformers

    name = type(config).__name__.removesuffix("Config") + "EncoderModel"
    return getattr(transformers, name, transformers.AutoModel)


SETTINGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Names that sentence-transformers gave, over time, to the settings of its transformer."""


def _limit_and_lower(tokenizer: Any, checkpoint: Checkpoint, transformer: StoredModule) -> None:
    """Set a tokenizer's limit and lower-casing to those of a sentence-transformers folder."""
    from tokenizers import normalizers

    found = (checkpoint.json(transformer.file(name)) for name in SETTINGS)
    settings: dict[str, Any] = next((each for each in found if each), {})
    ways = settings.get("modality_config") or {"text": {}}
    if "message" in ways or ways["text"].get("method_output_name", STATES) not in (STATES, LOGITS):
        raise ModelLoadError(
            f"{checkpoint.ref} makes chat messages of its texts, or reads another output than the "
            f"tokens' states (modality_config: {ways}), which whence does not"
        )
    if settings.get("max_seq_length") is not None:
        tokenizer.model_max_length = settings["max_seq_length"]
    if settings.get("do_lower_case"):
        backend = tokenizer.backend_tokenizer
        steps = [step for step in (backend.normalizer,) if step is not None]
        # Lowering twice is lowering once, so a normaliser that lowers already may stay.
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


STATES, LOGITS = "last_hidden_state", "logits"


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
