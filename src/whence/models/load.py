"""``whence.load``: a model from an id, a folder, a module in memory, or a callable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from whence.core.errors import ModelLoadError, OptionError, unknown
from whence.models.adapters.callable import CallableModel
from whence.models.checkpoint import Checkpoint, locate, read
from whence.models.task import for_task, require_text, task_in_memory
from whence.models.values import Task

if TYPE_CHECKING:
    from whence.models.adapters.base import TorchModel
    from whence.models.adapters.zero_shot import ZeroShotClassifier

__all__ = ["embedded_folder", "embedded_names", "load"]

EMBEDDED = "embedded:"
NO_LABELS = (
    "labels=... is for callables and zero-shot pipelines; a model states its own label names. Leave "
    "labels out."
)
PIPELINES: dict[str, Task] = {
    "text-classification": "classification",
    "sentiment-analysis": "classification",
    "text-generation": "causal",
    "text2text-generation": "seq2seq",
    "summarization": "seq2seq",
    "feature-extraction": "embedding",
    "token-classification": "token_classification",
    "ner": "token_classification",
    "fill-mask": "masked_lm",
}
"""Tasks of transformers' pipelines, beside translations and zero-shot classification."""

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
    prompt: str | None = None,
) -> TorchModel | ZeroShotClassifier | CallableModel:
    """Load a model so that its decisions can be explained.

    Args:
        ref: Hugging Face id or local folder; ``"embedded:NAME"`` for an example model that
            comes with the package; ``(module, tokenizer)`` or a transformers pipeline already
            in memory, used as it is; or a callable from a list of texts to scores.
        task: ``classification``, ``token_classification``, ``causal``, ``seq2seq``,
            ``masked_lm``, ``embedding`` or ``sparse_embedding`` (a masked language model read as
            SPLADE is); read from the model's configuration if not given.
        device: torch device; ``"auto"``: a GPU where there is one.
        dtype: name of a floating-point type; ``"auto"``: the stored one, but float32 on a CPU,
            where half precision is slow and inexact.
        revision: branch, tag or commit of a Hugging Face id.
        labels: names of a callable's columns, or the candidate labels of a zero-shot pipeline.
        prompt: name of the prompt of an embedding model that stands before each text; none: its
            default prompt.

    Raises:
        ModelLoadError: not found, damaged, weights missing, or of no task whence knows.
        OptionError: unknown task, device, dtype, or an option that has no meaning here.

    Example:
        >>> model = load(lambda texts: [float("good" in t) for t in texts], labels=["good"])
        >>> model.task
        'callable'
    """
    # As the command line and transformers' pipelines write it.
    task = task and task.replace("-", "_")
    if task is not None and task not in get_args(Task):
        raise unknown("task", task, get_args(Task))
    known_task = cast("Task | None", task)
    settings: dict[str, Any] = {} if prompt is None else {"prompt": prompt}
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if isinstance(ref, str | os.PathLike):
        if labels is not None:
            raise OptionError(NO_LABELS)
        checkpoint = _checkpoint_of(str(os.fspath(ref)), revision)
        return _from_checkpoint(checkpoint, known_task, device, dtype, settings)
    if revision is not None:
        raise OptionError(
            "revision=... is for Hugging Face ids; this model is in memory. Leave revision out."
        )
    # Before callables: all of these can be called too, on something else than a list of texts or
    # with something else than scores as the answer.
    if _is_model(ref):
        if (device, dtype) != ("auto", "auto"):
            raise OptionError(
                "device=... and dtype=... are for models that are read from disk; this one is in memory "
                "and stays as it is. Move or cast it before loading."
            )
        return _from_memory(ref, known_task, labels, settings)
    if callable(ref):
        if task not in (None, "callable"):
            raise OptionError(f"task={task!r} is not for callables; leave task out")
        if prompt is not None:
            raise OptionError("prompt=... is for embedding models, not for callables; leave it out")
        return CallableModel(ref, labels=labels)
    raise OptionError(
        f"expected a Hugging Face id or folder, a tuple (module, tokenizer), a pipeline, or a "
        f"callable from texts to scores; got {type(ref).__name__}"
    )


def _is_model(ref: Any) -> bool:
    parts = ("tokenizer", "state_dict", "convert_ids_to_tokens")
    return isinstance(ref, tuple) or any(hasattr(ref, part) for part in parts)


def _from_memory(
    ref: Any, task: Task | None, labels: Sequence[str] | None, settings: dict[str, Any]
) -> TorchModel | ZeroShotClassifier:
    """The adapter around what is in memory: a pair, a pipeline, or a ``SentenceTransformer``."""
    if getattr(ref, "task", None) == "zero-shot-classification":
        return _zero_shot(ref, labels)
    if labels is not None:
        raise OptionError(NO_LABELS)
    if isinstance(ref, tuple):
        if len(cast("tuple[Any, ...]", ref)) != 2:
            raise OptionError(
                f"expected a tuple (module, tokenizer), got one of {len(cast('Any', ref))}"
            )
        module, tokenizer = cast("tuple[Any, Any]", ref)
    elif hasattr(ref, "encode") and hasattr(ref, "prompts"):
        from whence.models.adapters.sentence_modules import in_memory

        module, tokenizer, stated, own = in_memory(ref)
        settings = {**settings, **own}
        task = task or stated
    elif hasattr(ref, "model") and hasattr(ref, "tokenizer"):
        module, tokenizer = ref.model, ref.tokenizer
        task = task or _pipeline_task(ref)
        applied = getattr(ref, "_postprocess_params", {}).get("function_to_apply")
        if applied is not None:
            settings = {**settings, "activation": applied.value}
    else:
        what = f"the class {ref.__name__}" if isinstance(ref, type) else f"a {type(ref).__name__}"
        raise OptionError(
            f"expected a module with its tokenizer, whence.load((module, tokenizer)), got {what} alone. "
            "Where it takes a list of texts itself: whence.load(lambda texts: module(texts))"
        )
    # What torch.compile wraps computes the same, and its layers can be watched.
    module = getattr(module, "_orig_mod", module)
    name = getattr(getattr(module, "config", None), "_name_or_path", "")
    name = str(name) or f"memory:{type(module).__name__}"
    checkpoint = Checkpoint(name, name, None, None)
    return _adapt(module, tokenizer, task, checkpoint, settings)


