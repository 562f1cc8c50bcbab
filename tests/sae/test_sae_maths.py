"""Latents and reconstructions against numbers worked out by hand."""

import numpy as np
import pytest
import torch

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.base import SaeMetadata, SparseAutoencoder
from mosaic_sae.sae.latents import SparseLatents

META = SaeMetadata("by hand")
# Two inputs, three latents. With x = [1, 2]: x W_enc = [1, 2, 3]; with x = [-1, 0]: [-1, 0, -1].
W_ENC = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
W_DEC = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, -1.0]])
X = torch.tensor([[1.0, 2.0], [-1.0, 0.0]])
ZERO2, ZERO3 = torch.zeros(2), torch.zeros(3)


def both_ways(sae: SparseAutoencoder, acts: torch.Tensor) -> np.ndarray:
    """Encode by definition and fused, insist that they agree, return the latents."""
    dense, fused = sae.encode_dense(acts).numpy(), sae.encode(acts).to_dense(sae.d_sae)
    np.testing.assert_allclose(fused, dense, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(fused > 0, dense > 0)
    return fused


def test_standard_subtracts_b_dec_only_when_told():
    b_dec, b_enc = torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.0, -1.5])
    # x - b_dec = [0, 1] -> [0, 1, 1] + b_enc = [.5, 1, -.5]; and [-2, -1] -> [-2, -1, -3] + b_enc, all negative
    centred = SparseAutoencoder(META, "standard", W_ENC, W_DEC, b_dec, b_enc=b_enc, apply_b_dec_to_input=True)
    np.testing.assert_allclose(both_ways(centred, X), [[0.5, 1, 0], [0, 0, 0]])
    plain = SparseAutoencoder(META, "standard", W_ENC, W_DEC, b_dec, b_enc=b_enc, apply_b_dec_to_input=False)
    np.testing.assert_allclose(both_ways(plain, X), [[1.5, 2, 1.5], [0, 0, 0]])
    # .5 * [2, 0] + 1 * [0, 3] + b_dec; the token without latents gets b_dec
    np.testing.assert_allclose(centred.decode(centred.encode(X)).numpy(), [[2, 4], [1, 1]])


def test_jumprelu_is_strict_at_the_threshold():
    # pre-activations [1, 2, 3] meet thresholds exactly, just below and just above
    threshold = torch.tensor([1.0, float(np.nextafter(np.float32(2), np.float32(0))), float(np.nextafter(np.float32(3), np.float32(9)))])
    sae = SparseAutoencoder(META, "jumprelu", W_ENC, W_DEC, ZERO2, b_enc=ZERO3, threshold=threshold)
    np.testing.assert_array_equal(both_ways(sae, X[:1]), [[0, 2, 0]])


def test_jumprelu_with_a_negative_threshold_lets_no_negative_value_through():
    # relu(z) * (z > t), as in SAELens; z * (z > t) would give -1 for the second token
    sae = SparseAutoencoder(META, "jumprelu", W_ENC, W_DEC, ZERO2, b_enc=ZERO3, threshold=torch.full((3,), -5.0))
    np.testing.assert_array_equal(both_ways(sae, X), [[1, 2, 3], [0, 0, 0]])


def test_gated_opens_by_one_path_and_measures_by_the_other():
    sae = SparseAutoencoder(
        META,
        "gated",
        W_ENC,
        W_DEC,
        ZERO2,
        b_gate=torch.tensor([-1.0, -1.0, 5.0]),  # pre [1, 2, 3]: gate sums 0 (closed: strict), 1, 8; second token: -2, -1, 4
        r_mag=torch.log(torch.tensor([2.0, 2.0, 3.0])),
        b_mag=torch.tensor([0.0, 1.0, -1.0]),
    )
    # magnitudes: 2*1, 2*2+1 = 5, 3*3-1 = 8; second token, third latent: gate open, but 3*(-1)-1 < 0
    np.testing.assert_allclose(both_ways(sae, X), [[0, 5, 8], [0, 0, 0]], rtol=1e-6)


def test_topk_keeps_the_k_largest_and_only_positive_ones():
    sae = SparseAutoencoder(META, "topk", W_ENC, W_DEC, ZERO2, b_enc=torch.tensor([0.0, 0.0, -3.5]), k=2)
    # [1, 2, -.5] keeps 2 of 2; [-1, 0, -4.5]: zero is not positive
    np.testing.assert_allclose(both_ways(sae, X), [[1, 2, 0], [0, 0, 0]])
    one = SparseAutoencoder(META, "topk", W_ENC, W_DEC, ZERO2, b_enc=ZERO3, k=1)
    np.testing.assert_allclose(both_ways(one, X), [[0, 0, 3], [0, 0, 0]])


