"""The files of a store against ``docs/store-format.md``."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_sae.errors import StoreError
from mosaic_sae.fsio import sha256_file
from mosaic_sae.sae.latents import index_dtype
from mosaic_sae.store.collect import RaggedCollector, gather_pairs, join_pairs
from mosaic_sae.store.format import MANIFEST, read_header, shard_is_good, shard_name, shard_ranges
from mosaic_sae.store.reader import DenseStore, LatentStore
from mosaic_sae.store.writer import StoreWriter


def write_dense(folder: Path, numbers: list[int], finish: bool = True) -> StoreWriter:
    writer = StoreWriter(folder, "dense", "f" * 16, 5, 2, {"d_model": 3})
    for number in numbers:
        start, stop = writer.ranges[number]
        rows = np.arange(start, stop, dtype=np.float32)[:, None] * np.ones((1, 3), dtype=np.float32)
        writer.write(number, {"mean": rows, "last": rows + 100, "max": rows + 200}, {})
    if finish:
        writer.finish()
    return writer


def test_rows_come_back_in_order_whatever_order_shards_were_written_in(tmp_path: Path) -> None:
    write_dense(tmp_path, [2, 0, 1])
    store = DenseStore(tmp_path)
    assert store.load("mean")[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert store.load("max")[:, 2].tolist() == [200, 201, 202, 203, 204]


def test_without_a_manifest_there_is_no_store(tmp_path: Path) -> None:
    writer = write_dense(tmp_path, [0, 1, 2], finish=False)
    assert not writer.is_complete and writer.missing() == set()
    with pytest.raises(StoreError, match=r"manifest\.json is missing"):
        DenseStore(tmp_path)


def test_a_damaged_shard_is_missing_and_the_others_are_kept(tmp_path: Path) -> None:
    writer = write_dense(tmp_path, [0, 1, 2], finish=False)
    path = tmp_path / shard_name(1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert writer.missing() == {1}
    path.write_bytes(data[: len(data) // 2])
    assert writer.missing() == {1}


def test_a_shard_of_other_rows_or_of_another_store_is_missing(tmp_path: Path) -> None:
    write_dense(tmp_path, [0, 1, 2], finish=False)
    path = tmp_path / shard_name(0)
    assert shard_is_good(path, 0, 2, "f" * 16)
    assert not shard_is_good(path, 0, 3, "f" * 16)
    assert not shard_is_good(path, 0, 2, "e" * 16)


def test_equal_stores_are_equal_bytes(tmp_path: Path) -> None:
    write_dense(tmp_path / "a", [0, 1, 2])
    write_dense(tmp_path / "b", [1, 2, 0])
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["manifest.json", *(shard_name(number) for number in range(3))]
    assert [sha256_file(tmp_path / "a" / name) for name in files] == [sha256_file(tmp_path / "b" / name) for name in files]


def test_the_manifest_says_what_the_document_says(tmp_path: Path) -> None:
    write_dense(tmp_path, [0, 1, 2])
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    text = (Path(__file__).parents[2] / "docs/store-format.md").read_text(encoding="utf-8")
    for key in manifest:
        assert f"`{key}`" in text
    for key in [*manifest["shards"][0], *read_header(tmp_path / shard_name(0))]:
        assert f"`{key}`" in text
    assert manifest["rows"] == 5 and [shard["stop"] for shard in manifest["shards"]] == [2, 4, 5]


def test_another_format_version_and_another_kind_are_refused(tmp_path: Path) -> None:
    write_dense(tmp_path, [0, 1, 2])
    with pytest.raises(StoreError, match="store of dense, not of latents"):
        LatentStore(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(StoreError, match="store format 99; this release reads format 1"):
        DenseStore(tmp_path)


def test_a_complete_store_is_compared_with_its_manifest(tmp_path: Path) -> None:
    writer = write_dense(tmp_path, [0, 1, 2])
    assert writer.missing() == set()
    path = tmp_path / shard_name(2)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert (writer.missing(thorough=False), writer.missing()) == (set(), {2})
    path.write_bytes(b"x")
    assert writer.missing(thorough=False) == {2}


def test_a_damaged_store_that_is_cut_otherwise_is_made_anew(tmp_path: Path) -> None:
    write_dense(tmp_path, [0, 1, 2])
    coarse = StoreWriter(tmp_path, "dense", "f" * 16, 5, 4, {"d_model": 3})
    assert coarse.missing() == set()
    (tmp_path / shard_name(1)).unlink()
    assert coarse.missing() == {0, 1}
    for number, (start, stop) in enumerate(coarse.ranges):
        rows = np.arange(start, stop, dtype=np.float32)[:, None]
        coarse.write(number, {"mean": rows, "last": rows, "max": rows}, {})
        assert not coarse.is_complete
    coarse.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", shard_name(0), shard_name(1)]
    assert DenseStore(tmp_path).load("mean")[:, 0].tolist() == [0, 1, 2, 3, 4]


@given(st.integers(0, 50), st.integers(1, 9))
def test_shard_ranges_cover_all_rows(n_rows: int, shard_rows: int) -> None:
    ranges = shard_ranges(n_rows, shard_rows)
    assert [row for start, stop in ranges for row in range(start, stop)] == list(range(n_rows))


def test_the_smallest_index_type_is_used() -> None:
    assert index_dtype(65536) is np.uint16 and index_dtype(65537) is np.int32


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_pairs_return_to_row_order(data: st.DataObject) -> None:
    """Rows added in any order, in any number of batches, come back row by row with their own pairs."""
    n_rows = data.draw(st.integers(1, 6))
    tokens = [data.draw(st.lists(st.lists(st.integers(0, 9), max_size=4, unique=True).map(sorted), max_size=3)) for _ in range(n_rows)]
    order = data.draw(st.permutations(range(n_rows)))
    collector, parts = RaggedCollector(n_rows), []
    for row in order:
        collector.add(np.full(len(tokens[row]), row), np.arange(len(tokens[row]), dtype=np.int32))
        pairs = [index for token in tokens[row] for index in token]
        offsets = np.concatenate([[0], np.cumsum([len(token) for token in tokens[row]])]).astype(np.int64)
        parts.append((offsets, np.array(pairs, dtype=np.int32), np.array([row * 10 + index + 1 for index in pairs], dtype=np.float32)))
    row_offsets, positions, token_order = collector.finish()
    token_offsets, indices, values = join_pairs(parts, token_order, 10, "float32")
    assert row_offsets.tolist() == np.concatenate([[0], np.cumsum([len(row) for row in tokens])]).tolist()
    assert positions.tolist() == [place for row in tokens for place in range(len(row))]
    flat = [token for row in tokens for token in row]
    got = [indices[token_offsets[t] : token_offsets[t + 1]].tolist() for t in range(len(flat))]
    assert got == flat
    assert values.tolist() == [row * 10 + index + 1 for row, of_row in enumerate(tokens) for token in of_row for index in token]


def test_gather_pairs_by_hand() -> None:
    offsets, indices, values = gather_pairs(np.array([0, 2, 2, 3]), np.array([4, 7, 1]), np.array([0.4, 0.7, 0.1]), np.array([2, 0, 1]))
    assert offsets.tolist() == [0, 1, 3, 3]
    assert indices.tolist() == [1, 4, 7]
    assert values.tolist() == [0.1, 0.4, 0.7]


def test_a_value_beyond_the_stored_type_is_refused() -> None:
    parts = [(np.array([0, 1]), np.array([3]), np.array([70000.0], dtype=np.float32))]
    with pytest.raises(StoreError, match=r"store_dtype is float16, but latent values reach 7e\+04"):
        join_pairs(parts, np.array([0]), 8, "float16")
    assert join_pairs(parts, np.array([0]), 8, "float32")[2].tolist() == [70000.0]
