"""Pooling against hand-computed arrays, and against a naive dense twin on arbitrary shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_sae.errors import StoreError
from mosaic_sae.features.pooling import pool, pool_store, pool_store_each
from mosaic_sae.store.format import TokenLatents

Tokens = list[dict[int, float]]
"""The kept tokens of one example, each as latent -> value."""


def make_shard(rows: list[Tokens], d_sae: int, index: type = np.uint16, value: type = np.float32) -> TokenLatents:
    tokens = [token for row in rows for token in row]
    pairs = [pair for token in tokens for pair in sorted(token.items())]
    return TokenLatents(
        row_offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        positions=np.array([place for row in rows for place in range(1, len(row) + 1)], dtype=np.int32),
        token_offsets=np.cumsum([0, *map(len, tokens)], dtype=np.int64),
        indices=np.array([latent for latent, _ in pairs], dtype=index),
        values=np.array([value for _, value in pairs], dtype=value),
        d_sae=d_sae,
    )


ROWS: list[Tokens] = [
    [{0: 1.0, 2: 4.0}, {2: 2.0}, {}],  # the last token is silent
    [],  # no kept token
    [{}, {}],  # kept tokens, all silent
    [{1: 3.0, 3: 3.0, 4: 0.5}],  # one token, a tie
    [{4: 2.0}, {0: 6.0, 1: 5.0, 3: 7.0}],
]
BY_HAND = {
    "sum": [[1, 0, 6, 0, 0], [0] * 5, [0] * 5, [0, 3, 0, 3, 0.5], [6, 5, 0, 7, 2]],
    "mean": [[1 / 3, 0, 2, 0, 0], [0] * 5, [0] * 5, [0, 3, 0, 3, 0.5], [3, 2.5, 0, 3.5, 1]],
    "max": [[1, 0, 4, 0, 0], [0] * 5, [0] * 5, [0, 3, 0, 3, 0.5], [6, 5, 0, 7, 2]],
    "last": [[0] * 5, [0] * 5, [0] * 5, [0, 3, 0, 3, 0.5], [6, 5, 0, 7, 0]],
    "count_top_n(1)": [[0, 0, 2, 0, 0], [0] * 5, [0] * 5, [0, 1, 0, 0, 0], [0, 0, 0, 1, 1]],
    "count_top_n(2)": [[1, 0, 2, 0, 0], [0] * 5, [0] * 5, [0, 1, 0, 1, 0], [1, 0, 0, 1, 1]],
    "count_top_n(100)": [[1, 0, 2, 0, 0], [0] * 5, [0] * 5, [0, 1, 0, 1, 1], [1, 1, 0, 1, 1]],
}


@pytest.mark.parametrize("pooling", BY_HAND)
def test_pooling_by_hand(pooling: str) -> None:
    pooled = pool(make_shard(ROWS, d_sae=5), pooling)
    np.testing.assert_allclose(pooled.toarray(), np.array(BY_HAND[pooling]), rtol=1e-6)


@pytest.mark.parametrize("pooling", BY_HAND)
def test_result_is_canonical_csr(pooling: str) -> None:
    pooled = pool(make_shard(ROWS, d_sae=5), pooling)
    assert isinstance(pooled, sp.csr_array)
    assert pooled.dtype == np.float32
    assert pooled.indices.dtype == pooled.indptr.dtype == np.int32
    assert (pooled.data != 0).all()
    for row in range(5):
        assert (np.diff(pooled.indices[pooled.indptr[row] : pooled.indptr[row + 1]]) > 0).all()


def test_integer_names_are_aliases() -> None:
    shard = make_shard(ROWS, d_sae=5)
    assert (pool(shard, 2) != pool(shard, "count_top_n(2)")).nnz == 0  # type: ignore[arg-type]
    assert (pool(shard, -1) != pool(shard, "last")).nnz == 0  # type: ignore[arg-type]


def test_indices_near_the_end_of_uint16() -> None:
    rows: list[Tokens] = [[{65534: 1.0, 65535: 2.0}, {65535: 3.0}], [{0: 4.0, 65535: 5.0}]]
    shard = make_shard(rows, d_sae=65536)
    expected = {"sum": [(0, 65534, 1), (0, 65535, 5), (1, 0, 4), (1, 65535, 5)], "count_top_n(1)": [(0, 65535, 2), (1, 65535, 1)]}
    for pooling, cells in expected.items():
        found = pool(shard, pooling).tocoo()
        assert list(zip(found.row.tolist(), found.col.tolist(), found.data.tolist(), strict=True)) == cells


def test_float16_values_are_added_in_higher_precision() -> None:
    # In float16 2048 + 1 is 2048; a token of 0.0 is a value that was rounded away when stored.
    rows: list[Tokens] = [[{0: 2048.0}, *[{0: 1.0}] * 100], [{0: 0.0, 1: 1.0}]]
    shard = make_shard(rows, d_sae=2, value=np.float16)
    assert pool(shard, "sum").toarray().tolist() == [[2148.0, 0.0], [0.0, 1.0]]
    assert pool(shard, "sum").nnz == 2
    assert pool(shard, "count_top_n(5)").toarray().tolist() == [[101.0, 0.0], [0.0, 1.0]]


def test_shard_without_rows() -> None:
    assert pool(make_shard([], d_sae=7), "sum").shape == (0, 7)


def naive(rows: list[Tokens], d_sae: int, pooling: str) -> np.ndarray:
    result = np.zeros((len(rows), d_sae))
    for i, tokens in enumerate(rows):
        dense = np.zeros((len(tokens), d_sae))
        for t, token in enumerate(tokens):
            for latent, value in token.items():
                dense[t, latent] = value
        if not tokens:
            continue
        if pooling.startswith("count"):
            n = int(pooling[len("count_top_n(") : -1])
            for token_values in dense:
                ranked = sorted((latent for latent in range(d_sae) if token_values[latent] > 0), key=lambda j: (-token_values[j], j))
                result[i, ranked[:n]] += 1
        else:
            result[i] = {"sum": dense.sum(0), "mean": dense.mean(0), "max": dense.max(0), "last": dense[-1]}[pooling]
    return result


token = st.dictionaries(st.integers(0, 8), st.sampled_from([0.25, 0.5, 1.0, 1.5, 7.0]), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(token, max_size=5), max_size=5),
    pooling=st.sampled_from(["sum", "mean", "max", "last", "count_top_n(1)", "count_top_n(2)", "count_top_n(3)", "count_top_n(20)"]),
    index=st.sampled_from([np.uint16, np.int32]),
    value=st.sampled_from([np.float32, np.float16]),
)
def test_equals_the_dense_twin(rows: list[Tokens], pooling: str, index: type, value: type) -> None:
    pooled = pool(make_shard(rows, 9, index, value), pooling)
    np.testing.assert_allclose(pooled.toarray(), naive(rows, 9, pooling), rtol=1e-6)


@dataclass
class FakeStore:
    shards: list[tuple[int, TokenLatents]]
    n_rows: int
    d_sae: int = 5

    def iter_shards(self) -> Iterator[tuple[int, TokenLatents]]:
        yield from self.shards


def test_store_equals_one_shard() -> None:
    whole = make_shard(ROWS, 5)
    store = FakeStore([(0, make_shard(ROWS[:2], 5)), (2, make_shard(ROWS[2:3], 5)), (3, make_shard(ROWS[3:], 5))], n_rows=5)
    both = pool_store_each(store, ["max", "count_top_n(1)"])
    assert list(both) == ["max", "count_top_n(1)"]
    for pooling, pooled in both.items():
        assert (pooled != pool(whole, pooling)).nnz == 0
        assert pooled.dtype == np.float32
        assert pooled.indices.dtype == np.int32
        assert (pool_store(store, pooling) != pooled).nnz == 0


def test_store_without_rows() -> None:
    assert pool_store(FakeStore([], n_rows=0), "sum").shape == (0, 5)


@pytest.mark.parametrize("starts", [(0, 2), (1, 3)])
def test_gaps_between_shards_are_refused(starts: tuple[int, int]) -> None:
    shards = [(start, make_shard(ROWS[:1], 5)) for start in starts]
    with pytest.raises(StoreError, match="a shard starts at row"):
        pool_store(FakeStore(shards, n_rows=2), "sum")


def test_missing_shards_are_refused() -> None:
    with pytest.raises(StoreError, match="hold 1 rows, its manifest says 2"):
        pool_store(FakeStore([(0, make_shard(ROWS[:1], 5))], n_rows=2), "sum")
