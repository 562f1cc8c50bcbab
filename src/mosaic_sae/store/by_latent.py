"""The by-latent index: where each latent of a store fires, without reading the other latents (``docs/store-format.md``)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from mosaic_sae.errors import StoreError
from mosaic_sae.fsio import atomic_path, read_json, remove_leftovers, sha256_file, write_json
from mosaic_sae.store.format import MANIFEST, TokenLatents
from mosaic_sae.store.reader import LatentStore, TokenStore

logger = logging.getLogger(__name__)

INDEX_VERSION = 1
FOLDER = "by-latent"
HEADER = "index.json"
_ARRAYS = ("latent_offsets", "tokens", "values", "row_offsets", "positions", "token_ids")
# Pairs that are sorted at once: about 200 MB of memory, whatever the size of the store.
_BATCH = 4_000_000


class ByLatent:
    """The index of one store, memory-mapped: opening it reads a few kilobytes, a latent's firings what they take."""

    def __init__(self, store_folder: Path) -> None:
        """Open the index of a store of latents.

        Raises:
            StoreError: there is none, or it is of another version or of other shards.
        """
        folder = store_folder / FOLDER
        header = _header(folder)
        if header is None or not _fits(header, store_folder):
            raise StoreError(f"{store_folder} has no by-latent index, or one of other shards. Run 'mosaic run' again; it makes the index.")
        self.n_rows: int = header["rows"]
        self.n_tokens: int = header["tokens"]
        self.fingerprint: str = header["fingerprint"]
        arrays = {name: _mapped(folder / f"{name}.npy") for name in _ARRAYS}
        self.latent_offsets: np.ndarray = arrays["latent_offsets"]
        """int64 [d_sae+1]."""
        self.tokens: np.ndarray = arrays["tokens"]
        """uint32 [nnz]: number of the counted token in the store, ascending within a latent."""
        self.values: np.ndarray = arrays["values"]
        """float32 or float16 [nnz]."""
        self.row_offsets: np.ndarray = arrays["row_offsets"]
        """int64 [n_rows+1]: counted tokens of row r."""
        self.positions: np.ndarray = arrays["positions"]
        """int32 [n_tokens]: place in the row's token sequence."""
        self.token_ids: np.ndarray = arrays["token_ids"]
        """int32 [n_tokens]."""

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return len(self.latent_offsets) - 1

    def firings(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where a latent fires, and how strongly.

        Returns:
            int64 [n] numbers of counted tokens, ascending, and float32 [n] activations.

        Raises:
            StoreError: the SAE has no such latent.
        """
        if not 0 <= latent < self.d_sae:
            raise StoreError(f"Latent {latent} is outside 0..{self.d_sae - 1}, the latents of this SAE.")
        part = slice(int(self.latent_offsets[latent]), int(self.latent_offsets[latent + 1]))
        return self.tokens[part].astype(np.int64), self.values[part].astype(np.float32)


def has_index(store_folder: Path) -> bool:
    """Whether the index of a complete store is there and belongs to its present shards."""
    header = _header(store_folder / FOLDER)
    return header is not None and _fits(header, store_folder)


def write_by_latent(store: LatentStore, token_store: TokenStore) -> int:
    """Make the index of a store, unless it is there.

    A counting sort: one pass over the shards counts each latent's pairs, which gives every pair its place; a second one puts batches of
    pairs there. Memory holds one batch and eight bytes a counted token, the rest is on disk.

    Args:
        store: latents whose pairs are sorted.
        token_store: token ids of the same rows.

    Returns:
        Size of the index in bytes.

    Raises:
        StoreError: the two stores have different rows.
    """
    folder = store.folder / FOLDER
    if has_index(store.folder):
        return int(read_json(folder / HEADER)["bytes"])
    if store.n_rows != token_store.n_rows:
        raise StoreError(f"{store.folder} has {store.n_rows} rows, {token_store.folder} has {token_store.n_rows}; they must be the same.")
    folder.mkdir(exist_ok=True)
    (folder / HEADER).unlink(missing_ok=True)
    remove_leftovers(folder)
    n_tokens, nnz = store.manifest["totals"]["tokens"], store.manifest["totals"]["nnz"]
    counts = np.zeros(store.d_sae, dtype=np.int64)
    rows, positions, ids = [np.zeros(1, dtype=np.int64)], [], []
    before = 0
    for first_row, shard in store.iter_shards():
        counts += np.bincount(shard.indices, minlength=store.d_sae)
        rows.append(before + shard.row_offsets[1:])
        positions.append(shard.positions)
        ids.append(_counted_ids(first_row, shard, token_store))
        before += shard.n_tokens
    offsets = np.concatenate([[0], np.cumsum(counts)])
    _save(folder, "latent_offsets", offsets)
    _save(folder, "row_offsets", np.concatenate(rows))
    _save(folder, "positions", np.concatenate(positions, dtype=np.int32))
    _save(folder, "token_ids", np.concatenate(ids, dtype=np.int32))
    with atomic_path(folder / "tokens.npy") as tokens_path, atomic_path(folder / "values.npy") as values_path:
        np.lib.format.open_memmap(tokens_path, "w+", np.uint32, (nnz,))
        np.lib.format.open_memmap(values_path, "w+", _value_dtype(store), (nnz,))
        _scatter(store, offsets[:-1].copy(), tokens_path, values_path)
    size = sum((folder / f"{name}.npy").stat().st_size for name in _ARRAYS)
    header = {"version": INDEX_VERSION, "fingerprint": store.fingerprint, "manifest": sha256_file(store.folder / MANIFEST)}
    write_json(folder / HEADER, {**header, "rows": store.n_rows, "tokens": n_tokens, "nnz": nnz, "d_sae": store.d_sae, "bytes": size})
    logger.info("by-latent index of %s: %.1f MB", store.folder.name, size / 1e6)
    return size


def _scatter(store: LatentStore, cursor: np.ndarray, tokens_path: Path, values_path: Path) -> None:
    """Put every pair at its latent's cursor, and move that on."""
    for first_token, n_tokens, indices, token_offsets, found in _batches(store):
        # Column order is latent order; scipy's conversion is a counting sort that keeps the order of tokens.
        order = np.arange(len(indices), dtype=np.int32 if len(indices) < 2**31 else np.int64)
        by_latent = sp.csr_array((order, indices, token_offsets), shape=(n_tokens, store.d_sae)).tocsc()
        counts = np.diff(by_latent.indptr)
        place = np.repeat(cursor - by_latent.indptr[:-1], counts) + np.arange(len(indices))
        _put(tokens_path, place, by_latent.indices.astype(np.uint32) + np.uint32(first_token))
        _put(values_path, place, found[by_latent.data])
        cursor += counts


def _put(path: Path, place: np.ndarray, values: np.ndarray) -> None:
    # Mapped for one batch at a time, so that no more than its pages stay in memory.
    np.lib.format.open_memmap(path, "r+")[place] = values


def _batches(store: LatentStore) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (first token, number of tokens, indices, token_offsets, values) of neighbouring shards with about ``_BATCH`` pairs in all."""
    parts: list[TokenLatents] = []
    first, pairs = 0, 0
    for _, shard in store.iter_shards():
        parts.append(shard)
        pairs += len(shard.indices)
        if pairs >= _BATCH:
            yield _joined(first, parts)
            first, pairs, parts = first + sum(part.n_tokens for part in parts), 0, []
    if parts:
        yield _joined(first, parts)


def _joined(first: int, parts: list[TokenLatents]) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray]:
    shifts = np.cumsum([0, *(len(part.indices) for part in parts)])
    offsets = np.concatenate([[0], *(part.token_offsets[1:] + shift for part, shift in zip(parts, shifts, strict=False))])
    indices = np.concatenate([part.indices for part in parts]).astype(np.int32)
    return first, sum(part.n_tokens for part in parts), indices, offsets, np.concatenate([part.values for part in parts])


def _counted_ids(first_row: int, shard: TokenLatents, token_store: TokenStore) -> np.ndarray:
    """Return int32 [n_tokens]: ids of the shard's counted tokens."""
    ids = np.empty(len(shard.positions), dtype=np.int32)
    offsets = shard.row_offsets.tolist()
    for row in range(shard.n_rows):
        part = slice(offsets[row], offsets[row + 1])
        if part.stop > part.start:
            ids[part] = token_store.row(first_row + row)[shard.positions[part]]
    return ids


def _value_dtype(store: LatentStore) -> np.dtype[Any]:
    return next((shard.values.dtype for _, shard in store.iter_shards()), np.dtype(np.float32))


def _save(folder: Path, name: str, array: np.ndarray) -> None:
    with atomic_path(folder / f"{name}.npy") as path, path.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)


def _mapped(path: Path) -> np.ndarray:
    # A plain view: the slices of a memmap object are slow to make.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _header(folder: Path) -> dict[str, Any] | None:
    path = folder / HEADER
    return read_json(path) if path.is_file() else None


def _fits(header: dict[str, Any], store_folder: Path) -> bool:
    manifest = store_folder / MANIFEST
    return header.get("version") == INDEX_VERSION and manifest.is_file() and header.get("manifest") == sha256_file(manifest)
