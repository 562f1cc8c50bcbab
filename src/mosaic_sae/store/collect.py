"""Put what comes out of length-sorted batches back into row order, as the arrays of one shard."""

from __future__ import annotations

import numpy as np

from mosaic_sae.errors import StoreError
from mosaic_sae.sae.latents import index_dtype


class RaggedCollector:
    """Collects per-token payloads of rows that arrive in any order.

    Each ``add`` brings some rows whole; ``finish`` returns row offsets and the order in which to read the tokens.
    """

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self._rows: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []

    def add(self, token_rows: np.ndarray, positions: np.ndarray) -> None:
        """Add tokens: int64 [n] row of each token, ascending positions within a row, int32 [n] position in its text."""
        self._rows.append(token_rows)
        self._positions.append(positions)

    def finish(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row_offsets int64 [n_rows+1], positions int32 [n] in row order, and the order int64 [n] of the added tokens."""
        rows = np.concatenate(self._rows) if self._rows else np.zeros(0, dtype=np.int64)
        positions = np.concatenate(self._positions) if self._positions else np.zeros(0, dtype=np.int32)
        order = np.argsort(rows, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=self._n_rows))]).astype(np.int64)
        return offsets, positions[order].astype(np.int32), order


def gather_pairs(
    token_offsets: np.ndarray, indices: np.ndarray, values: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reorder the tokens of a CSR structure.

    Args:
        token_offsets: int64 [n+1].
        indices: [nnz].
        values: [nnz].
        order: int64 [n]; new token t is old token order[t].

    Returns:
        The new (token_offsets, indices, values).
    """
    counts = np.diff(token_offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    # Pair p of new token t comes from the old start of that token plus p's place inside it.
    source = np.repeat(token_offsets[order] - offsets[:-1], counts) + np.arange(offsets[-1])
    return offsets, indices[source], values[source]


def join_pairs(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], order: np.ndarray, d_sae: int, value_dtype: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concatenate CSR parts in the order of arrival, then reorder their tokens; also fixes the stored types.

    Raises:
        StoreError: a value is too large for the type.
    """
    if not parts:
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=index_dtype(d_sae)), np.zeros(0, dtype=value_dtype)
    shifts = np.concatenate([[0], np.cumsum([part[0][-1] for part in parts])])
    offsets = np.concatenate([[0], *(part[0][1:] + shift for part, shift in zip(parts, shifts, strict=False))]).astype(np.int64)
    indices = np.concatenate([part[1] for part in parts]).astype(index_dtype(d_sae))
    values = np.concatenate([part[2] for part in parts])
    if len(values) and (largest := float(values.max())) > float(np.finfo(value_dtype).max):
        raise StoreError(f"settings.store_dtype is {value_dtype}, but latent values reach {largest:.4g}. Use store_dtype: float32.")
    values = values.astype(value_dtype)
    return gather_pairs(offsets, indices, values, order)
