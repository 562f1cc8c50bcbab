"""The by-latent index against the shards it is made from."""

from pathlib import Path

import numpy as np
import pytest

import store_folders
from mosaic_sae.errors import StoreError
from mosaic_sae.store import by_latent
from mosaic_sae.store.by_latent import ByLatent, has_index, write_by_latent
from mosaic_sae.store.reader import LatentStore, TokenStore

D_SAE = 7
# Rows of (position, {latent: value}) per counted token; row 2 has none.
ROWS = [
    [(1, {0: 0.5}), (2, {3: 8.0, 6: 1.0})],
    [(1, {6: 0.25}), (2, {}), (4, {3: 3.0})],
    [],
    [(0, {3: 2.0, 5: 4.0})],
    [(1, {0: 7.0, 3: 6.0, 6: 9.0})],
]
IDS = [[9, 10, 11], [9, 12, 13, 14, 15], [9], [16], [9, 17]]


def write_stores(base: Path, shard_rows: int = 2, dtype: type = np.float32) -> tuple[LatentStore, TokenStore]:
    return store_folders.write_stores(base, ROWS, IDS, D_SAE, shard_rows, dtype)


@pytest.mark.parametrize("batch", [1, 4, 1000])
@pytest.mark.parametrize("shard_rows", [1, 2, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_pair_is_found_under_its_latent(tmp_path: Path, monkeypatch, batch: int, shard_rows: int, dtype: type) -> None:
    monkeypatch.setattr(by_latent, "_BATCH", batch)
    store, tokens = write_stores(tmp_path, shard_rows, dtype)
    size = write_by_latent(store, tokens)
    index = ByLatent(store.folder)
    assert (index.n_rows, index.n_tokens, index.d_sae, index.values.dtype) == (5, 7, D_SAE, dtype)
    counted = [(row, position, found) for row, entries in enumerate(ROWS) for position, found in entries]
    for latent in range(D_SAE):
        expected = [(number, found[latent]) for number, (_, _, found) in enumerate(counted) if latent in found]
        places, values = index.firings(latent)
        assert (places.tolist(), values.tolist()) == ([number for number, _ in expected], [value for _, value in expected])
    rows = np.searchsorted(index.row_offsets, np.arange(7), side="right") - 1
    assert rows.tolist() == [row for row, _, _ in counted]
    assert index.positions.tolist() == [position for _, position, _ in counted]
    assert index.token_ids.tolist() == [IDS[row][position] for row, position, _ in counted]
    assert size == sum(path.stat().st_size for path in (store.folder / "by-latent").glob("*.npy"))


def test_it_is_made_once_and_again_when_the_shards_changed(tmp_path: Path) -> None:
    store, tokens = write_stores(tmp_path)
    assert not has_index(store.folder)
    with pytest.raises(StoreError, match="no by-latent index"):
        ByLatent(store.folder)
    write_by_latent(store, tokens)
    header = store.folder / "by-latent/index.json"
    before = header.stat().st_mtime_ns
    write_by_latent(store, tokens)
    assert header.stat().st_mtime_ns == before
    store, tokens = write_stores(tmp_path, shard_rows=3)
    assert not has_index(store.folder)
    write_by_latent(store, tokens)
    assert ByLatent(store.folder).firings(5)[1].tolist() == [4.0]


def test_a_half_written_index_is_none(tmp_path: Path) -> None:
    store, tokens = write_stores(tmp_path)
    write_by_latent(store, tokens)
    (store.folder / "by-latent/index.json").unlink()
    assert not has_index(store.folder)
    (store.folder / "by-latent/values.npy").write_bytes(b"cut")
    write_by_latent(store, tokens)
    assert ByLatent(store.folder).firings(0)[1].tolist() == [0.5, 7.0]


def test_a_latent_outside_is_refused(tmp_path: Path) -> None:
    store, tokens = write_stores(tmp_path)
    write_by_latent(store, tokens)
    for latent in (-1, D_SAE):
        with pytest.raises(StoreError, match=r"outside 0\.\.6"):
            ByLatent(store.folder).firings(latent)


def test_pieces_are_kept_beside_the_ids(tmp_path: Path) -> None:
    _, tokens = write_stores(tmp_path)
    with pytest.raises(StoreError, match=r"no pieces\.json"):
        tokens.pieces(0)
    tokens.write_pieces(lambda ids: f" w{ids[0]}")
    assert tokens.pieces(1) == [" w9", " w12", " w13", " w14", " w15"]
