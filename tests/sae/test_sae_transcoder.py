"""Transcoders: they read one hook point and predict another, of another width, with or without a linear skip."""

import dataclasses

import numpy as np
import pytest
import torch

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.base import SaeMetadata, SparseAutoencoder
from mosaic_sae.sae.quality import QualityMeter


def by_hand(**over) -> SparseAutoencoder:
    """Two inputs, three latents, one output."""
    fields = {
        "W_enc": torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]),
        "W_dec": torch.tensor([[2.0], [3.0], [-1.0]]),
        "b_dec": torch.tensor([0.5]),
        "b_enc": torch.tensor([0.0, 0.0, -2.0]),
        "apply_b_dec_to_input": False,
        "is_transcoder": True,
    }
    return SparseAutoencoder(SaeMetadata("by hand", output_hook_name="blocks.3.hook_mlp_out"), "standard", **{**fields, **over})


X = torch.tensor([[1.0, 2.0], [-1.0, 0.0]])
SKIP = torch.tensor([[10.0], [100.0]])


def test_prediction_by_hand():
    sae = by_hand()
    assert (sae.d_model, sae.d_sae, sae.d_out) == (2, 3, 1)
    latents = sae.encode(X)
    np.testing.assert_array_equal(latents.to_dense(3), [[1, 2, 1], [0, 0, 0]])
    np.testing.assert_allclose(sae.decode(latents).numpy(), [[2 + 6 - 1 + 0.5], [0.5]])
    skip = by_hand(W_skip=SKIP)
    np.testing.assert_array_equal(skip.encode(X).to_dense(3), latents.to_dense(3))
    np.testing.assert_allclose(skip.decode(latents, X).numpy(), [[7.5 + 10 + 200], [0.5 - 10]])
    np.testing.assert_allclose(skip.decode(latents, X.half()).numpy(), [[217.5], [-9.5]])


def test_what_normalises_the_input_is_not_undone_on_the_output(make_acts):
    sae = by_hand(normalize_activations="constant_norm_rescale", W_skip=SKIP)
    # ||[3, 4]|| = 5 -> norm sqrt 2; latents 3u, 4u, 7u - 2 < 0 with u = sqrt 2 / 5; the skip sees the activations as they are
    x = torch.tensor([[3.0, 4.0]])
    unit = 2**0.5 / 5
    np.testing.assert_allclose(sae.decode(sae.encode(x), x).numpy(), [[2 * 3 * unit + 3 * 4 * unit + 0.5 + 30 + 400]], rtol=1e-6)


def test_a_skip_needs_the_activations():
    sae = by_hand(W_skip=SKIP)
    latents = sae.encode(X)
    with pytest.raises(SaeError, match=r"skip connection.*\[2, 2\].*got none"):
        sae.decode(latents)
    with pytest.raises(SaeError, match=r"got shape \[1, 2\]"):
        sae.decode(latents, X[:1])


@pytest.mark.parametrize("skip", [None, SKIP])
def test_quality_is_that_of_the_target(skip):
    sae = by_hand(W_skip=skip)
    target = torch.tensor([[8.0], [1.5]])
    meter = QualityMeter(sae)
    for one in range(2):  # in batches
        meter.add(X[one : one + 1], target=target[one : one + 1])
    errors = {None: 0.5**2 + 1**2}.get(skip, (217.5 - 8) ** 2 + (-9.5 - 1.5) ** 2)
    variance = 2 * 3.25**2
    assert meter.result().fvu == pytest.approx(errors / variance)
    assert meter.result().l0 == pytest.approx(1.5)


def test_without_targets_only_sparsity_is_measured():
    meter = QualityMeter(by_hand(W_skip=SKIP), with_fit=False)
    meter.add(X)
    result = meter.result()
    assert (result.fvu, result.explained_variance, result.l0, result.n_tokens) == (None, None, 1.5, 2)
    np.testing.assert_allclose(meter.density, [0.5, 0.5, 0.5])


def test_quality_needs_the_target_of_a_transcoder_and_only_that(make_sae, make_acts):
    with pytest.raises(SaeError, match=r"blocks\.3\.hook_mlp_out.*shape \[2, 1\], got none"):
        QualityMeter(by_hand()).add(X)
    with pytest.raises(SaeError, match=r"got \[2, 2\]"):
        QualityMeter(by_hand()).add(X, target=X)
    with pytest.raises(SaeError, match="reconstructs what it reads"):
        QualityMeter(make_sae("standard")).add(make_acts(), target=make_acts())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apply_b_dec_to_input": True}, "b_dec is of its output"),
        ({"W_skip": SKIP.T}, r"W_skip has shape \[1, 2\], expected \[2, 1\]"),
        ({"b_dec": torch.zeros(2)}, r"b_dec has shape \[2\], expected \[1\]"),
        ({"is_transcoder": False}, r"W_dec has shape \[3, 1\], expected \[3, 2\]"),
        ({"W_dec": torch.zeros(3)}, "W_dec must have two axes"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(SaeError, match=message):
        by_hand(**change)
    with pytest.raises(SaeError, match=r"W_skip \[8, 8\] is not an array of a standard SAE"):
        SparseAutoencoder(
            SaeMetadata("sae"), "standard", torch.zeros(8, 9), torch.zeros(9, 8), torch.zeros(8), torch.zeros(9), W_skip=torch.zeros(8, 8)
        )


def test_moving_keeps_all_of_it():
    sae = by_hand(W_skip=SKIP)
    moved = dataclasses.replace(sae, **{name: array.clone() for name, array in sae.arrays.items()})
    assert moved.fingerprint == sae.fingerprint
    torch.testing.assert_close(moved.decode(moved.encode(X), X), sae.decode(sae.encode(X), X))
