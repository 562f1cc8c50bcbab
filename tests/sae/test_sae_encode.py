"""The fused encode: equal to the definition however it is blocked and searched."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.architectures import fold
from mosaic_sae.sae.encode import FusedEncoder, _top_k_numpy, _true_positions

ARCHITECTURES = ["standard", "gated", "topk", "jumprelu"]
NORMALISATIONS = ["none", "layer_norm", "constant_norm_rescale"]


def assert_same(latents, other):
    np.testing.assert_array_equal(latents.token_offsets, other.token_offsets)
    np.testing.assert_array_equal(latents.indices, other.indices)
    np.testing.assert_allclose(latents.values, other.values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fused_equals_definition(make_sae, make_acts, architecture, normalisation, apply_b_dec):
    sae = make_sae(architecture, d_sae=37, normalize_activations=normalisation, apply_b_dec_to_input=apply_b_dec)
    acts = make_acts(n=101)
    dense = sae.encode_dense(acts).numpy()
    assert 0.02 < (dense > 0).mean() < 0.9
    for block_rows in (1, 7, 101, 500):
        for numpy_search in (True, False):
            encoder = FusedEncoder(fold(sae), normalisation, block_rows, numpy_search)
            np.testing.assert_allclose(encoder(acts).to_dense(37), dense, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize(("d_sae", "k"), [(64, 1), (64, 2), (64, 16), (64, 63), (64, 64), (1001, 9), (33, 4)])
def test_topk_finds_exactly_the_k_largest(make_sae, make_acts, d_sae, k, rescale):
    sae = make_sae("topk", d_sae=d_sae, k=k, rescale_acts_by_decoder_norm=rescale)
    acts = make_acts(n=200)
    dense = sae.encode_dense(acts).numpy()
    assert (dense > 0).sum(axis=1).max() <= k
    fused = sae.encode(acts)
    np.testing.assert_allclose(fused.to_dense(d_sae), dense, rtol=1e-5, atol=2e-6)
    assert_same(FusedEncoder(fold(sae), "none", numpy_search=False)(acts), fused)


def test_of_equal_values_the_lowest_indices_win():
    pre = np.array([[1, 5, 5, 5, 2, 5], [0, 0, -1, 0, 0, 0], [3, 3, 3, 3, 3, 3]], dtype=np.float32)
    pairs = _top_k_numpy(pre, 3, np.empty(24, dtype=np.bool_))
    np.testing.assert_array_equal(pairs.counts, [3, 0, 3])
    np.testing.assert_array_equal(pairs.indices, [1, 2, 3, 0, 1, 2])
    np.testing.assert_array_equal(pairs.values, [5, 5, 5, 3, 3, 3])


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 9),
    st.integers(1, 80),
    st.integers(1, 80),
    st.integers(0, 10_000),
    st.sampled_from([1.0, 3.0]),
)
def test_topk_with_many_ties_keeps_k_positive_ones(rows, d_sae, k, seed, spread):
    k = min(k, d_sae)
    pre = np.round(np.random.default_rng(seed).normal(size=(rows, d_sae)) * spread).astype(np.float32)
    pairs = _top_k_numpy(pre, k, np.empty(-(-pre.size // 8) * 8, dtype=np.bool_))
    start = 0
    for row, count in zip(pre, pairs.counts, strict=True):
        order = np.lexsort((np.arange(d_sae), -row))[:k]  # largest first, lowest index first
        wanted = np.sort(order[row[order] > 0])
        np.testing.assert_array_equal(pairs.indices[start : start + count], wanted)
        np.testing.assert_array_equal(pairs.values[start : start + count], row[wanted])
        start += count
    assert start == len(pairs.indices)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 10_000))
def test_true_positions_equal_flatnonzero(words, share, seed):
    mask = np.random.default_rng(seed).random(words * 8) < share
    np.testing.assert_array_equal(_true_positions(mask), np.flatnonzero(mask))


def test_pairs_ascend_inside_a_token_and_values_are_positive(make_sae, make_acts):
    for architecture in ARCHITECTURES:
        latents = make_sae(architecture, d_sae=300).encode(make_acts())
        for start, stop in zip(latents.token_offsets[:-1], latents.token_offsets[1:], strict=True):
            assert (np.diff(latents.indices[start:stop].astype(int)) > 0).all()
        assert (latents.values > 0).all()
        assert latents.values.dtype == np.float32
        assert latents.token_offsets.dtype == np.int64
        assert latents.token_offsets[-1] == len(latents.indices) == len(latents.values)


def test_index_type_is_the_smallest_that_fits(make_sae, make_acts):
    for d_sae, dtype in ((65536, np.uint16), (65537, np.int32)):
        sae = make_sae("standard", d_model=2, d_sae=d_sae)
        acts = make_acts(n=3, d_model=2)
        latents = sae.encode(acts)
        assert latents.indices.dtype == dtype
        np.testing.assert_array_equal(np.flatnonzero(sae.encode_dense(acts)[2]), latents.indices[latents.token_offsets[2] :])


def test_half_precision_activations_are_encoded_in_float32(make_sae, make_acts):
    sae = make_sae("jumprelu")
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        acts = make_acts().to(dtype)
        np.testing.assert_allclose(sae.encode(acts).values, sae.encode(acts.float()).values, rtol=1e-6)


def test_no_tokens_and_no_active_latents(make_sae, make_acts):
    for architecture in ARCHITECTURES:
        empty = make_sae(architecture).encode(torch.zeros(0, 8))
        assert empty.n_tokens == 0
        assert empty.l0 == 0
        assert empty.token_offsets.tolist() == [0]
    silent = make_sae("jumprelu", threshold=torch.full((24,), 1e6))
    latents = silent.encode(make_acts(n=4))
    assert latents.token_offsets.tolist() == [0] * 5
    np.testing.assert_allclose(silent.decode(latents).numpy(), np.tile(silent.b_dec.numpy(), (4, 1)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_non_finite_activations_are_refused_and_counted(make_sae, make_acts, value, normalisation):
    sae = make_sae("standard", normalize_activations=normalisation)
    acts = make_acts()
    acts[[3, 3, 41], [0, 5, 7]] = value
    with pytest.raises(SaeError, match="activations of 2 of 50 tokens"):
        sae.encode(acts)


def test_infinities_that_cancel_in_a_sum_are_found(make_sae, make_acts):
    acts = make_acts()
    acts[3, 0], acts[9, 2] = float("inf"), float("-inf")
    with pytest.raises(SaeError, match="2 of 50"):
        make_sae("topk").encode(acts)


def test_finite_activations_whose_sum_overflows_are_encoded(make_sae):
    sae = make_sae("standard", apply_b_dec_to_input=False)
    acts = torch.full((64, 8), 1e37)
    assert torch.isinf(acts.sum())
    assert sae.encode(acts).n_tokens == 64


def test_an_all_zero_token_has_no_direction_to_rescale(make_sae, make_acts):
    acts = make_acts()
    acts[5] = 0
    assert make_sae("standard").encode(acts).n_tokens == 50
    with pytest.raises(SaeError, match=r"1 of 50 tokens .*all-zero"):
        make_sae("standard", normalize_activations="constant_norm_rescale").encode(acts)


@pytest.mark.parametrize("shape", [(5, 9), (8,), (2, 3, 8)])
def test_other_shapes_are_refused(make_sae, shape):
    with pytest.raises(SaeError, match=r"\[n, 8\], got"):
        make_sae("standard").encode(torch.zeros(*shape))


def test_one_block_stays_bounded_and_its_buffer_is_reused(make_sae, make_acts):
    encoder = make_sae("standard", d_sae=70_000).encoder
    assert encoder.block_rows * 70_000 * 4 <= 16 << 20
    assert FusedEncoder(fold(make_sae("standard", d_sae=24)), "none").block_rows * 24 * 4 <= 16 << 20
    encoder(make_acts())
    first = encoder._spare[0].pre.data_ptr()
    encoder(make_acts())
    assert len(encoder._spare) == 1
    assert encoder._spare[0].pre.data_ptr() == first


def test_two_threads_do_not_share_a_buffer(make_sae, make_acts):
    sae = make_sae("topk", d_sae=2000, k=7)
    inputs = [make_acts(n=400, seed=seed) for seed in range(6)]
    alone = [sae.encode(acts) for acts in inputs]
    together = [None] * len(inputs)

    def work(place):
        for _ in range(5):
            together[place] = sae.encode(inputs[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other)


def test_a_token_does_not_depend_on_its_neighbours(make_sae, make_acts):
    sae, acts = make_sae("jumprelu", d_sae=300, normalize_activations="layer_norm"), make_acts(n=64)
    whole = sae.encode(acts).to_dense(300)
    order = np.random.default_rng(0).permutation(64)
    np.testing.assert_allclose(sae.encode(acts[order]).to_dense(300), whole[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sae.encode(acts[9:10]).to_dense(300), whole[9:10], rtol=1e-5, atol=1e-6)


def test_gradients_are_not_recorded(make_sae, make_acts):
    sae = make_sae("standard")
    acts = make_acts().requires_grad_()
    assert not sae.decode(sae.encode(acts)).requires_grad
    assert not sae.encode_dense(acts).requires_grad
