"""One example read alone is the same as in its shard; pieces are what the tokenizer says of each id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mosaic_sae.errors import StoreError
from mosaic_sae.features.pooling import pool, pool_store
from mosaic_sae.store.pieces import PIECES, write_pieces
from mosaic_sae.store.reader import LatentStore, TokenStore
from mosaic_sae.store.writer import StoreWriter


class Tokenizer:
    def __init__(self) -> None:
        self.asked: list[int] = []

    def decode(self, ids: list[int]) -> str:
        self.asked += ids
        return f" w{ids[0]}"


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


def test_pieces_are_asked_for_once_and_need_no_tokenizer_after(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, "tokens", "b" * 16, 3, 2, {})
    for number, ids in enumerate([[[7, 2], [2]], [[9, 7, 300]]]):
        flat = np.array([token for row in ids for token in row], dtype=np.int32)
        offsets = np.cumsum([0, *map(len, ids)]).astype(np.int64)
        writer.write(number, {"row_offsets": offsets, "token_ids": flat, "truncated": np.zeros(len(ids), np.uint8)}, {})
    writer.finish()
    with pytest.raises(StoreError, match=rf"{PIECES} is missing\. Run the experiment again"):
        TokenStore(tmp_path).pieces(0)
    tokenizer = Tokenizer()
    write_pieces(tmp_path, tokenizer)
    write_pieces(tmp_path, tokenizer)
    assert tokenizer.asked == [2, 7, 9, 300]
    assert [TokenStore(tmp_path).pieces(row) for row in range(3)] == [TokenStore(tmp_path, tokenizer).pieces(row) for row in range(3)]
    assert TokenStore(tmp_path).pieces(2) == [" w9", " w7", " w300"]
