"""Which task a transformers class is for: from what it does, and not from its name alone.

A class that writes says so (``can_generate``), and its configuration says whether it reads with an
encoder. ``...ForConditionalGeneration`` is the name of encoder-decoders and of decoders that read
images as well; ``MarianMTModel`` writes, and ``T5EncoderModel`` does not.
"""

from __future__ import annotations

import inspect
from typing import Any

from whence.core.errors import CapabilityError, ModelLoadError, OptionError
from whence.models.values import Task

__all__ = [
    "for_task",
    "named_class",
    "require_text",
    "table_of",
    "task_in_memory",
    "task_of",
    "task_of_class",
]

_HEADS: dict[str, Task] = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "token_classification",
    "ForMaskedLM": "masked_lm",
}
_SUFFIXES: dict[str, Task] = {
    "ForConditionalGeneration": "seq2seq",
    "ForSeq2SeqLM": "seq2seq",
    "ForCausalLM": "causal",
    "LMHeadModel": "causal",
    # Last, since LMHeadModel ends in Model too.
    "Model": "embedding",
}
"""What the name alone says, of classes that transformers does not hold."""


def task_of(config: Any, ref: str) -> Task:
    """The task of the first class that a configuration names and whence knows.

    Raises:
        ModelLoadError: none that whence knows.
    """
    names = [str(name) for name in (getattr(config, "architectures", None) or [])]
    for name in names:
        task = task_of_class(named_class(name), name, config)
        if task is not None:
            return task
    raise _unknown(ref, ", ".join(names) or "of no stated architecture")


def task_in_memory(module: Any, ref: str) -> Task:
    """The task of a module's own class.

    Raises:
        CapabilityError: none that whence knows, and it does not read text alone.
        ModelLoadError: none that whence knows.
    """
    name = type(module).__name__
    task = task_of_class(type(module), name, module.config)
    if task is None:
        require_text(module, ref)
        raise _unknown(ref, f"a {name}")
    return task


def for_task(module: Any, task: Task, ref: str) -> Any:
    """A module in memory as a task needs it: itself, or what gives the states that are embedded.

    Raises:
        OptionError: a head of another task.
    """
    inner = module.get_base_model() if hasattr(module, "get_base_model") else module
    name = type(inner).__name__
    # A class of one's own may be named in any way; those of transformers say what they are.
    own = named_class(name) is not type(inner)
    stated = None if own else task_of_class(type(inner), name, inner.config)
    if stated in (None, task) or (stated, task) == ("masked_lm", "sparse_embedding"):
        return module
    bare = module.base_model if inner is module else module
    if task == "embedding" and bare is not module:
        return bare
    raise OptionError(
        f"task={task!r} given, but {ref} is a {name}, a model of task {stated}; leave task out, or load "
        "the class of that task"
    )


def _unknown(ref: str, what: str) -> ModelLoadError:
    return ModelLoadError(
        f"{ref} is {what}; expected a classifier of sequences or tokens, a causal, masked or "
        "sequence-to-sequence language model, or an embedding model. Give task=... if it is one of "
        "these."
    )


def named_class(name: str) -> Any:
    """The class of transformers of this name; ``None`` where there is none."""
    import transformers

    return getattr(transformers, name, None)


def task_of_class(kind: Any, name: str, config: Any) -> Task | None:
    """The task of a class with a configuration; ``None`` where whence knows none."""
    for suffix, task in _HEADS.items():
        if name.endswith(suffix):
            return task
    writes = getattr(kind, "can_generate", None)
    if writes is not None and writes():
        return "seq2seq" if getattr(config, "is_encoder_decoder", False) else "causal"
    if writes is not None:
        return "embedding" if name.endswith("Model") else None
    return next((task for suffix, task in _SUFFIXES.items() if name.endswith(suffix)), None)


def require_text(module: Any, ref: str) -> None:
    """Refuse a module that does not read text alone.

    Raises:
        CapabilityError: it reads no token ids, or needs more than them, or has no table of tokens.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [p for p in parameters if p.kind not in several]
    required = [p.name for p in named if p.default is p.empty]
    extra = [name for name in required if name not in ("input_ids", "attention_mask")]
    # A wrapper passes on what it gets.
    reads_ids = len(named) < len(parameters) or any(p.name == "input_ids" for p in named)
    if extra or not reads_ids:
        what = ", ".join(extra or [p.name for p in named][:1]) or "no token ids"
        raise CapabilityError(
            f"expected a model that reads text alone; {ref}, a {type(module).__name__}, needs {what}"
        )
    if table_of(module) is None:
        raise CapabilityError(
            f"{ref}, a {type(module).__name__}, has no table of token embeddings "
            "(get_input_embeddings), by which whence tells its vocabulary"
        )


def table_of(module: Any) -> Any:
    """The table of token embeddings that a module names as its own; ``None`` where it names none."""
    try:
        table = module.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    return table if getattr(getattr(table, "weight", None), "ndim", 0) == 2 else None