def test_topk_measured_by_decoder_norm_ranks_and_decodes_by_it():
    # decoder norms 2, 3, sqrt 2: [1, 2, 3] becomes [2, 6, 3 sqrt 2 = 4.24], so latent 1 wins, not latent 2
    sae = SparseAutoencoder(META, "topk", W_ENC, W_DEC, ZERO2, b_enc=ZERO3, k=1, rescale_acts_by_decoder_norm=True)
    np.testing.assert_allclose(both_ways(sae, X[:1]), [[0, 6, 0]], rtol=1e-6)
    # 6 * ([0, 3] / 3)
    np.testing.assert_allclose(sae.decode(sae.encode(X[:1])).numpy(), [[0, 6]], rtol=1e-6)


def test_layer_norm_uses_the_unbiased_deviation():
    # [1, 2]: mean 1.5, deviation sqrt(.5) (n - 1), so about [-.7071, .7071]; latent 1 sees the second entry
    sae = SparseAutoencoder(META, "standard", W_ENC, W_DEC, ZERO2, b_enc=ZERO3, normalize_activations="layer_norm")
    latents = sae.encode(X[:1])
    np.testing.assert_allclose(latents.to_dense(3), [[0, 0.5 / (0.5**0.5 + 1e-5), 0]], rtol=1e-6)
    np.testing.assert_allclose(sae.encode_dense(X[:1]).numpy()[0, 1], 0.5 / (0.5**0.5 + 1e-5), rtol=1e-6)
    # .7071 * [0, 3], times the deviation, plus the mean
    np.testing.assert_allclose(sae.decode(latents).numpy(), [[1.5, 1.5 + 1.5]], rtol=1e-4)


def test_constant_norm_rescale_gives_every_token_the_same_norm():
    # ||[3, 4]|| = 5 -> norm sqrt 2; b_dec is subtracted after that, and undone before scaling back
    sae = SparseAutoencoder(META, "standard", W_ENC, W_DEC, ZERO2, b_enc=ZERO3, normalize_activations="constant_norm_rescale")
    acts = torch.tensor([[3.0, 4.0], [300.0, 400.0]])
    unit = 2**0.5 / 5
    np.testing.assert_allclose(both_ways(sae, acts), [[3 * unit, 4 * unit, 7 * unit]] * 2, rtol=1e-6)
    # 3 * [2, 0] + 4 * [0, 3] + 7 * [1, -1] = [13, 5], in the units of each token
    np.testing.assert_allclose(sae.decode(sae.encode(acts)).numpy(), [[13, 5], [1300, 500]], rtol=1e-5)


def test_latents_without_scales_are_not_decoded_wrongly():
    sae = SparseAutoencoder(META, "standard", W_ENC, W_DEC, ZERO2, b_enc=ZERO3, normalize_activations="layer_norm")
    latents = sae.encode(X)
    with pytest.raises(SaeError, match=r"layer_norm.*scales"):
        sae.decode(SparseLatents(latents.token_offsets, latents.indices, latents.values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b_enc": None}, r"b_enc is missing \(expected \[24\]\)"),
        ({"b_enc": torch.zeros(8)}, r"b_enc has shape \[8\], expected \[24\]"),
        ({"W_dec": torch.zeros(8, 24)}, r"W_dec has shape \[8, 24\], expected \[24, 8\]"),
        ({"threshold": torch.zeros(24)}, "threshold .* is not an array of a standard SAE"),
        ({"b_dec": torch.full((8,), float("nan"))}, "b_dec holds NaN"),
        ({"architecture": "jumpreul"}, r"Unknown architecture 'jumpreul'. Did you mean 'jumprelu'"),
        ({"architecture": "matryoshka_batchtopk"}, "save it for inference"),
        ({"normalize_activations": "layernorm"}, "Did you mean 'layer_norm'"),
        ({"normalize_activations": "covariance_whitening"}, "folded into the weights"),
        ({"normalize_activations": "expected_average_only_in"}, "fold the factor"),
        ({"k": 3}, "needs k"),
        ({"rescale_acts_by_decoder_norm": True}, "belongs to topk"),
    ],
)
def test_what_cannot_be_is_refused(make_sae, change, message):
    arrays = {**make_sae("standard").arrays, **{key: value for key, value in change.items() if key != "architecture"}}
    with pytest.raises(SaeError, match=message):
        SparseAutoencoder(META, change.get("architecture", "standard"), **arrays)


@pytest.mark.parametrize("k", [None, 0, 25])
def test_topk_needs_a_possible_k(make_sae, k):
    with pytest.raises(SaeError, match="k from 1 to 24"):
        make_sae("topk", k=k)
