"""Latent activations of tokens, kept as (index, value) pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SparseLatents:
    """Active latents of consecutive tokens, in compressed rows."""

    token_offsets: np.ndarray
    """int64 [n_tokens+1]: the pairs of token t are ``token_offsets[t]:token_offsets[t+1]``."""
    indices: np.ndarray
    """uint16 (d_sae <= 65,536) or int32 [nnz], ascending inside one token."""
    values: np.ndarray
    """float32 [nnz], all > 0."""
    scale: np.ndarray | None = None
    """float32 [n_tokens]: what the input normalisation divided by; only SAEs that normalise each token need it to decode."""
    offset: np.ndarray | None = None
    """float32 [n_tokens]: what the input normalisation subtracted."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return len(self.token_offsets) - 1

    @property
    def l0(self) -> float:
        """Mean number of active latents per token; 0 without tokens."""
        return len(self.indices) / self.n_tokens if self.n_tokens else 0.0

    def to_dense(self, d_sae: int) -> np.ndarray:
        """Return float32 [n_tokens d_sae]; for small inputs and tests."""
        dense = np.zeros((self.n_tokens, d_sae), dtype=np.float32)
        rows = np.repeat(np.arange(self.n_tokens), np.diff(self.token_offsets))
        dense[rows, self.indices.astype(np.int64)] = self.values
        return dense


def index_dtype(d_sae: int) -> type[np.uint16] | type[np.int32]:
    """Return the smallest stored integer type that holds every index below ``d_sae``."""
    return np.uint16 if d_sae <= 1 << 16 else np.int32
