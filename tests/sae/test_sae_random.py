import hashlib

import numpy as np
import pytest
import torch

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.random import random_sae


def test_shape_sparsity_and_what_is_copied(make_sae, make_acts):
    like = make_sae("jumprelu", d_model=32, d_sae=400, normalize_activations="layer_norm")
    control = random_sae(like, l0=12.4, seed=42)
    assert (control.architecture, control.k, control.d_model, control.d_sae) == ("topk", 12, 32, 400)
    assert control.normalize_activations == "layer_norm"
    assert control.metadata.hook_name == like.metadata.hook_name
    assert torch.equal(control.b_dec, like.b_dec)
    torch.testing.assert_close(control.W_enc.norm(dim=0), torch.ones(400))
    assert torch.equal(control.W_dec, control.W_enc.T)
    latents = control.encode(make_acts(n=300, d_model=32))
    assert latents.l0 == 12


def test_directions_are_random_ones(make_sae):
    control = random_sae(make_sae("standard", d_model=64, d_sae=500), l0=10, seed=1)
    cosines = (control.W_dec @ control.W_dec.T - torch.eye(500)).numpy()
    assert abs(cosines.mean()) < 0.001
    assert cosines.std() == pytest.approx(1 / 8, rel=0.02)  # 1 / sqrt(d_model)


def test_the_value_of_a_latent_is_the_projection_on_its_direction(make_sae, make_acts):
    like, acts = make_sae("standard", d_model=32, d_sae=400), make_acts(n=20, d_model=32)
    control = random_sae(like, l0=5, seed=3)
    projections = ((acts - like.b_dec) @ control.W_dec.T).numpy()
    wanted = np.where(projections >= np.sort(projections, axis=1)[:, -5, None], projections, 0)
    np.testing.assert_allclose(control.encode(acts).to_dense(400), wanted, rtol=1e-4, atol=1e-5)


def test_it_is_centred_even_if_the_sae_beside_it_is_not(make_sae):
    assert random_sae(make_sae("standard", apply_b_dec_to_input=False), l0=4, seed=0).apply_b_dec_to_input


def test_seeds(make_sae):
    like = make_sae("standard")
    assert random_sae(like, 4, 1).fingerprint == random_sae(like, 4, 1).fingerprint
    assert random_sae(like, 4, 1).fingerprint != random_sae(like, 4, 2).fingerprint
    assert random_sae(like, 4, 1).fingerprint != random_sae(like, 5, 1).fingerprint


def test_the_recorded_directions_hold_on_every_machine(make_sae):
    control = random_sae(make_sae("standard", d_model=64, d_sae=128), l0=10, seed=42)
    digest = hashlib.sha256(control.W_dec.numpy().astype("<f4").tobytes()).hexdigest()[:16]
    assert digest == "4731d901ac0c6259"


@pytest.mark.parametrize("l0", [0, 0.4, 24.6])
def test_impossible_sparsity(make_sae, l0):
    with pytest.raises(SaeError, match="L0 from 1 to 24"):
        random_sae(make_sae("standard"), l0, 0)


def test_a_transcoder_has_no_random_control(make_sae):
    transcoder = make_sae("standard", is_transcoder=True, apply_b_dec_to_input=False, name="t")
    with pytest.raises(SaeError, match=r"transcoder 't'.*Remove random_sae from classification_params\.baselines"):
        random_sae(transcoder, 4, 0)