def _require_weights(module: Any, ref: str) -> None:
    """Refuse a module that was built without its weights; those that accelerate fetches are there."""
    fetched = any(hasattr(child, "_hf_hook") for child in module.modules())
    if not fetched and any(parameter.is_meta for parameter in module.parameters()):
        raise ModelLoadError(
            f"{ref}, a {type(module).__name__}, was built on the device 'meta', without its weights; load "
            "them first, as from_pretrained() does, or module.load_state_dict(..., assign=True)"
        )


def _pipeline_task(pipeline: Any) -> Task | None:
    """The task of a pipeline's own name; ``None`` for what is no pipeline.

    Raises:
        ModelLoadError: a pipeline whose answer is not explained.
    """
    name = getattr(pipeline, "task", None)
    if not isinstance(name, str):
        return None
    if name not in PIPELINES and not name.startswith("translation"):
        raise ModelLoadError(
            f"a pipeline of {name!r} gives an answer that whence does not explain; expected one of "
            f"{', '.join(PIPELINES)}. Where its model alone is meant: "
            "whence.load((pipeline.model, pipeline.tokenizer), task=...)"
        )
    return PIPELINES.get(name, "seq2seq")


def _zero_shot(pipeline: Any, labels: Sequence[str] | None) -> ZeroShotClassifier:
    from whence.models.adapters.zero_shot import TEMPLATE, ZeroShotClassifier

    asked, read = pipeline._preprocess_params, pipeline._postprocess_params  # noqa: SLF001 - kept nowhere else
    labels = labels or asked.get("candidate_labels")
    if not labels:
        raise OptionError(
            "a zero-shot pipeline answers which of some labels fits; give them: "
            "whence.load(pipeline, labels=['refund', 'complaint'])"
        )
    return ZeroShotClassifier(
        pipeline.model,
        pipeline.tokenizer,
        ref=str(pipeline.model.config._name_or_path) or f"memory:{type(pipeline.model).__name__}",  # noqa: SLF001
        labels=[str(label) for label in labels],
        template=asked.get("hypothesis_template", TEMPLATE),
        multi_label=bool(read.get("multi_label", False)),
    )


def _checkpoint_of(ref: str, revision: str | None) -> Checkpoint:
    if ref.startswith(EMBEDDED):
        folder = embedded_folder(ref.removeprefix(EMBEDDED))
        return Checkpoint(ref, str(folder), folder, revision)
    return locate(ref, revision)


def _from_checkpoint(
    checkpoint: Checkpoint, task: Task | None, device: str, dtype: str, settings: dict[str, Any]
) -> TorchModel:
    module, tokenizer, task = read(checkpoint, task, device, dtype)
    if task in ("embedding", "sparse_embedding"):
        from whence.models.adapters.sentence_modules import from_folder

        settings = {**settings, **from_folder(checkpoint, task)}
    return _adapt(module, tokenizer, task, checkpoint, settings)


def _adapt(
    module: Any,
    tokenizer: Any,
    task: Task | None,
    checkpoint: Checkpoint,
    settings: dict[str, Any],
) -> TorchModel:
    """The adapter of a task around a module and its tokenizer, with what that adapter alone takes."""
    from whence.models.adapters.causal import CausalLM
    from whence.models.adapters.classifier import SequenceClassifier
    from whence.models.adapters.embedder import Embedder
    from whence.models.adapters.masked_lm import MaskedLM, SparseEmbedder
    from whence.models.adapters.seq2seq import Seq2SeqLM
    from whence.models.adapters.token_classifier import TokenClassifier

    ref = checkpoint.ref
    if not hasattr(module, "config") or not hasattr(module, "get_input_embeddings"):
        inside = "; give its .module" if hasattr(getattr(module, "module", None), "config") else ""
        raise OptionError(
            f"expected (module, tokenizer) with a transformers model, got a {type(module).__name__}"
            f"{inside}"
        )
    if tokenizer is None:
        raise ModelLoadError(f"{ref} comes without a tokenizer; give (module, tokenizer)")
    if task is None:
        # The class in memory decides: config.architectures names the class that the folder was
        # saved as, which may have another head, and is unset in a model made from its sizes.
        inner = module.get_base_model() if hasattr(module, "get_base_model") else module
        task = task_in_memory(inner, ref)
    adapters: dict[str, Any] = {
        "classification": SequenceClassifier,
        "token_classification": TokenClassifier,
        "causal": CausalLM,
        "seq2seq": Seq2SeqLM,
        "masked_lm": MaskedLM,
        "embedding": Embedder,
        "sparse_embedding": SparseEmbedder,
    }
    if task not in adapters:
        raise OptionError(f"task={task!r} is not for transformers models; leave task out")
    if "prompt" in settings and task != "embedding":
        raise OptionError(
            f"prompt=... is for embedding models, and {ref} is of task {task}; leave prompt out"
        )
    module = for_task(module, task, ref)
    require_text(module, ref)
    _require_weights(module, ref)
    return adapters[task](module, tokenizer, ref=ref, revision=checkpoint.revision, **settings)
