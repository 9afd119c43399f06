"""Named arrays of a record: in memory, or in a file, from which each is read at first use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from whence.core.attention_record import StoredTensor
from whence.core.errors import RecordError
from whence.core.record import canonical_json

__all__ = ["Tensors", "digest_of"]


def digest_of(manifest: tuple[StoredTensor, ...]) -> str:
    """SHA-256 of a manifest: of the name, dtype, shape and SHA-256 of every array."""
    return hashlib.sha256(canonical_json(manifest)).hexdigest()


class Tensors:
    """Arrays by name. Those of a file are read, and checked against their SHA-256, at first use."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        *,
        manifest: tuple[StoredTensor, ...] | None = None,
        path: Path | None = None,
    ) -> None:
        self._arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        self._path = path
        # Sorted by name, so that the digest of a record does not depend on the order in which
        # layers ran or arrays were put together.
        self.manifest = manifest or tuple(
            StoredTensor(
                name=name,
                dtype=array.dtype.name,
                shape=array.shape,
                sha256=hashlib.sha256(array.tobytes()).hexdigest(),
            )
            for name, array in sorted(self._arrays.items())
        )
        self._stored = {stored.name: stored for stored in self.manifest}

    @classmethod
    def open(cls, folder: str | os.PathLike[str], manifest: tuple[StoredTensor, ...]) -> Tensors:
        """The arrays of a manifest in a folder; none is read yet.

        Raises:
            RecordError: no such file, or one with other arrays.
        """
        path = Path(folder) / f"{digest_of(manifest)}.safetensors"
        try:
            with safe_open(path, framework="numpy") as file:
                names = set(file.keys())
        except (OSError, SafetensorError) as error:
            raise RecordError(f"could not read {path}: {error}") from error
        if names != {stored.name for stored in manifest}:
            raise RecordError(
                f"{path} does not hold the arrays that the record names; use the file written with it"
            )
        return cls({}, manifest=manifest, path=path)

    def data(self) -> bytes:
        """All of them as a safetensors file."""
        return save({name: self[name] for name in self})

    def get(self, name: str) -> np.ndarray | None:
        """An array, or ``None`` where there is none of that name."""
        return self[name] if name in self._stored else None

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(
            int(np.prod(stored.shape, dtype=np.int64)) * np.dtype(stored.dtype).itemsize
            for stored in self.manifest
        )

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = self._read(self._stored[name])
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def _read(self, stored: StoredTensor) -> np.ndarray:
        try:
            with safe_open(str(self._path), framework="numpy") as file:
                array: np.ndarray = file.get_tensor(stored.name)
        except (OSError, SafetensorError) as error:
            raise RecordError(f"could not read {stored.name} of {self._path}: {error}") from error
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        if digest != stored.sha256:
            raise RecordError(
                f"{stored.name} of {self._path} has SHA-256 {digest[:12]}..., the record names "
                f"{stored.sha256[:12]}...: the file was changed or cut off"
            )
        return array
