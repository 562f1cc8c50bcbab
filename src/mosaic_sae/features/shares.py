"""Which tokens a pooled value comes from: each token's share of it, under every pooling and threshold."""

from __future__ import annotations

import numpy as np

from mosaic_sae.config.poolings import canonical_pooling, top_n
from mosaic_sae.features.pooling import among_top
from mosaic_sae.store.format import TokenLatents


def token_shares(tokens: TokenLatents, pooling: str, threshold: float | None) -> np.ndarray:
    """Split each latent's feature over the tokens of one example.

    sum, mean: by activation. count_top_n: equally over the tokens that were counted. last: all to the last token. max: all
    to the first token of largest activation. Binarised: as without the threshold, because all of these tokens together reached
    it; but under max equally over the tokens that reach the threshold by themselves.

    Args:
        tokens: the one example.
        pooling: as for ``pool``.
        threshold: as for ``binarise``.

    Returns:
        float64 [nnz], one for each (token, latent) pair. The shares of a latent sum to 1 where its feature is above 0, else to 0.
    """
    pooling = canonical_pooling(pooling)
    latents, values = tokens.indices.astype(np.int64), tokens.values.astype(np.float64)
    n_latents = int(latents.max(initial=-1)) + 1
    token = np.repeat(np.arange(tokens.n_tokens), np.diff(tokens.token_offsets))
    if pooling == "last":
        parts = np.where(token == tokens.n_tokens - 1, values, 0.0)
    elif (n := top_n(pooling)) is not None:
        parts = among_top(tokens.token_offsets, tokens.values, n).astype(np.float64)
    elif pooling == "max":
        parts = _of_max(latents, values, token, threshold)
    else:
        parts = values
    total = np.bincount(latents, weights=parts, minlength=n_latents)
    feature = total / max(tokens.n_tokens, 1) if pooling == "mean" else total
    if threshold is not None and pooling != "max":
        # Compared in float32, as binarise does.
        total = np.where(feature.astype(np.float32) >= np.float32(threshold), total, 0.0)
    passes = total[latents] > 0
    return np.divide(parts, total[latents], out=np.zeros(len(parts)), where=passes)


def _of_max(latents: np.ndarray, values: np.ndarray, token: np.ndarray, threshold: float | None) -> np.ndarray:
    if threshold is not None:
        return (values.astype(np.float32) >= np.float32(threshold)).astype(np.float64)
    order = np.lexsort((token, -values, latents))
    first = np.ones(len(order), dtype=bool)
    first[1:] = latents[order][1:] != latents[order][:-1]
    chosen = np.zeros(len(order))
    chosen[order[first]] = values[order[first]]
    return chosen
