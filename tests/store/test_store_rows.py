"""One example read alone is the same as in its shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mosaic_sae.errors import StoreError
from mosaic_sae.features.pooling import pool, pool_store
from mosaic_sae.store.reader import LatentStore
from mosaic_sae.store.writer import StoreWriter


def write_latents(folder: Path, lengths: list[int], shard: int) -> LatentStore:
    rng = np.random.default_rng(0)
    writer = StoreWriter(folder, "latents", "a" * 16, len(lengths), shard, {"d_sae": 9, "sae": "toy"})
    for number, (start, stop) in enumerate(writer.ranges):
        own = lengths[start:stop]
        pairs = [np.sort(rng.choice(9, rng.integers(0, 4), replace=False)) for _ in range(sum(own))]
        indices = np.concatenate([*pairs, np.zeros(0)]).astype(np.uint16)
        arrays = {
            "row_offsets": np.cumsum([0, *own]).astype(np.int64),
            "positions": np.concatenate([*(np.arange(1, n + 1) for n in own)]).astype(np.int32),
            "token_offsets": np.cumsum([0, *map(len, pairs)]).astype(np.int64),
            "indices": indices,
            "values": rng.gamma(1.0, size=len(indices)).astype(np.float32),
        }
        writer.write(number, arrays, {"tokens": sum(own), "nnz": len(indices)})
    writer.finish()
    return LatentStore(folder)


def test_every_row_by_itself_is_the_row_of_the_whole_store(tmp_path: Path) -> None:
    lengths = [3, 0, 2, 1, 5, 0, 0, 4, 2, 0]
    store = write_latents(tmp_path, lengths, 4)
    whole = pool_store(store, "sum").toarray()
    for row, n_tokens in enumerate(lengths):
        alone = store.row(row)
        assert (alone.n_rows, alone.n_tokens, alone.positions.tolist()) == (1, n_tokens, list(range(1, n_tokens + 1)))
        assert pool(alone, "sum").toarray()[0].tolist() == whole[row].tolist()
    for row in (-1, 10):
        with pytest.raises(StoreError, match=f"rows 0 to 9; there is no row {row}"):
            store.row(row)
