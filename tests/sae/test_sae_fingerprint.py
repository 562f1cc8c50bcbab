import dataclasses

import pytest
import torch

from mosaic_sae.sae.base import SaeMetadata


@pytest.mark.parametrize("architecture", ["standard", "gated", "topk", "jumprelu"])
def test_every_array_counts(make_sae, architecture):
    sae = make_sae(architecture)
    prints = {sae.fingerprint}
    for name, array in sae.arrays.items():
        changed = array.clone()
        changed.flatten()[0] += 1e-3
        prints.add(dataclasses.replace(sae, **{name: changed}).fingerprint)
    assert len(prints) == 1 + len(sae.arrays)
    assert all(len(value) == 16 for value in prints)


def test_every_convention_counts(make_sae):
    sae = make_sae("topk")
    changes = [{"k": 6}, {"rescale_acts_by_decoder_norm": True}, {"normalize_activations": "layer_norm"}, {"apply_b_dec_to_input": False}]
    assert len({sae.fingerprint, *(dataclasses.replace(sae, **change).fingerprint for change in changes)}) == 5


def test_names_precision_of_storage_and_layout_do_not_count(make_sae):
    halves = make_sae("standard")
    rounded = {name: array.half().float() for name, array in halves.arrays.items()}
    sae = dataclasses.replace(halves, **rounded)
    as_half = dataclasses.replace(
        sae, metadata=SaeMetadata("other", max_norm=3.0), **{name: array.half() for name, array in rounded.items()}
    )
    assert as_half.W_enc.dtype == torch.float32
    assert as_half.fingerprint == sae.fingerprint
    turned = dataclasses.replace(sae, W_enc=sae.W_enc.T.contiguous().T)
    assert turned.fingerprint == sae.fingerprint


def test_swapped_shapes_count(make_sae):
    # 4 x 6 and 6 x 4 arrays can hold the same bytes
    zeros = {"W_enc": torch.zeros(4, 6), "W_dec": torch.zeros(6, 4), "b_dec": torch.zeros(4), "b_enc": torch.zeros(6)}
    swapped = {"W_enc": torch.zeros(6, 4), "W_dec": torch.zeros(4, 6), "b_dec": torch.zeros(6), "b_enc": torch.zeros(4)}
    assert make_sae("standard", 4, 6, **zeros).fingerprint != make_sae("standard", 6, 4, **swapped).fingerprint


def test_moving_keeps_the_fingerprint(make_sae, make_acts):
    sae = make_sae("jumprelu")
    assert sae.to("cpu") is sae
    moved = dataclasses.replace(sae, **{name: array.clone() for name, array in sae.arrays.items()})
    assert moved.fingerprint == sae.fingerprint


def test_the_recorded_value_holds_on_every_machine(make_sae):
    # Arithmetic, not random, input: a change here orphans every store on disk.
    arrays = {
        "W_enc": torch.arange(6.0).reshape(2, 3),
        "W_dec": torch.arange(6.0).reshape(3, 2) / 4,
        "b_dec": torch.tensor([0.5, -1.0]),
        "b_enc": torch.tensor([0.0, 1.0, 2.0]),
        "threshold": torch.tensor([0.25, 0.5, 0.75]),
    }
    assert make_sae("jumprelu", 2, 3, **arrays).fingerprint == "4f337946e0470464"


def test_the_decoding_side_of_a_transcoder_counts_and_its_hook_names_do_not(make_sae):
    """Latents are stored beside the fit they were measured with, so what changes only the prediction counts too."""
    sae = make_sae("standard", apply_b_dec_to_input=False)
    transcoder = dataclasses.replace(sae, is_transcoder=True)
    skip = dataclasses.replace(transcoder, W_skip=torch.ones(8, 8))
    other = dataclasses.replace(skip, W_skip=torch.ones(8, 8) * 2)
    assert len({one.fingerprint for one in (sae, transcoder, skip, other)}) == 4
    named = dataclasses.replace(skip, metadata=SaeMetadata("x", output_hook_name="blocks.3.hook_mlp_out"))
    assert named.fingerprint == skip.fingerprint
