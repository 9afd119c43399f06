"""What sentence-transformers puts behind a transformer: pooling, projections, norms.

Written anew from its documentation, so that a folder of it needs no further package; in float64,
where a weight of any stored dtype is exact. Each module takes and gives the dictionary of features
that sentence-transformers passes along, so modules of its own can stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from jaxtyping import Float, Int

from whence.core.errors import ModelLoadError
from whence.models.checkpoint import Checkpoint, StoredModule, sparse_pooling
from whence.models.values import Task

__all__ = ["MEAN", "SentenceModules", "from_folder", "in_memory", "read_modules"]

Features = dict[str, Any]
VECTOR = "sentence_embedding"
OLD_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Flags of releases before 5.4, in the order in which their vectors are joined."""


@dataclass(frozen=True, slots=True, eq=False)
class SentenceModules:
    """The modules behind the transformer, and the prompt that stands before each text.

    ``prompts`` are those that the model was trained with, by their names.
    """

    modules: tuple[torch.nn.Module, ...]
    prompt: str = ""
    prompts: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def described(self) -> str:
        """How tokens become one vector, for a reader."""
        names = [_described(*_kind_and_settings(module)) for module in self.modules]
        return ", ".join([*names, *([f"prompt {self.prompt!r}"] if self.prompt else [])])

    def vectors(
        self,
        states: Float[torch.Tensor, "rows tokens width"],
        mask: Int[torch.Tensor, "rows tokens"],
        prompt_length: int,
    ) -> Float[torch.Tensor, "rows dimensions"]:
        """One vector of each row, in float64, not of unit length."""
        features: Features = {"token_embeddings": states, "attention_mask": mask}
        if prompt_length:
            features["prompt_length"] = prompt_length
        for module in self.modules:
            features = module(features)
        return features[VECTOR].double()


def _kind_and_settings(module: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(module, _Module):
        return type(module).__name__.removeprefix("_"), module.settings
    return type(module).__name__, module.get_config_dict()


def _described(kind: str, settings: dict[str, Any]) -> str:
    if kind == "Pooling":
        whole = "" if settings.get("include_prompt", True) else " without prompt"
        return f"{'+'.join(_modes(settings))} pooling{whole}"
    if kind == "Dense":
        activation = settings.get("activation_function", "Tanh").rpartition(".")[2]
        return f"Dense {settings['in_features']}x{settings['out_features']} {activation}"
    return kind


def _modes(settings: dict[str, Any]) -> list[str]:
    modes: str | list[str] | None = settings.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in OLD_KEYS.items() if settings.get(key)] or ["mean"]
    return [modes] if isinstance(modes, str) else list(modes)


class _Module(torch.nn.Module):
    """A module made from the settings that its folder states."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings


class _Pooling(_Module):
    """Vectors of the tokens as one: a mean, a maximum, or one token's; several are joined."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.modes = _modes(settings)
        unknown = [mode for mode in self.modes if mode not in POOLS]
        if unknown:
            raise ModelLoadError(
                f"unknown pooling {unknown[0]!r}; expected one or several of {', '.join(POOLS)}"
            )
        self.include_prompt = settings.get("include_prompt", True)

    def forward(self, features: Features) -> Features:
        """Set the sentence embedding from the token embeddings."""
        states = features["token_embeddings"].double()
        seen = features["attention_mask"].bool()
        if not self.include_prompt:
            first = seen.int().argmax(dim=1, keepdim=True) + features.get("prompt_length", 0)
            seen = seen & (torch.arange(seen.shape[1], device=seen.device) >= first)
        pooled = [POOLS[mode](states, seen, features["attention_mask"]) for mode in self.modes]
        return {**features, VECTOR: torch.cat(pooled, dim=1)}


