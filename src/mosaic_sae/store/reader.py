"""Read complete stores: shards one at a time, so that memory does not grow with the number of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_sae.errors import StoreError
from mosaic_sae.fsio import read_json, write_json
from mosaic_sae.store.format import TokenLatents, open_shard, read_manifest, read_shard

PIECES = "pieces.json"


class Store:
    """A complete store of any kind."""

    kind = ""

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Raises:
            StoreError: the store is incomplete, of another kind, or of another format version.
        """
        self.folder = folder
        self.manifest: dict[str, Any] = read_manifest(folder)
        if self.manifest["kind"] != self.kind:
            raise StoreError(f"{folder} is a store of {self.manifest['kind']}, not of {self.kind}.")
        self.fingerprint: str = self.manifest["fingerprint"]
        self.n_rows: int = self.manifest["rows"]

    def shard_of(self, i: int) -> dict[str, Any]:
        """Return the manifest's entry of the shard that holds example ``i``.

        Raises:
            StoreError: the store has no such row.
        """
        if not 0 <= i < self.n_rows:
            raise StoreError(f"{self.folder} has the rows 0 to {self.n_rows - 1}; there is no row {i}.")
        # Shards are cut alike, the last one apart.
        return self.manifest["shards"][i // self.manifest["shard_rows"]]

    def iter_arrays(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield (first row, arrays) per shard, in row order."""
        for shard in self.manifest["shards"]:
            yield shard["start"], read_shard(self.folder / shard["file"])


class LatentStore(Store):
    """Token-level sparse latents."""

    kind = "latents"

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return int(self.manifest["description"]["d_sae"])

    def iter_shards(self) -> Iterator[tuple[int, TokenLatents]]:
        """Yield (first row, latents) per shard, in row order."""
        for start, arrays in self.iter_arrays():
            yield start, TokenLatents(**arrays, d_sae=self.d_sae)

    def row(self, i: int) -> TokenLatents:
        """Return the latents of example ``i`` alone; only its own part of one shard is read."""
        shard = self.shard_of(i)
        with open_shard(self.folder / shard["file"]) as handle:
            local = i - shard["start"]
            first, last = handle.get_slice("row_offsets")[local : local + 2].tolist()
            offsets = handle.get_slice("token_offsets")[first : last + 1]
            start, stop = int(offsets[0]), int(offsets[-1])
            return TokenLatents(
                row_offsets=np.array([0, last - first]),
                positions=_part(handle, "positions", first, last),
                token_offsets=offsets - start,
                indices=_part(handle, "indices", start, stop),
                values=_part(handle, "values", start, stop),
                d_sae=self.d_sae,
            )


def _part(handle: Any, name: str, start: int, stop: int) -> np.ndarray:
    # safetensors refuses an empty slice at the end of an array.
    return handle.get_slice(name)[start:stop] if stop > start else handle.get_tensor(name)[:0]


class DenseStore(Store):
    """Pooled hidden states."""

    kind = "dense"

    def load(self, pooling: str) -> np.ndarray:
        """Return float32 [n_rows, d_model] for "mean", "last" or "max"."""
        return np.concatenate([arrays[pooling] for _, arrays in self.iter_arrays()])


@dataclass(frozen=True)
class TokenActivations:
    """Hidden states of the tokens that count, for consecutive examples."""

    row_offsets: np.ndarray
    """int64 [n_rows+1]."""
    positions: np.ndarray
    """int32 [n_tokens]."""
    activations: np.ndarray
    """float32 or uint16 (the bits of bfloat16) [n_tokens, d_model]."""


class ActivationStore(Store):
    """Token-level hidden states (``act_only: true``)."""

    kind = "activations"

    def iter_shards(self) -> Iterator[tuple[int, TokenActivations]]:
        """Yield (first row, activations) per shard, in row order."""
        for start, arrays in self.iter_arrays():
            yield start, TokenActivations(**arrays)


class TokenStore(Store):
    """Token ids of each example, special tokens included."""

    kind = "tokens"

    def __init__(self, folder: Path) -> None:
        """Open a store of token ids."""
        super().__init__(folder)
        self._starts = np.array([shard["start"] for shard in self.manifest["shards"]])
        self._shard = lru_cache(maxsize=16)(lambda number: read_shard(self.folder / self.manifest["shards"][number]["file"]))

    def row(self, i: int) -> np.ndarray:
        """Return the int32 token ids of example ``i``."""
        number = int(np.searchsorted(self._starts, i, side="right")) - 1
        arrays = self._shard(number)
        local = i - int(self._starts[number])
        return arrays["token_ids"][arrays["row_offsets"][local] : arrays["row_offsets"][local + 1]]

    def pieces(self, i: int) -> list[str]:
        """Return the tokens of example ``i`` as text, blanks kept. A character cut in two shows as U+FFFD.

        Raises:
            StoreError: the pieces were never written.
        """
        return [self.piece_of[token] for token in self.row(i).tolist()]

    @cached_property
    def piece_of(self) -> dict[int, str]:
        """Text of every token id that occurs.

        Raises:
            StoreError: ``write_pieces`` has not been called for this store.
        """
        path = self.folder / PIECES
        if not path.is_file():
            raise StoreError(f"{self.folder} has no {PIECES}, the texts of its tokens. Run 'mosaic run' again; it makes them.")
        return {int(token): piece for token, piece in read_json(path).items()}

    def write_pieces(self, decode: Callable[[list[int]], str]) -> None:
        """Write the text of every token id that occurs, unless it is there.

        Args:
            decode: gives the text of a list of token ids; only this needs a tokenizer.
        """
        if not (self.folder / PIECES).is_file():
            ids = np.unique(np.concatenate([np.unique(arrays["token_ids"]) for _, arrays in self.iter_arrays()])).tolist()
            write_json(self.folder / PIECES, {str(token): decode([token]) for token in ids})

    @property
    def truncated(self) -> np.ndarray:
        """Bool [n_rows]: examples that were cut."""
        return np.concatenate([arrays["truncated"] for _, arrays in self.iter_arrays()]).astype(bool)
