"""``import whence`` is light, and its public names all exist."""

from __future__ import annotations

import compileall
import json
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

import whence
from whence import _class_files
from whence._class_files import class_files

HANGS = 300
"""Seconds after which a process hangs; on a busy machine an import alone takes many."""


def test_importing_loads_nothing_heavy():
    script = (
        "import sys, whence; dir(whence);"
        "print([m for m in ('torch', 'transformers', 'pydantic', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=HANGS
    )
    assert found.stdout.strip() == "[]"


def test_core_loads_no_torch():
    script = "import sys, whence.core; print('torch' in sys.modules, 'transformers' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=HANGS
    )
    assert found.stdout.strip() == "False False"


@pytest.mark.parametrize("name", whence.__all__)
def test_public_names(name):
    assert getattr(whence, name) is not None
    assert name in dir(whence)


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        whence.nothing  # noqa: B018


@pytest.fixture(scope="module", params=["archive", "compiled"])
def installed(request, tmp_path_factory):
    """The package in a zip archive, or as compiled files without their sources."""
    folder = tmp_path_factory.mktemp(request.param)
    source = Path(whence.__file__).parent
    if request.param == "archive":
        path = folder / "whence.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in source.rglob("*.py"):
                archive.write(file, file.relative_to(source.parent))
        return path
    shutil.copytree(source, folder / "whence", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder, quiet=2, legacy=True)
    for file in folder.rglob("*.py"):
        file.unlink()
    return folder


def test_names_are_found_in_an_archive_and_in_compiled_files(installed):
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import whence;"
        "whence.load, whence.KernelShap, whence.Words;"
        "print(json.dumps([whence.__file__, whence.__all__]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(installed)],
        check=True,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    file, names = json.loads(found.stdout)
    assert file.startswith(str(installed))
    assert names == whence.__all__


def test_a_file_that_cannot_be_read_takes_no_other_name_with_it(tmp_path, monkeypatch):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "left_hand.py").write_text("\nclass LeftHand(object): ...\n")
    (folder / "latin.py").write_bytes(b"\nclass Latin(object): '\xe9'\n")
    (folder / "helper.py").write_text("\nclass Other(object): ...\n")
    package = types.ModuleType("files_of_a_test")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "files_of_a_test", package)
    assert class_files(["files_of_a_test"]) == {"LeftHand": "files_of_a_test.left_hand"}
    (folder / "right_hand.py").write_text("\nclass RightHand(object): ...\n")
    assert list(class_files(["files_of_a_test"])) == ["LeftHand", "RightHand"]


def test_a_second_look_reads_no_file(monkeypatch):
    assert not hasattr(whence, "nothing")
    monkeypatch.setattr(_class_files.pkgutil, "iter_modules", None)
    assert not hasattr(whence, "nothing")


def test_a_name_of_the_table_reads_no_folder(monkeypatch):
    monkeypatch.setattr(whence, "class_files", None)
    assert whence.__getattr__("load") is whence.load
