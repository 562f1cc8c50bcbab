"""Groupmax: of each group of neighbouring latents the largest, if positive. The library's own maths is in the sparsify tests."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.architectures import fold
from mosaic_sae.sae.base import SaeMetadata, SparseAutoencoder
from mosaic_sae.sae.encode import FusedEncoder, _group_max_numpy, _group_max_torch


def test_by_hand_with_ties_and_a_group_without_a_positive_value():
    # Pre-activations of the one token [1]: groups (3 1 3), (-1 0 -2), (.5 2 1).
    weight = torch.tensor([[3, 1, 3, -1, 0, -2, 0.5, 2, 1]])
    sae = SparseAutoencoder(
        SaeMetadata("by hand"),
        "groupmax",
        weight,
        torch.arange(9.0)[:, None],
        torch.zeros(1),
        b_enc=torch.zeros(9),
        k=3,
    )
    wanted = [[3, 0, 0, 0, 0, 0, 0, 2, 0]]  # the first of equal ones; zero is not positive
    np.testing.assert_array_equal(sae.encode_dense(torch.ones(1, 1)).numpy(), wanted)
    for numpy_search in (True, False):
        encoder = FusedEncoder(fold(sae), "none", numpy_search=numpy_search)
        np.testing.assert_array_equal(encoder(torch.ones(1, 1)).to_dense(9), wanted)
    np.testing.assert_array_equal(sae.decode(sae.encode(torch.ones(1, 1))).numpy(), [[3 * 0 + 2 * 7]])


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 9), st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000), st.sampled_from([-3.0, 0.0, 1.0]))
def test_many_ties_and_silent_groups(rows, n_groups, size, seed, shift):
    pre = np.round(np.random.default_rng(seed).normal(size=(rows, n_groups * size)) + shift).astype(np.float32)
    wanted = np.zeros_like(pre)
    for row in range(rows):
        for group in range(n_groups):
            best = max(range(group * size, (group + 1) * size), key=lambda column: (pre[row, column], -column))
            wanted[row, best] = max(pre[row, best], 0)
    for pairs in (_group_max_numpy(pre, n_groups), _group_max_torch(torch.from_numpy(pre), n_groups)):
        found = np.zeros_like(pre)
        found[np.repeat(np.arange(rows), pairs.counts), pairs.indices] = pairs.values
        np.testing.assert_array_equal(found, wanted)
        assert (pairs.values > 0).all()


@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize(("d_sae", "k"), [(36, 1), (36, 4), (36, 36), (35, 5), (70, 7)])
def test_fused_equals_definition(make_sae, make_acts, d_sae, k, apply_b_dec):
    sae = make_sae("groupmax", d_sae=d_sae, k=k, apply_b_dec_to_input=apply_b_dec)
    acts = make_acts(n=101)
    dense = sae.encode_dense(acts).numpy()
    assert (dense.reshape(101, k, -1) > 0).sum(axis=2).max() == 1
    for block_rows in (1, 7, 500):
        for numpy_search in (True, False):
            latents = FusedEncoder(fold(sae), "none", block_rows, numpy_search)(acts)
            np.testing.assert_allclose(latents.to_dense(d_sae), dense, rtol=1e-5, atol=2e-6)
    assert (np.diff(sae.encode(acts[:1]).indices.astype(int)) > 0).all()


def test_no_tokens_and_no_positive_value(make_sae, make_acts):
    sae = make_sae("groupmax", b_enc=torch.full((24,), -1e6))
    assert sae.encode(torch.zeros(0, 8)).n_tokens == 0
    assert sae.encode(make_acts(n=4)).token_offsets.tolist() == [0] * 5


def test_groups_must_be_equal(make_sae):
    with pytest.raises(SaeError, match="24 latents cannot be divided by k = 5"):
        make_sae("groupmax", k=5)
    with pytest.raises(SaeError, match="k from 1 to 24"):
        make_sae("groupmax", k=None)


def test_the_number_of_groups_counts_and_so_does_the_kind(make_sae):
    prints = {make_sae("groupmax", k=k).fingerprint for k in (2, 3, 4)} | {make_sae("topk", k=4).fingerprint}
    assert len(prints) == 4
