"""Shares of tokens: by hand, and against what pooling and binarisation say of every pooling and threshold."""

from __future__ import annotations

import numpy as np
import pytest

from mosaic_sae.features.binarise import binarise
from mosaic_sae.features.pooling import pool
from mosaic_sae.features.shares import token_shares
from mosaic_sae.store.format import TokenLatents

POOLINGS = ["sum", "mean", "max", "last", "count_top_n(2)"]


def make_row(tokens: list[dict[int, float]], d_sae: int = 12) -> TokenLatents:
    pairs = [sorted(token.items()) for token in tokens]
    flat = [pair for token in pairs for pair in token]
    return TokenLatents(
        row_offsets=np.array([0, len(tokens)]),
        positions=np.arange(1, len(tokens) + 1, dtype=np.int32),
        token_offsets=np.cumsum([0, *map(len, pairs)]),
        indices=np.array([latent for latent, _ in flat], dtype=np.uint16),
        values=np.array([value for _, value in flat], dtype=np.float32),
        d_sae=d_sae,
    )


# Pairs in order: token 0: (2: 1), (5: 4); token 1: (2: 3), (7: 2), (9: 1); token 2: (2: 3), (5: 1).
ROW = make_row([{2: 1.0, 5: 4.0}, {2: 3.0, 7: 2.0, 9: 1.0}, {2: 3.0, 5: 1.0}])


@pytest.mark.parametrize(
    ("pooling", "threshold", "expected"),
    [
        ("sum", None, [1 / 7, 0.8, 3 / 7, 1, 1, 3 / 7, 0.2]),
        ("mean", None, [1 / 7, 0.8, 3 / 7, 1, 1, 3 / 7, 0.2]),
        # Two tokens share the largest value of latent 2: the first has it all.
        ("max", None, [0, 1, 1, 1, 1, 0, 0]),
        ("last", None, [0, 0, 0, 0, 0, 1, 1]),
        # Latent 9 is third in its token.
        ("count_top_n(2)", None, [1 / 3, 0.5, 1 / 3, 1, 0, 1 / 3, 0.5]),
        ("sum", 3.0, [1 / 7, 0.8, 3 / 7, 0, 0, 3 / 7, 0.2]),
        # Means: 7 / 3, 5 / 3, 2 / 3, 1 / 3.
        ("mean", 2.0, [1 / 7, 0, 3 / 7, 0, 0, 3 / 7, 0]),
        ("max", 3.0, [0, 1, 0.5, 0, 0, 0.5, 0]),
        ("last", 2.0, [0, 0, 0, 0, 0, 1, 0]),
        ("count_top_n(2)", 2.0, [1 / 3, 0.5, 1 / 3, 0, 0, 1 / 3, 0.5]),
    ],
)
def test_by_hand(pooling: str, threshold: float | None, expected: list[float]) -> None:
    np.testing.assert_allclose(token_shares(ROW, pooling, threshold), expected)


@pytest.mark.parametrize("threshold", [None, 0.7, 2.0])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_shares_sum_to_one_exactly_where_the_feature_is_not_zero(pooling: str, threshold: float | None) -> None:
    rng = np.random.default_rng(3)
    for n_tokens in (0, 1, 9):
        tokens = [
            {int(latent): float(np.float32(rng.gamma(1.0))) for latent in rng.choice(12, rng.integers(0, 7), replace=False)}
            for _ in range(n_tokens)
        ]
        row = make_row(tokens)
        feature = binarise(pool(row, pooling), threshold).toarray()[0]
        sums = np.bincount(row.indices, weights=token_shares(row, pooling, threshold), minlength=12)
        np.testing.assert_allclose(sums, feature > 0, atol=1e-12)


def test_a_value_at_the_threshold_passes_as_it_does_in_binarise() -> None:
    row = make_row([{1: 0.7}, {1: 0.1}])
    assert token_shares(row, "max", 0.7).tolist() == [1, 0]
    assert binarise(pool(row, "max"), 0.7).toarray()[0, 1] == 1
