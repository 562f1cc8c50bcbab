"""Layout of stores on disk; ``docs/store-format.md`` is the normative text and the tests hold both together."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mosaic_sae.errors import StoreError
from mosaic_sae.fsio import read_json, write_bytes

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class TokenLatents:
    """Token-level sparse latents of consecutive examples; only tokens that count in pooling."""

    row_offsets: np.ndarray
    """int64 [n_rows+1]: the kept tokens of example r are row_offsets[r]:row_offsets[r+1]."""
    positions: np.ndarray
    """int32 [n_tokens]: place of each kept token in its example's token sequence."""
    token_offsets: np.ndarray
    """int64 [n_tokens+1]: the pairs of kept token t are token_offsets[t]:token_offsets[t+1]."""
    indices: np.ndarray
    """uint16 or int32 [nnz]: latents, ascending inside one token."""
    values: np.ndarray
    """float32 or float16 [nnz]: latent activations, all > 0."""
    d_sae: int

    @property
    def n_rows(self) -> int:
        """Number of examples."""
        return len(self.row_offsets) - 1

    @property
    def n_tokens(self) -> int:
        """Number of kept tokens."""
        return len(self.token_offsets) - 1


def shard_name(number: int) -> str:
    """File name of shard ``number``."""
    return f"shard-{number:05d}.safetensors"


def shard_ranges(n_rows: int, shard_rows: int) -> list[tuple[int, int]]:
    """Cut rows 0..n_rows into contiguous (start, stop) ranges."""
    return [(start, min(start + shard_rows, n_rows)) for start in range(0, n_rows, shard_rows)]


def _payload_hash(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode("ascii"))
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def write_shard(path: Path, arrays: dict[str, np.ndarray], start: int, stop: int, fingerprint: str, counts: dict[str, int]) -> None:
    """Write one shard atomically. Its header carries the rows, the store's fingerprint, counts and a hash of the arrays."""
    header = {
        "format": str(FORMAT_VERSION),
        "start": str(start),
        "stop": str(stop),
        "fingerprint": fingerprint,
        "counts": json.dumps(counts, sort_keys=True),
        "payload": _payload_hash(arrays),
    }
    write_bytes(path, _with_sorted_header(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=header)))


def _with_sorted_header(data: bytes) -> bytes:
    # safetensors writes the metadata in hash-map order, which differs between processes; equal shards must be equal bytes.
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode("utf-8")
    # The format asks for the data to start at a multiple of 8 bytes; blanks may fill the header.
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


@contextlib.contextmanager
def open_shard(path: Path) -> Iterator[Any]:
    """Open a shard to read parts of its arrays.

    Raises:
        StoreError: the file is missing or is not a whole safetensors file.
    """
    try:
        handle = safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise StoreError(f"Cannot read the shard {path}: {error}. Run the extraction again; it redoes damaged shards.") from error
    with handle:
        yield handle


def read_shard(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a shard.

    Raises:
        StoreError: the file is missing or is not a whole safetensors file.
    """
    with open_shard(path) as handle:
        return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118


def read_header(path: Path) -> dict[str, str]:
    """Return the header of a shard.

    Raises:
        StoreError: the file is missing or is not a whole safetensors file.
    """
    with open_shard(path) as handle:
        return handle.metadata() or {}


def shard_is_good(path: Path, start: int, stop: int, fingerprint: str) -> bool:
    """Whether ``path`` holds exactly these rows of this store, undamaged."""
    if not path.is_file():
        return False
    try:
        arrays, header = read_shard(path), read_header(path)
    except StoreError:
        return False
    expected = {"format": str(FORMAT_VERSION), "start": str(start), "stop": str(stop), "fingerprint": fingerprint}
    return all(header.get(key) == value for key, value in expected.items()) and header.get("payload") == _payload_hash(arrays)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a complete store.

    Raises:
        StoreError: there is no manifest, or it is of a format version that this release does not read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(f"{folder} holds no complete store: {MANIFEST} is missing. Run the extraction again; finished shards are kept.")
    manifest: dict[str, Any] = read_json(path)
    if manifest.get("format") != FORMAT_VERSION:
        raise StoreError(f"{path} has store format {manifest.get('format')}; this release reads format {FORMAT_VERSION}.")
    return manifest
