"""Fixtures of all tests: no network, quiet threads, and the optional folder of real models."""

from __future__ import annotations

import os
import socket
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("WHENCE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def real_model():
    """A function from a name to the folder of a real model; skips where there is none."""

    def find(name: str) -> Path:
        path = SHARED / "models" / name
        if not path.is_dir():
            pytest.skip(f"the real model {name} is not here ({path}); set WHENCE_SHARED")
        return path

    return find
