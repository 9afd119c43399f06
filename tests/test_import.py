"""``import whence`` is light, and its public names all exist."""

from __future__ import annotations

import subprocess
import sys

import pytest

import whence

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
