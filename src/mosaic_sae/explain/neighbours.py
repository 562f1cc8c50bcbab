"""Which latents are near one: by the direction they write, and by the tokens on which they fire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from mosaic_sae.explain.cards import Neighbour
from mosaic_sae.explain.counts import short
from mosaic_sae.store.reader import LatentStore

N_NEAREST = 5
# Similarities that are held at once.
_TABLE = 16_000_000


def nearest_by_decoder(w_dec: np.ndarray, latents: Sequence[int]) -> list[list[Neighbour]]:
    """Find the latents whose decoder directions have the largest cosine.

    Args:
        w_dec: float32 [d_sae, d_out]; row j is the direction that latent j writes.
        latents: of which.

    Returns:
        For each of ``latents`` up to five others, nearest first, ties by index. A latent whose direction is 0 has none.
    """
    norms = np.linalg.norm(w_dec, axis=1)
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    found: list[list[Neighbour]] = []
    for block in _blocks(latents, len(w_dec)):
        cosine = (w_dec[block] @ w_dec.T) * inverse * inverse[block][:, None]
        found += _largest(cosine, block, norms > 0)
    return [near if norms[latent] > 0 else [] for latent, near in zip(latents, found, strict=True)]


def nearest_by_co_activation(store: LatentStore, latents: Sequence[int]) -> list[list[Neighbour]]:
    """Find the latents that fire on most of the same tokens, by the Jaccard index: tokens on which both fire / on which either does.

    Args:
        store: token-level latents; read once for every few thousand of ``latents``.
        latents: of which.

    Returns:
        For each of ``latents`` up to five others, nearest first, ties by index; none that never fires with it.
    """
    found: list[list[Neighbour]] = []
    for block in _blocks(latents, store.d_sae):
        both = np.zeros((len(block), store.d_sae), dtype=np.int32)
        alone = np.zeros(store.d_sae, dtype=np.int64)
        for _, shard in store.iter_shards():
            ones = np.ones(len(shard.indices), dtype=np.int32)
            fires = sp.csr_array((ones, shard.indices.astype(np.int32), shard.token_offsets), shape=(shard.n_tokens, store.d_sae))
            together = sp.coo_array(fires[:, block].T @ fires)
            both[together.coords] += together.data
            alone += np.bincount(shard.indices, minlength=store.d_sae)
        either = alone[block][:, None] + alone - both
        found += _largest(np.divide(both, either, out=np.zeros(both.shape), where=either > 0), block, alone > 0)
    return found


def _blocks(latents: Sequence[int], d_sae: int) -> Iterator[np.ndarray]:
    size = max(1, _TABLE // d_sae)
    for start in range(0, len(latents), size):
        yield np.array(latents[start : start + size], dtype=np.int64)


def _largest(similarity: np.ndarray, latents: np.ndarray, allowed: np.ndarray) -> list[list[Neighbour]]:
    """Return the nearest of each row of ``similarity`` [n, d_sae] with a similarity above 0, without the latent itself."""
    similarity[:, ~allowed] = 0
    similarity[np.arange(len(latents)), latents] = 0
    n = min(N_NEAREST, similarity.shape[1])
    best = np.argpartition(-similarity, n - 1, axis=1)[:, :n]
    rows: list[list[Neighbour]] = []
    for row, columns in zip(similarity, best, strict=True):
        ordered = columns[np.lexsort((columns, -row[columns]))]
        rows.append([{"latent": int(other), "similarity": short(float(row[other]))} for other in ordered if row[other] > 0])
    return rows
