"""All that decides a module's answers besides its weights: code, settings, hooks, buffers.

Weights, configuration and tokenizer are in the fingerprint of :mod:`whence.models.adapters.identity`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from types import CodeType, FunctionType, MethodType
from typing import Any, cast

import torch

from whence.models.adapters.identity import content, is_plain
from whence.models.internals.kernel_hooks import is_hooked
from whence.models.values import AnswerState

__all__ = ["answer_state_of"]

OWN = frozenset(vars(torch.nn.Module())) | {
    "_is_hf_initialized",
    "_output_capturing_hooks_installed",
}
"""Attributes that decide no answer, or whose share (children, weights, hooks) is read apart."""

SHOWN_ONLY = {"extra_repr", "__repr__"}
"""Methods that say how a module is printed; torchao replaces them."""

HARMLESS = ("whence.models.internals.pass_counter", "transformers.utils.output_capturing")
"""Whose hooks count or collect, and change nothing. Those of transformers stay on a module that was
once asked for its states or weights."""


def answer_state_of(module: Any, fingerprint: str) -> AnswerState:
    """The state of a module whose weights have this fingerprint.

    Beside the fingerprint the key holds the releases of torch and transformers; every submodule's
    class, the code of its ``forward``, its settings (numbers, names, functions, configurations,
    adapters switched on); and what the state dict lacks: buffers that are not saved, tensors among
    the attributes. Doubts are hooks and methods that were replaced on an instance, which may read
    anything.
    """
    digest = hashlib.sha256(fingerprint.encode())
    for package in ("torch", "transformers"):
        digest.update(f"{package} {version(package)} ".encode())
    codes: dict[type, bytes] = {}
    for name, child in module.named_modules():
        kind = type(child)
        if kind not in codes:
            codes[kind] = b" ".join(_code(kind.forward, set()))
        digest.update(f"{name} {kind.__module__}.{kind.__qualname__} ".encode())
        digest.update(codes[kind])
        for piece in _settings(child):
            digest.update(piece)
    stored = module.state_dict(keep_vars=True)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name not in stored:
            digest.update(f"{name} ".encode())
            for piece in content(tensor):
                digest.update(piece)
    dtype = getattr(module, "dtype", torch.float32)
    eps = torch.finfo(dtype if dtype.is_floating_point else torch.float32).eps
    return AnswerState(digest.hexdigest(), tuple(dict.fromkeys(_doubts(module))), eps**0.5)


def _doubts(module: Any) -> Iterator[str]:
    globals_ = torch.nn.modules.module
    for which in ("_global_forward_hooks", "_global_forward_pre_hooks"):
        if getattr(globals_, which, None):
            yield "a hook is on all modules of torch"
    if is_hooked(module):
        yield "its attention is changed in this context"
    for name, child in module.named_modules():
        place = name or type(child).__name__
        for hook in (*child._forward_hooks.values(), *child._forward_pre_hooks.values()):  # noqa: SLF001
            if getattr(hook, "__module__", None) not in HARMLESS:
                yield f"a hook is on {place}"
        for attribute, value in vars(child).items():
            shadows = callable(value) and callable(getattr(type(child), attribute, None))
            if shadows and attribute not in SHOWN_ONLY:
                yield f"{place}.{attribute} was replaced"
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        yield "weights are not in memory"


def _settings(child: Any) -> Iterator[bytes | memoryview]:
    """The attributes of one module that are no modules and no registered tensors."""
    for name, value in sorted(vars(child).items()):
        if name not in OWN:
            yield f"{name} ".encode()
            yield from _setting(value, set())


def _setting(value: Any, seen: set[int]) -> Iterator[bytes | memoryview]:
    # A configuration may hold another that holds it.
    if id(value) in seen:
        return
    if isinstance(value, torch.nn.Module):
        # Listed by a module without being its child; its own settings are those of the list it is in.
        yield type(value).__qualname__.encode()
    elif is_plain(value) or torch.is_tensor(value):
        yield from content(value)
    elif callable(value) and hasattr(value, "__qualname__"):
        yield from _code(value, set())
    else:
        seen = {*seen, id(value)}
        items = cast("Any", value)
        if hasattr(items, "to_dict") and not isinstance(items, type):
            yield f"{getattr(items, '_attn_implementation', '')} ".encode()
            items = items.to_dict()
        if isinstance(items, Mapping):
            entries = cast("Mapping[Any, Any]", items).items()
            for key, entry in sorted(entries, key=lambda item: str(item[0])):
                yield f"{key} ".encode()
                yield from _setting(entry, seen)
        elif isinstance(items, tuple | list):
            for entry in cast("list[Any]", items):
                yield from _setting(entry, seen)
        elif isinstance(items, set | frozenset):
            yield repr(sorted(map(str, cast("set[Any]", items)))).encode()
        else:
            # Of anything else the kind: its address would be another in each process.
            yield f"{type(items).__module__}.{type(items).__qualname__}".encode()


def _code(function: Any, seen: set[int]) -> Iterator[bytes]:
    """What a function does, as far as it shows: its code, and that of the functions it encloses."""
    while isinstance(function, MethodType):
        function = function.__func__
    if id(function) in seen or not isinstance(function, FunctionType):
        yield f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}".encode()
        return
    seen.add(id(function))
    yield f"{function.__module__}.{function.__qualname__}".encode()
    yield from _instructions(function.__code__)
    for default in function.__defaults__ or ():
        if is_plain(default):
            yield repr(default).encode()
    for cell in function.__closure__ or ():
        try:
            enclosed = cell.cell_contents
        except ValueError:
            # A cell that is not filled yet.
            continue
        if is_plain(enclosed) or torch.is_tensor(enclosed):
            yield from (bytes(piece) for piece in content(enclosed))
        elif isinstance(enclosed, FunctionType | MethodType):
            yield from _code(enclosed, seen)


def _instructions(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)
        elif is_plain(constant) or isinstance(constant, tuple):
            yield repr(constant).encode()
