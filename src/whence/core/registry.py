"""Classes found in the files of a package: a new method, metric, student or masker is one file."""

from __future__ import annotations

import inspect
import pkgutil
import re
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from whence.core.errors import CapabilityError, OptionError, unknown

__all__ = ["Registry", "by_name", "slug"]

T = TypeVar("T")


def slug(name: str) -> str:
    """A class name as the command line spells it.

    Example:
        >>> slug("InputXGradient")
        'input-x-gradient'
    """
    # Between a small and a capital letter, and before the last capital of a row of them: so X
    # stands alone in InputXGradient, and an acronym stays whole.
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _bare(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).casefold()


def by_name(kind: str, pairs: Iterable[tuple[str, type[T]]]) -> dict[str, type[T]]:
    """Classes by name; a class may have several names, and no name belongs to two classes.

    Args:
        kind: noun for messages, such as ``"method"``.
        pairs: each name with its class.

    Raises:
        OptionError: two classes of one name; the message names the files of both.
    """
    names: dict[str, type[T]] = {}
    for name, cls in pairs:
        other = names.setdefault(name, cls)
        # Else the file that happens to be read last would stand for both, without a word.
        if other is not cls:
            raise OptionError(
                f"expected one {kind} called {name!r}, got one in {other.__module__} and one in "
                f"{cls.__module__}; rename or remove one of them"
            )
    return names


class Registry(Mapping[str, type[T]], Generic[T]):
    """Every final class of one kind, by name, as the files of some packages define them.

    A file is imported when the registry is first read. A class belongs to it when it extends the
    base, is no abstract class, is defined in that file and stands in the file's ``__all__``. The
    order is that of the class attribute ``rank`` (0 where a class has none), then of the names.

    Reading it raises :class:`CapabilityError` where a file cannot be imported, and
    :class:`OptionError` where two classes have one name.

    Args:
        kind: noun for messages, such as ``"method"``.
        base: class that the members extend.
        packages: dotted names of the packages whose files are read.
        key: function from a class to its name; the class name where not given.
        also: further names that messages offer, such as ``"auto"``.

    Example:
        >>> from whence.core.record import Record
        >>> records = Registry("record", Record, ["whence.core"])
        >>> records["Attribution"].__name__
        'Attribution'
    """

    def __init__(
        self,
        kind: str,
        base: type[T],
        packages: Sequence[str],
        *,
        key: Callable[[type[T]], str] | None = None,
        also: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.base = base
        self.packages = tuple(packages)
        self._key = key or (lambda cls: cls.__name__)
        self._also = tuple(also)

    @cached_property
    def _members(self) -> dict[str, type[T]]:
        classes = [cls for package in self.packages for cls in self._classes(package)]
        classes.sort(key=lambda cls: (getattr(cls, "rank", 0), self._key(cls)))
        by_name(self.kind, self._spellings(classes))
        return {self._key(cls): cls for cls in classes}

    def _spellings(self, classes: Iterable[type[T]]) -> Iterator[tuple[str, type[T]]]:
        """Every name that finds a class, without what joins its words."""
        for cls in classes:
            yield _bare(self._key(cls)), cls
            # The class name too, where the key is another name.
            yield _bare(cls.__name__), cls

    def _classes(self, package: str) -> Iterator[type[T]]:
        for module in pkgutil.iter_modules(import_module(package).__path__):
            if module.ispkg:
                continue
            file = f"{package}.{module.name}"
            for value in self._contents(file):
                if (
                    inspect.isclass(value)
                    and issubclass(value, self.base)
                    and value.__module__ == file
                    and not inspect.isabstract(value)
                ):
                    yield value

    def _contents(self, file: str) -> list[Any]:
        """What a file's ``__all__`` lists."""
        try:
            content = import_module(file)
            return [getattr(content, name) for name in getattr(content, "__all__", ())]
        # A file may raise anything while it is read, and one that was added by hand often does.
        except Exception as error:
            raise CapabilityError(
                f"could not read the {self.kind} file {file}: {type(error).__name__}: {error}; "
                "mend or remove it"
            ) from error

    def reload(self) -> None:
        """Read the files again; for a class that was added while the program runs."""
        # cached_property keeps its value in the instance's dictionary; without it the files are
        # read again.
        self.__dict__.pop("_members", None)

    def __getitem__(self, name: str) -> type[T]:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def find(self, name: str) -> type[T]:
        """The class of a name, however its words are joined: ``KernelShap``, ``kernel-shap``.

        Raises:
            OptionError: no such class; the message names the nearest.
        """
        names = dict(self._spellings(self._members.values()))
        if _bare(name) not in names:
            raise unknown(self.kind, name, [*self._members, *self._also])
        return names[_bare(name)]

    def make(self, name: str | T, options: Mapping[str, Any] | None = None) -> T:
        """An instance by name with its options; an instance is returned as it is.

        Raises:
            OptionError: no such class or option; the message names the nearest.
        """
        if isinstance(name, self.base):
            if options:
                raise OptionError(
                    f"options go with the name of a {self.kind}; this {self.kind} is already made"
                )
            return name
        cls = self.find(cast("str", name))
        # Fields that a class sets itself (init=False) are no options.
        known = {field.name: field.default for field in fields(cast("Any", cls)) if field.init}
        for option in options or {}:
            if option not in known:
                if not known:
                    raise OptionError(f"{cls.__name__} has no options; {option!r} given")
                raise unknown(f"option of {cls.__name__}", option, list(known))
        given = {
            option: _tuple(value) if isinstance(known[option], tuple) else value
            for option, value in (options or {}).items()
        }
        return cls(**given)


def _tuple(value: Any) -> Any:
    """A tuple that a record holds as its text (see :class:`whence.core.provenance.MethodSpec`)."""
    if not isinstance(value, str):
        return value
    try:
        read = literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return read if isinstance(read, tuple) else value
