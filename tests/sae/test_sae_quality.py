import numpy as np
import pytest
import torch

from mosaic_sae.sae.base import SaeMetadata, SparseAutoencoder
from mosaic_sae.sae.quality import QualityMeter


def toy_sae() -> SparseAutoencoder:
    """Two inputs, three latents: 0 reads input 0, 1 reads input 1 but decodes half of it, 2 never fires."""
    return SparseAutoencoder(
        SaeMetadata("toy"),
        "standard",
        W_enc=torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        W_dec=torch.tensor([[1.0, 0.0], [0.0, 0.5], [7.0, 7.0]]),
        b_dec=torch.zeros(2),
        b_enc=torch.tensor([0.0, 0.0, -1.0]),
    )


def test_by_hand():
    meter = QualityMeter(toy_sae())
    meter.add(torch.tensor([[2.0, 0.0], [0.0, 4.0], [1.0, 2.0]]))
    result = meter.result()
    # reconstructions [2 0], [0 2], [1 1]: errors 0, 4, 1. Mean [1 2]: 1 + 4, 1 + 4, 0. L0: 1, 1, 2.
    assert result.fvu == pytest.approx(5 / 10)
    assert result.explained_variance == pytest.approx(0.5)
    assert result.l0 == pytest.approx(4 / 3)
    assert result.dead_share == pytest.approx(1 / 3)
    assert result.n_tokens == 3
    np.testing.assert_allclose(meter.density, [2 / 3, 2 / 3, 0])


def test_batches_add_up_to_one_go(make_sae, make_acts):
    for architecture, normalisation in (("jumprelu", "none"), ("topk", "layer_norm"), ("gated", "constant_norm_rescale")):
        sae = make_sae(architecture, normalize_activations=normalisation)
        acts = make_acts(n=203) + 1000 * torch.arange(8)  # a mean far from zero, where naive sums cancel
        whole, parts = QualityMeter(sae), QualityMeter(sae)
        whole.add(acts)
        for part in acts.split([1, 100, 2, 0, 99, 1]):
            parts.add(part)
        for name in ("fvu", "l0", "dead_share", "n_tokens"):
            assert getattr(parts.result(), name) == pytest.approx(getattr(whole.result(), name), rel=1e-6), name
        np.testing.assert_allclose(parts.density, whole.density)
        exact = acts.double()
        latents = sae.encode(acts)
        wanted = (exact - sae.decode(latents).double()).square().sum() / (exact - exact.mean(dim=0)).square().sum()
        assert whole.result().fvu == pytest.approx(float(wanted), rel=1e-6)


def test_a_planted_dictionary_is_found_perfect():
    """Orthonormal directions, sparse positive coefficients: the SAE that holds the directions leaves nothing unexplained."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(16, 16)))[0]
    coefficients = np.where(generator.random((500, 16)) < 0.2, generator.uniform(1, 3, (500, 16)), 0)
    shift = generator.normal(size=16) * 5
    decoder = torch.tensor(directions, dtype=torch.float32)
    sae = SparseAutoencoder(
        SaeMetadata("planted"), "jumprelu", decoder.T, decoder, torch.tensor(shift), b_enc=torch.zeros(16), threshold=torch.full((16,), 0.5)
    )
    meter = QualityMeter(sae)
    meter.add(torch.tensor(coefficients @ directions + shift, dtype=torch.float32))
    assert meter.result().fvu == pytest.approx(0, abs=1e-10)
    assert meter.result().l0 == pytest.approx((coefficients > 0).sum(axis=1).mean())
    np.testing.assert_allclose(meter.density, (coefficients > 0).mean(axis=0))


def test_guessing_the_mean_explains_nothing(make_acts):
    acts = make_acts()
    mean_only = SparseAutoencoder(
        SaeMetadata("mean"), "standard", torch.zeros(8, 3), torch.zeros(3, 8), acts.mean(dim=0), b_enc=torch.full((3,), -1.0)
    )
    meter = QualityMeter(mean_only)
    meter.add(acts)
    assert meter.result().fvu == pytest.approx(1, rel=1e-5)
    assert meter.result().dead_share == 1


def test_latents_at_hand_are_not_computed_again(make_sae, make_acts):
    sae = make_sae("topk")
    one, other = QualityMeter(sae), QualityMeter(sae)
    one.add(make_acts())
    other.add(make_acts(), sae.encode(make_acts()))
    assert one.result() == other.result()


def test_without_two_different_tokens_there_is_no_share_to_state(make_sae, make_acts):
    meter = QualityMeter(make_sae("standard", name="s"))
    nothing = meter.result()
    assert (nothing.fvu, nothing.explained_variance, nothing.l0, nothing.n_tokens) == (None, None, 0.0, 0)
    meter.add(make_acts(n=1))
    one = meter.result()
    assert (one.fvu, one.n_tokens) == (None, 1) and one.l0 > 0
