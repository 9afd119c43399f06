"""Names of the classes that the files of a package define, read without importing any of them."""

import pkgutil
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ["class_files"]


def class_files(packages: Iterable[str]) -> dict[str, str]:
    """Class names with the module of each: a file ``kernel_shap.py`` defines ``KernelShap``.

    A file that defines no class of its own name is a helper and is left out, as is one that cannot
    be read. A folder is read again once a file was added to it or removed.

    Cost: about a millisecond for 30 files at first, then a look at each folder's time.

    Example:
        >>> class_files(["whence.games.segmenters"])["Words"]
        'whence.games.segmenters.words'
    """
    names: dict[str, str] = {}
    for package in packages:
        for folder in _folders(package):
            names |= {name: f"{package}.{file}" for name, file in _listing(folder, _time(folder))}
    return names


def _folders(package: str) -> list[str]:
    """Where a package's files are: its own path once it is imported, else beside this file."""
    if package in sys.modules:
        return list(sys.modules[package].__path__)
    return [str(Path(__file__).parent.joinpath(*package.split(".")[1:]))]


def _time(folder: str) -> int:
    """When a file was last added to the folder or removed; 0 inside an archive."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


# Six folders are public; the rest is room for several times of each.
@lru_cache(maxsize=64)
def _listing(folder: str, time: int) -> tuple[tuple[str, str], ...]:
    """Class and file of each file that defines the class of its name; ``time`` is for the cache."""
    del time
    files = [file for file in pkgutil.iter_modules([folder]) if not file.ispkg]
    pairs = [(file.name.title().replace("_", ""), file) for file in files]
    return tuple(
        (name, file.name) for name, file in pairs if _defines(file.module_finder, file.name, name)
    )


def _defines(finder: Any, file: str, name: str) -> bool:
    spec = finder.find_spec(file, None)
    # Through the loader, since a file may stand in an archive or be compiled, without its source.
    loader: Any = None if spec is None else spec.loader
    if not hasattr(loader, "get_source"):
        return False
    try:
        source = loader.get_source(file)
        if source is not None:
            return f"\nclass {name}(" in source
        code = loader.get_code(file)
    # A file that cannot be decoded or read must not take the other names with it.
    except (ImportError, SyntaxError, UnicodeDecodeError):
        return False
    # The body of a class is a constant of its module, under the name of the class.
    return any(isinstance(part, CodeType) and part.co_name == name for part in code.co_consts)