def _at(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return states[torch.arange(len(states), device=states.device), places]


def _first(states: torch.Tensor, seen: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return _at(states, seen.int().argmax(dim=1))


def _last(states: torch.Tensor, seen: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    places = torch.arange(seen.shape[1], device=seen.device)
    # The last token that is read has the highest place among those seen: others count 0.
    return _at(states * seen[:, :, None], (seen * places).argmax(dim=1))


def _largest(states: torch.Tensor, seen: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    largest = states.masked_fill(~seen[:, :, None], -torch.inf).amax(dim=1)
    # A row whose tokens are all hidden has a vector of zeros, as in a mean.
    return largest.masked_fill(~seen.any(dim=1, keepdim=True), 0.0)


def _weighted(states: torch.Tensor, weights: torch.Tensor, power: float = 1.0) -> torch.Tensor:
    # clamp: a row whose tokens are all hidden has no weight, and a vector of zeros has a cosine of
    # 0 with every text, where 0 / 0 is NaN.
    total = weights.sum(dim=1, keepdim=True).clamp(min=1e-9)
    return (states * weights[:, :, None]).sum(dim=1) / total**power


def _mean(states: torch.Tensor, seen: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return _weighted(states, seen.double())


def _root_mean(states: torch.Tensor, seen: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return _weighted(states, seen.double(), power=0.5)


def _by_position(states: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    # Positions count from the first token that is read, the prompt included.
    start = mask.int().argmax(dim=1, keepdim=True)
    position = torch.arange(1, seen.shape[1] + 1, device=seen.device) - start
    return _weighted(states, seen * position.double())


POOLS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls": _first,
    "max": _largest,
    "mean": _mean,
    "mean_sqrt_len_tokens": _root_mean,
    "weightedmean": _by_position,
    "lasttoken": _last,
}


class _Dense(_Module):
    """``activation(W x + b)``, with the input added again where the folder asks for it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        sizes = settings["in_features"], settings["out_features"]
        self.linear = torch.nn.Linear(*sizes, bias=settings.get("bias", True))
        self.activation_function = _activation(settings.get("activation_function", "torch.nn.Tanh"))
        self.name = settings.get("module_input_name", VECTOR)
        self.result = settings.get("module_output_name") or self.name
        residual = torch.nn.Identity() if settings.get("use_residual") else None
        if residual is not None and sizes[0] != sizes[1]:
            residual = torch.nn.Linear(*sizes, bias=False)
        self.residual = residual

    def forward(self, features: Features) -> Features:
        given = features[self.name].double()
        result = self.activation_function(self.linear(given))
        if self.residual is not None:
            result = result + self.residual(given)
        return {**features, self.result: result}


def _activation(name: str) -> torch.nn.Module:
    kind: Any = getattr(torch.nn, name.rpartition(".")[2], None)
    if not name.startswith("torch.") or not isinstance(kind, type):
        raise ModelLoadError(
            f"a Dense module has the activation {name!r}; expected a class of torch.nn"
        )
    return cast("torch.nn.Module", kind())


class _LayerNorm(_Module):
    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.norm = torch.nn.LayerNorm(settings["dimension"])

    def forward(self, features: Features) -> Features:
        return {**features, VECTOR: self.norm(features[VECTOR].double())}


class _Normalize(_Module):
    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.name = settings.get("module_input_name", VECTOR)
        self.result = settings.get("module_output_name") or self.name

    def forward(self, features: Features) -> Features:
        unit = torch.nn.functional.normalize(features[self.name], dim=-1)
        return {**features, self.result: unit}


KINDS: dict[str, type[_Module]] = {
    "Pooling": _Pooling,
    "Dense": _Dense,
    "LayerNorm": _LayerNorm,
    "Normalize": _Normalize,
}
IDLE = "Dropout"
"""Of training alone."""

ELSEWHERE = (
    f"expected {', '.join([*KINDS, IDLE])} behind a transformer. Load it with sentence-transformers and "
    "ask it as a function of texts: "
    "whence.load(lambda texts: model.similarity(model.encode(texts), other))"
)


MEAN = SentenceModules((_Pooling({}),))
"""What sentence-transformers takes where a folder states nothing."""


POOLING = StoredModule("Pooling", "1_Pooling")


def read_modules(checkpoint: Checkpoint) -> SentenceModules:
    """The modules and the prompt of a folder; of one without any, the mean, as the library does.

    Raises:
        ModelLoadError: a module, pooling or activation of another kind, or damaged files.
    """
    listed = checkpoint.modules()
    stored = listed[1:]
    if not listed and checkpoint.file(POOLING.file("config.json")):
        # The list of modules was lost from the folder, and its pooling is stated all the same.
        stored = (POOLING,)
    modules = [_read_module(checkpoint, module) for module in stored if module.kind != IDLE]
    if not listed and not modules:
        modules = list(MEAN.modules)
    settings = checkpoint.json("config_sentence_transformers.json") or {}
    return _with_prompt(
        checkpoint.ref,
        modules,
        settings.get("prompts") or {},
        settings.get("default_prompt_name"),
    )


def _with_prompt(
    ref: str, modules: list[torch.nn.Module], prompts: dict[str, str], name: str | None
) -> SentenceModules:
    if name is not None and name not in prompts:
        raise ModelLoadError(
            f"{ref} has the default prompt {name!r}, which is none of its prompts: {', '.join(prompts)}"
        )
    if not any(type(module).__name__.endswith("Pooling") for module in modules):
        raise ModelLoadError(
            f"{ref} has no Pooling, so it gives a vector of each token and none of the text; {ELSEWHERE}"
        )
    prompts = {key: text or "" for key, text in prompts.items()}
    return SentenceModules(tuple(modules), "" if name is None else prompts[name], prompts)


def _read_module(checkpoint: Checkpoint, stored: StoredModule) -> torch.nn.Module:
    if stored.kind not in KINDS:
        raise ModelLoadError(
            f"{checkpoint.ref} has a module {stored.kind}, which whence does not read; {ELSEWHERE}"
        )
    settings = checkpoint.json(stored.file("config.json"))
    if settings is None and stored.kind in ("Pooling", "Dense", "LayerNorm"):
        raise ModelLoadError(f"{checkpoint.ref} lacks {stored.file('config.json')}")
    try:
        # A fresh layer draws its weights; loading must not change what the caller draws next.
        with torch.random.fork_rng(devices=[]):
            module = KINDS[stored.kind](settings or {})
        if module.state_dict():
            module.load_state_dict(_weights(checkpoint, stored))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelLoadError(
            f"{stored.kind} in {stored.path} of {checkpoint.ref} is damaged: "
            f"{type(error).__name__}: {error}"
        ) from error
    return module.double()


def _weights(checkpoint: Checkpoint, stored: StoredModule) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    path = checkpoint.file(stored.file("model.safetensors"))
    if path is not None:
        return load_file(path)
    path = checkpoint.file(stored.file("pytorch_model.bin"))
    if path is None:
        raise ModelLoadError(
            f"{checkpoint.ref} lacks the weights of {stored.kind} in {stored.path}"
        )
    # weights_only: a pickle could run code.
    return torch.load(path, map_location="cpu", weights_only=True)


def from_folder(checkpoint: Checkpoint, task: Task) -> dict[str, Any]:
    """What the adapter of an embedding takes of a folder; see :func:`read_modules`."""
    if task == "sparse_embedding":
        return {"pooling": sparse_pooling(checkpoint)}
    return {"sentence": read_modules(checkpoint)}


def in_memory(model: Any) -> tuple[Any, Any, Task, dict[str, Any]]:
    """Transformer, tokenizer, task and modules of a ``SentenceTransformer`` or ``SparseEncoder``.

    Everything is used as it is.

    Raises:
        ModelLoadError: a first module that is no transformer, or one behind it of another kind.
    """
    first, *rest = model
    rest = [module for module in rest if type(module).__name__ != IDLE]
    transformer = getattr(first, "auto_model", None)
    sparse = [module for module in rest if type(module).__name__ == "SpladePooling"]
    if transformer is not None and sparse:
        settings = {"pooling": sparse[0].get_config_dict()}
        return transformer, model.tokenizer, "sparse_embedding", settings
    odd = [first] if transformer is None else [m for m in rest if type(m).__name__ not in KINDS]
    ref = type(model).__name__
    if odd:
        raise ModelLoadError(
            f"the {ref} has a module {type(odd[0]).__name__}, which whence does not read; {ELSEWHERE}"
        )
    modules = _with_prompt(ref, rest, model.prompts, model.default_prompt_name)
    return transformer, model.tokenizer, "embedding", {"sentence": modules}
