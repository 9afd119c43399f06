"""Blocks below a change run once for a whole batch whose rows are equal until then."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch

from whence.models.internals.block_rerun import mapped
from whence.models.internals.module_lock import locked
from whence.models.internals.module_paths import outermost_block

__all__ = ["share_rows_below"]


@contextmanager
def share_rows_below(module: Any, layers: Iterable[str], rows: int) -> Generator[None]:
    """Run the blocks before the first of those that hold ``layers`` with one row in place of ``rows``.

    Only for batches of equal rows that differ by changes made in ``layers``: below them all rows are
    the same, so one is computed and repeated where the first changed block begins. Nothing is
    shared where a layer stands in no block, or in the block that runs first.

    Whether a model takes this well is for the caller to see: a row without changes has the value
    of a plain pass, or this was no shortcut for the model.
    """
    blocks = {outermost_block(name) for name, _ in module.named_modules()} - {""}
    changed = {outermost_block(layer) for layer in layers}
    shared = _SharedRows(changed, rows)
    with locked(module):
        handles = [
            module.get_submodule(name).register_forward_pre_hook(
                shared.hook(name), with_kwargs=True
            )
            for name in (blocks if "" not in changed else ())
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class _SharedRows:
    """Cuts a batch to one row before each block, until the first changed block begins."""

    def __init__(self, changed: set[str], rows: int) -> None:
        self.changed = changed
        self.rows = rows
        self.first: str | None = None
        self.below = True

    def hook(self, name: str) -> Any:
        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if self.first is None:
                self.first = name
            if name == self.first:
                # A readout of several sequences runs the model once for each.
                self.below = True
            self.below = self.below and name not in self.changed
            fit = self._one_row if self.below else self._all_rows
            return (
                tuple(mapped(item, fit) for item in args),
                {key: mapped(item, fit) for key, item in kwargs.items()},
            )

        return before

    # Tensors of one axis (positions, tables of frequencies) belong to no row.
    def _one_row(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[:1] if tensor.dim() > 1 and tensor.shape[0] == self.rows else tensor

    def _all_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        one = tensor.dim() > 1 and tensor.shape[0] == 1
        return tensor.expand(self.rows, *tensor.shape[1:]) if one else tensor
