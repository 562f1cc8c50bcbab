"""Small stores on disk, written from plain lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mosaic_sae.store.reader import LatentStore, TokenStore
from mosaic_sae.store.writer import StoreWriter


def write_stores(
    base: Path,
    rows: Sequence[Sequence[tuple[int, Mapping[int, float]]]],
    ids: Sequence[Sequence[int]],
    d_sae: int,
    shard_rows: int = 2,
    dtype: type = np.float32,
) -> tuple[LatentStore, TokenStore]:
    """Write ``base/latents`` and ``base/tokens``.

    Args:
        base: folder.
        rows: per row, (position, {latent: value}) of each counted token.
        ids: per row, all its token ids.
        d_sae: number of latents.
        shard_rows: rows per shard of latents; tokens are cut otherwise.
        dtype: of the values.
    """
    latents = StoreWriter(base / "latents", "latents", "a" * 16, len(rows), shard_rows, {"d_sae": d_sae, "sae": "toy-sae"})
    tokens = StoreWriter(base / "tokens", "tokens", "b" * 16, len(rows), 3, {})
    for number, (start, stop) in enumerate(latents.ranges):
        flat = [token for row in rows[start:stop] for token in row]
        pairs = [pair for _, found in flat for pair in sorted(found.items())]
        arrays = {
            "row_offsets": np.cumsum([0, *(len(row) for row in rows[start:stop])]),
            "positions": np.array([position for position, _ in flat], dtype=np.int32),
            "token_offsets": np.cumsum([0, *(len(found) for _, found in flat)]),
            "indices": np.array([latent for latent, _ in pairs], dtype=np.uint16),
            "values": np.array([value for _, value in pairs], dtype=dtype),
        }
        latents.write(number, arrays, {"tokens": len(flat), "nnz": len(pairs), "rows_without_tokens": 0})
    for number, (start, stop) in enumerate(tokens.ranges):
        part = ids[start:stop]
        arrays = {
            "row_offsets": np.cumsum([0, *(len(row) for row in part)]),
            "token_ids": np.array([token for row in part for token in row], dtype=np.int32),
            "truncated": np.zeros(stop - start, dtype=np.uint8),
        }
        tokens.write(number, arrays, {"tokens": len(arrays["token_ids"])})
    latents.finish()
    tokens.finish()
    return LatentStore(base / "latents"), TokenStore(base / "tokens")
