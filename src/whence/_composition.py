"""What the package's root lends to the rooms below it, so that none of them imports upwards."""

from collections.abc import Callable

__all__ = ["load_views", "set_view_loader"]

_loaders: list[Callable[[], object]] = []


def set_view_loader(loader: Callable[[], object]) -> None:
    """Name the function that registers every view; ``whence/__init__.py`` calls this once."""
    _loaders[:] = [loader]


def load_views() -> None:
    """Register every view; called when a value is first displayed."""
    for loader in _loaders:
        loader()
