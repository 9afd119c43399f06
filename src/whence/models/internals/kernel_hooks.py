"""One hook on every attention kernel of transformers, for one module, in one context.

Each entry of transformers' table of attention functions is replaced *under its own name*: masks
and branches that look at the name stay as they are, and the model's own function computes the
output. A hook sees the states before it and the output after it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from transformers import AttentionInterface

from whence.core.errors import CapabilityError
from whence.models.internals.module_lock import locked, uncompiled

__all__ = [
    "Kernel",
    "KernelCall",
    "KernelHook",
    "States",
    "announce_gradient",
    "hook_kernels",
    "is_hooked",
]

Kernel = Callable[..., tuple[torch.Tensor, Any]]
States = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_EAGER = "eager"


@dataclass(frozen=True, slots=True, eq=False)
class KernelCall:
    """One call of one layer's kernel.

    Attributes:
        name: path of the module in the model.
        implementation: name under which the kernel stands in transformers' table.
        eager: ``eager_attention_forward`` of the model's own file, which returns weights.
        states: query, key, value: ``[batch, heads, length, width]``, key heads not repeated.
        mask: mask that the kernel got: added to the scores, or true where allowed; or none.
        options: other arguments of the kernel.
        output: result, ``[batch, queries, heads, width]``.
    """

    name: str
    implementation: str
    module: Any
    eager: Kernel
    states: States
    mask: torch.Tensor | None
    options: dict[str, Any]
    output: torch.Tensor


@runtime_checkable
class KernelHook(Protocol):
    """An object that is called before and after a kernel."""

    def before(self, name: str, states: States) -> States:
        """The states that the kernel gets."""
        ...

    def after(self, call: KernelCall) -> torch.Tensor:
        """The output that the model goes on with."""
        ...


@runtime_checkable
class _Differentiated(Protocol):
    def announce_gradient(self, output: int) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Active:
    names: dict[int, str]
    hook: KernelHook


# One table of functions serves the whole process. Which module is hooked is a property of the
# context, so that a model in another thread runs its own kernel through the same entry.
_ACTIVE: ContextVar[_Active | None] = ContextVar("whence_kernel_hook", default=None)
_LOCK = threading.Lock()
_originals: dict[str, Kernel | None] = {}
_shadows: dict[str, Kernel] = {}
# Contexts nest, and those of several threads overlap: the last one to end puts the table back.
_users = 0


@contextmanager
def hook_kernels(module: Any, hook: KernelHook) -> Generator[None]:
    """Put ``hook`` on the attention kernels of ``module`` in this context.

    Other modules run their own kernels untouched, and another thread waits before it runs this one.
    Everything is put back at the end, after an exception too. A hook within a hook takes its place for
    as long as it lasts. A kernel that is registered inside the context stays registered, and is hooked
    from the next context on.

    Raises:
        CapabilityError: in the forward pass, where a kernel's mask cannot be read by rows.
    """
    with locked(module), uncompiled(module):
        names = {id(child): name for name, child in module.named_modules()}
        _install()
        token = _ACTIVE.set(_Active(names=names, hook=hook))
        try:
            yield
        finally:
            _ACTIVE.reset(token)
            _uninstall()


def is_hooked(module: Any) -> bool:
    """Whether this context has a hook on a part of ``module``."""
    active = _ACTIVE.get()
    return active is not None and any(id(child) in active.names for child in module.modules())


def announce_gradient(output: int) -> None:
    """Tell the hook of this context, if it has such a method, which output's gradient comes next.

    On some devices gradients come back in another thread, which does not see the context.
    """
    active = _ACTIVE.get()
    if active is not None and isinstance(active.hook, _Differentiated):
        active.hook.announce_gradient(output)


def _table() -> dict[str, Kernel]:
    # register() is public, its inverse is not; a test pins this attribute.
    return cast("dict[str, Kernel]", AttentionInterface._global_mapping)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _install() -> None:
    global _users
    with _LOCK:
        _users += 1
        table = _table()
        # "eager" is no entry of the table: a model falls back on the function of its own file where
        # it finds none of that name, so an entry there is found first.
        for name in dict.fromkeys([*table, _EAGER]):
            kernel = table.get(name)
            # Put there by a context that has not ended. An entry that somebody registered over it
            # since is shadowed anew.
            if name in _shadows and kernel is _shadows[name]:
                continue
            _originals[name] = kernel
            table[name] = _shadows[name] = _shadow(name, kernel)


def _uninstall() -> None:
    global _users
    with _LOCK:
        _users -= 1
        if _users:
            return
        table = _table()
        for name, kernel in _originals.items():
            # An entry that someone registered or removed meanwhile stays as they left it.
            if table.get(name) is not _shadows[name]:
                continue
            if kernel is None:
                del table[name]
            else:
                table[name] = kernel
        _originals.clear()
        _shadows.clear()


def _shadow(implementation: str, kernel: Kernel | None) -> Kernel:
    def run(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any = None,
        **options: Any,
    ) -> tuple[torch.Tensor, Any]:
        file = sys.modules[type(module).__module__]
        # The caps, sinks and biases of a family are in the eager function of its own file; there is
        # no shared one that knows them.
        eager = cast("Kernel | None", getattr(file, "eager_attention_forward", None))
        original = kernel or eager
        if original is None:
            raise KeyError(implementation)
        active = _ACTIVE.get()
        if active is None or id(module) not in active.names:
            return original(module, query, key, value, attention_mask, **options)
        name = active.names[id(module)]
        # Kernels of flash attention get the padding as [batch, keys]: such a mask has no row to
        # take.
        readable = attention_mask is None or getattr(attention_mask, "ndim", 0) == 4
        if eager is None or not readable:
            raise CapabilityError(
                f"{name} runs {implementation!r}, whose weights cannot be computed by rows. Load the "
                "model with attn_implementation='sdpa'."
            )
        states = active.hook.before(name, (query, key, value))
        output, weights = original(module, *states, attention_mask, **options)
        call = KernelCall(
            name=name,
            implementation=implementation,
            module=module,
            eager=eager,
            states=states,
            mask=attention_mask,
            options=options,
            output=output,
        )
        return active.hook.after(call), weights

    return run
