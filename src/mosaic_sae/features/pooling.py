"""From token-level latents to one sparse vector per example, without a model pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from mosaic_sae.config.poolings import canonical_pooling, top_n
from mosaic_sae.errors import StoreError
from mosaic_sae.store.format import TokenLatents


class ShardedLatents(Protocol):
    """What pooling needs of a latent store."""

    n_rows: int

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        ...

    def iter_shards(self) -> Iterator[tuple[int, TokenLatents]]:
        """Yield (number of the first example, shard) in row order."""
        ...


def pool(tokens: TokenLatents, pooling: str) -> sp.csr_array:
    """Pool the kept tokens of each example.

    Args:
        tokens: one shard.
        pooling: "sum", "mean" (over all kept tokens, also those where the latent is silent), "max", "last" (the last kept
            token), or "count_top_n(N)": in how many kept tokens the latent was among that token's N largest non-zero
            latents, where of equal values the lower latent comes first.

    Returns:
        float32 [n_rows, d_sae], indices sorted, no stored zeros. An example with no kept token is an empty row.

    Raises:
        ValueError: ``pooling`` names no pooling.
    """
    pooling = canonical_pooling(pooling)
    tokens_per_row = np.diff(tokens.row_offsets)
    pairs_per_token = np.diff(tokens.token_offsets)
    row_of_token = np.repeat(np.arange(tokens.n_rows), tokens_per_row)
    rows = np.repeat(row_of_token, pairs_per_token)
    columns, values = tokens.indices, tokens.values
    if pooling == "last":
        last_tokens = tokens.row_offsets[1:][tokens_per_row > 0] - 1
        is_last = np.zeros(tokens.n_tokens, dtype=bool)
        is_last[last_tokens] = True
        chosen = np.repeat(is_last, pairs_per_token)
    elif (n := top_n(pooling)) is not None:
        chosen = among_top(tokens.token_offsets, values, n)
        values = np.ones(len(values), dtype=np.float64)
    else:
        chosen = np.ones(len(values), dtype=bool)
    combine = np.maximum if pooling == "max" else np.add
    pooled = _combine(rows[chosen], columns[chosen], values[chosen], combine, (tokens.n_rows, tokens.d_sae))
    if pooling == "mean":
        pooled.data /= np.repeat(tokens_per_row, np.diff(pooled.indptr))
    pooled = pooled.astype(np.float32)
    # A float16 store may hold values that were rounded to zero.
    pooled.eliminate_zeros()
    return pooled


def _combine(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, combine: np.ufunc, shape: tuple[int, int]) -> sp.csr_array:
    """Reduce all values of one (row, column) cell to one, in float64; sorting keeps memory proportional to the number of values."""
    cells = rows * np.int64(shape[1]) + columns
    order = np.argsort(cells, kind="stable")
    cells = cells[order]
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    data = combine.reduceat(values[order].astype(np.float64), starts) if len(starts) else np.empty(0)
    cell_rows, cell_columns = np.divmod(cells[starts], shape[1])
    row_ends = np.searchsorted(cell_rows, np.arange(shape[0] + 1))
    return _csr(data, cell_columns, row_ends, shape)


def among_top(token_offsets: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Say for each pair whether it is among the ``n`` largest non-zero values of its token.

    Bits of positive float32 numbers order like the numbers, so one integer key sorts by (token, value descending); the
    sort is stable and pairs ascend by latent, so that of equal values the lower latent comes first.
    """
    pairs_per_token = np.diff(token_offsets)
    token = np.repeat(np.arange(len(pairs_per_token), dtype=np.uint64), pairs_per_token)
    descending = np.uint64(0xFFFFFFFF) - values.astype(np.float32).view(np.uint32)
    order = np.argsort((token << np.uint64(32)) | descending, kind="stable")
    rank_in_token = np.arange(len(values)) - np.repeat(token_offsets[:-1], pairs_per_token)
    chosen = np.empty(len(values), dtype=bool)
    chosen[order] = rank_in_token < n
    return chosen & (values > 0)


def _csr(data: np.ndarray, columns: np.ndarray, row_ends: np.ndarray, shape: tuple[int, int]) -> sp.csr_array:
    # 32-bit indices where they fit: half the memory, and the only kind that liblinear and the decision tree take.
    index = np.int32 if max(len(data), *shape) <= np.iinfo(np.int32).max else np.int64
    return sp.csr_array((data, columns.astype(index), row_ends.astype(index)), shape=shape)


def pool_store(store: ShardedLatents, pooling: str) -> sp.csr_array:
    """Pool a whole store: float32 [n_rows, d_sae].

    Raises:
        StoreError: the shards do not cover the rows one after another.
    """
    return pool_store_each(store, [pooling])[pooling]


def pool_store_each(store: ShardedLatents, poolings: Sequence[str]) -> dict[str, sp.csr_array]:
    """Make several poolings in one pass over the shards."""
    parts: dict[str, list[sp.csr_array]] = {pooling: [] for pooling in poolings}
    rows_seen = 0
    for first_row, shard in store.iter_shards():
        if first_row != rows_seen:
            raise StoreError(f"Pooling a store: a shard starts at row {first_row}, but the rows before it end at {rows_seen}.")
        rows_seen += shard.n_rows
        for pooling, done in parts.items():
            done.append(pool(shard, pooling))
    if rows_seen != store.n_rows:
        raise StoreError(f"Pooling a store: its shards hold {rows_seen} rows, its manifest says {store.n_rows}.")
    return {pooling: _stack(done, store.d_sae) for pooling, done in parts.items()}


def _stack(parts: Iterable[sp.csr_array], d_sae: int) -> sp.csr_array:
    parts = [sp.csr_array((0, d_sae), dtype=np.float32), *parts]
    data = np.concatenate([part.data for part in parts])
    columns = np.concatenate([part.indices for part in parts])
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    row_ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return _csr(data, columns, row_ends, (len(lengths), d_sae))
