"""A registry finds what a file defines, and nothing that it merely imports."""

from __future__ import annotations

import sys
import textwrap

import pytest

from whence.core.errors import CapabilityError, OptionError
from whence.core.measurements import Measurement
from whence.core.record import Record
from whence.core.registry import Registry, slug

TOY = """
    from dataclasses import dataclass
    from abc import ABC, abstractmethod
    __all__ = ["Base", "Left", "RightHand", "Half"]
    class Base: ...
    class Half(Base, ABC):
        @abstractmethod
        def rest(self): ...
    @dataclass(frozen=True)
    class Left(Base):
        size: int = 3
    @dataclass(frozen=True)
    class RightHand(Base):
        rank = -1
    class Unlisted(Base): ...
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    folder = tmp_path / "toypackage"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "toys.py").write_text(textwrap.dedent(TOY))
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("toypackage.toys").toys
    for name in [name for name in sys.modules if name.startswith("toypackage")]:
        del sys.modules[name]


def test_final_listed_classes_in_the_order_of_rank(toys):
    registry = Registry("toy", toys.Base, ["toypackage"])
    assert list(registry) == ["RightHand", "Base", "Left"]
    assert len(registry) == 3
    assert registry["Left"] is toys.Left


def test_names_and_options(toys):
    registry = Registry("toy", toys.Base, ["toypackage"], key=lambda cls: slug(cls.__name__))
    assert registry.find("right_hand") is registry.find("RightHand") is toys.RightHand
    assert registry.make("left", {"size": 5}) == toys.Left(5)
    made = toys.Left()
    assert registry.make(made) is made
    with pytest.raises(OptionError, match="already made"):
        registry.make(made, {"size": 5})
    with pytest.raises(OptionError, match="did you mean 'left'"):
        registry.make("lift")
    with pytest.raises(OptionError, match="did you mean 'size'"):
        registry.make("left", {"siez": 5})
    with pytest.raises(OptionError, match="has no options"):
        registry.make("right-hand", {"size": 5})


def test_a_file_added_later_is_found_when_read_again(toys, tmp_path):
    registry = Registry("toy", toys.Base, ["toypackage"])
    assert "Late" not in registry
    text = "from toypackage.toys import Base\n__all__ = ['Base', 'Late']\nclass Late(Base): ...\n"
    (tmp_path / "toypackage" / "late.py").write_text(text)
    registry.reload()
    assert list(registry) == ["RightHand", "Base", "Late", "Left"]


def test_two_classes_of_one_name_are_refused(toys, tmp_path):
    text = "from toypackage.toys import Base\n__all__ = ['Left']\nclass Left(Base): ...\n"
    (tmp_path / "toypackage" / "left_two.py").write_text(text)
    for key in (None, lambda cls: f"{cls.__module__} {cls.__name__}"):
        registry = Registry("toy", toys.Base, ["toypackage"], key=key)
        with pytest.raises(OptionError) as refusal:
            list(registry)
        assert "one toy called 'left'" in str(refusal.value)
        assert "toypackage.toys" in str(refusal.value)
        assert "toypackage.left_two" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def f(:", "SyntaxError: "),
        ("__all__ = ['Gone']", "AttributeError: "),
    ],
)
def test_a_broken_file_is_named(toys, tmp_path, text, reason):
    path = tmp_path / "toypackage" / "broken.py"
    path.write_text(text)
    registry = Registry("toy", toys.Base, ["toypackage"])
    with pytest.raises(CapabilityError) as refusal:
        registry.find("left")
    message = str(refusal.value)
    assert message.startswith(f"could not read the toy file toypackage.broken: {reason}")
    assert message.endswith("mend or remove it")
    path.unlink()
    assert registry.find("left") is toys.Left


def test_records_are_found_where_they_are_defined():
    assert Registry("record", Record, ["whence.core"])["Measurement"] is Measurement
