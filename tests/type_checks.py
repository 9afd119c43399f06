"""Checks every annotation of the package while its tests run: types by beartype, shapes by jaxtyping.

jaxtyping's own import hook does the same and takes two thirds of the suite's time. Here a function
is prepared at its first call rather than at import, and only a function with shapes in its
annotations pays for the bookkeeping of shapes. A name defined further down its file is found, too.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
import types
import typing
from importlib.machinery import PathFinder, SourceFileLoader

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

NAME = "__checked__"
"""What stands for :func:`checked` inside the modules."""
SUFFIX = ".checked-1.pyc"
"""Ending of the compiled files; the number rises with every change of :class:`Decorate`."""

_beartype = beartype(conf=BeartypeConf(violation_type=TypeCheckError))


def install(package: str) -> None:
    """Check what is imported of a package from here on."""
    if package in sys.modules:
        raise RuntimeError(f"{package} is imported already; its annotations cannot be checked")
    sys.meta_path.insert(0, Finder(package))


def checked(target):
    """A function, or the ``__init__`` of a dataclass, that raises ``TypeCheckError``."""
    if inspect.isclass(target):
        own = target.__dict__.get("__init__")
        if dataclasses.is_dataclass(target) and isinstance(own, types.FunctionType):
            target.__init__ = own if hasattr(own, NAME) else checked(own)
        return target
    ready = None

    @functools.wraps(target)
    def call(*args, **kwargs):
        nonlocal ready
        if ready is None:
            ready = prepared(target)
        return ready(*args, **kwargs)

    setattr(call, NAME, True)
    return call


def prepared(function):
    """The function with its annotations checked, and one set of axis sizes for each call."""
    hints = {name: resolved(hint, function) for name, hint in function.__annotations__.items()}
    twin = types.FunctionType(
        function.__code__, function.__globals__, function.__name__,
        function.__defaults__, function.__closure__,
    )  # fmt: skip
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
    twin.__annotations__ = hints
    sound = _beartype(twin)
    if not any(has_shape(hint) for hint in hints.values()):
        return sound

    def in_context(*args, **kwargs):
        with jaxtyped("context"):
            return sound(*args, **kwargs)

    return in_context


def resolved(hint, function):
    """The type that an annotation names; ``Any`` where it names what only type checkers import."""
    holder = types.SimpleNamespace(__annotations__={"hint": hint})
    names = inspect.getclosurevars(function).nonlocals if function.__closure__ else {}
    try:
        return typing.get_type_hints(
            holder, function.__globals__, names, include_extras=True
        )["hint"]  # fmt: skip
    except (NameError, ValueError):
        return typing.Any


def has_shape(hint) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    parts = hint if isinstance(hint, list) else typing.get_args(hint)
    return any(has_shape(part) for part in parts)


class Decorate(ast.NodeTransformer):
    """Puts ``checked`` innermost on every function and outermost on every class."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.decorator_list.append(ast.copy_location(ast.Name(NAME, ast.Load()), node))
        return node

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        node.decorator_list.insert(0, ast.copy_location(ast.Name(NAME, ast.Load()), node))
        return node


class Loader(SourceFileLoader):
    def source_to_code(self, data, path, *, _optimize=-1):
        tree = Decorate().visit(ast.parse(data, path))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def exec_module(self, module):
        setattr(module, NAME, checked)
        super().exec_module(module)

    # Compiled files stand beside those of an unchecked run.
    def get_data(self, path):
        return super().get_data(own(path))

    def set_data(self, path, data, *, _mode=0o666):
        super().set_data(own(path), data, _mode=_mode)


def own(path: str) -> str:
    return path.removesuffix(".pyc") + SUFFIX if path.endswith(".pyc") else path


class Finder:
    def __init__(self, package: str):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec
