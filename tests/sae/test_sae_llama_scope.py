"""Llama Scope: folders of hyperparams.json and checkpoints/final.safetensors."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats.llama_scope import read, read_metadata
from mosaic_sae.sae.load import load_sae

D_MODEL, D_SAE = 36, 144
THRESHOLD, NORM = 0.52734375, 3.1
FACTOR = D_MODEL**0.5 / NORM


def random_arrays(dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)

    def draw(*shape, scale=0.5):
        return (torch.randn(*shape, generator=generator) * scale).to(dtype)

    return {
        "encoder.weight": draw(D_SAE, D_MODEL, scale=0.1),
        "encoder.bias": draw(D_SAE),
        "decoder.weight": draw(D_MODEL, D_SAE, scale=0.1),
        "decoder.bias": draw(D_MODEL),
    }


@pytest.fixture
def repository(tmp_path):
    def write(name="Llama3_1-8B-Base-L15R-8x", arrays=None, **config):
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        fields = {
            "hook_point_in": "blocks.15.hook_resid_post",
            "hook_point_out": "blocks.15.hook_resid_post",
            "d_model": D_MODEL,
            "d_sae": D_SAE,
            "act_fn": "jumprelu",
            "jump_relu_threshold": THRESHOLD,
            "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": {"in": NORM, "out": NORM},
            "use_decoder_bias": True,
            "apply_decoder_bias_to_pre_encoder": False,
            "sparsity_include_decoder_norm": True,
            "top_k": 50,
            **config,
        }
        (folder / "hyperparams.json").write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
        save_file(arrays or random_arrays(), folder / "checkpoints" / "final.safetensors")
        return folder

    return write


def acts():
    return torch.randn(200, D_MODEL, generator=torch.Generator().manual_seed(1)) * 1.5 + 0.7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maths_by_hand(repository, dtype):
    arrays = random_arrays(dtype)
    sae = read(repository(arrays=arrays), "a")
    p = {name: array.double().numpy() for name, array in arrays.items()}
    pre = FACTOR * acts().double().numpy() @ p["encoder.weight"].T + p["encoder.bias"]
    latents = np.maximum(pre, 0) * (pre > THRESHOLD * FACTOR)
    assert 0.02 < (latents > 0).mean() < 0.6
    np.testing.assert_allclose(sae.encode(acts()).to_dense(D_SAE), latents, rtol=1e-5, atol=1e-5)
    reconstruction = (latents @ p["decoder.weight"].T + p["decoder.bias"]) / FACTOR
    np.testing.assert_allclose(sae.decode(sae.encode(acts())).numpy(), reconstruction, rtol=1e-5, atol=1e-5)


def test_metadata_and_load(repository):
    folder = repository()
    metadata = read_metadata(folder, "a")
    assert (metadata.hook_name, metadata.prepend_bos) == ("blocks.15.hook_resid_post", True)
    block = SaeBlock(format="llama_scope", path=str(folder.parent / "Llama3_1-8B-Base-L{layer}R-8x"), l0=50)
    sae = load_sae(block, 15, None, "resid_post")
    assert (sae.metadata.name, sae.metadata.l0) == ("Llama3_1-8B-Base-L15R-8x", 50)
    assert sae.fingerprint == read(folder, "b").fingerprint != read(folder, "b", 2.0).fingerprint
    with pytest.raises(SaeError, match="layer 15, mlp_out"):
        load_sae(block, 15, None, "mlp_out")


def test_a_missing_checkpoint_is_named(repository):
    folder = repository()
    (folder / "checkpoints" / "final.safetensors").unlink()
    with pytest.raises(SaeError, match=r"has no checkpoints/final\.safetensors, which format 'llama_scope' needs"):
        load_sae(SaeBlock(format="llama_scope", path=str(folder)), 15, None, "resid_post")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"act_fn": "topk"}, "act_fn 'topk' is not supported; Llama Scope's SAEs have 'jumprelu'"),
        ({"norm_activation": "token-wise"}, "norm_activation 'token-wise' is not supported"),
        ({"apply_decoder_bias_to_pre_encoder": True}, "apply_decoder_bias_to_pre_encoder True is not supported"),
        ({"use_glu_encoder": True}, "use_glu_encoder True"),
        ({"hook_point_out": "blocks.15.hook_mlp_out"}, "this is a transcoder"),
        ({"dataset_average_activation_norm": None}, r"dataset_average_activation_norm must hold .*got None"),
        ({"dataset_average_activation_norm": {"in": 0}}, "in must be a positive number"),
        ({"jump_relu_threshold": None}, "jump_relu_threshold must be a number, got None"),
        ({"d_sae": 100}, r"encoder.weight has shape \[144, 36\], but .*hyperparams.json says \[100, 36\]"),
        ({"d_model": None}, "d_model must be a whole number"),
    ],
)
def test_configs_that_are_refused(repository, config, message):
    folder = repository(**config)
    with pytest.raises(SaeError, match=message) as caught:
        read(folder, "a")
    assert str(folder) in str(caught.value)


def test_wrong_arrays(repository):
    arrays = random_arrays()
    with pytest.raises(SaeError, match=r"'encoder_glu.weight' is not an array of this format"):
        read(repository(arrays={**arrays, "encoder_glu.weight": arrays["encoder.weight"].clone()}), "a")
    with pytest.raises(SaeError, match=r"W_dec has shape"):
        read(repository("b", arrays={**arrays, "decoder.weight": arrays["decoder.weight"].T.contiguous()}), "a")


@pytest.mark.saelens
@pytest.mark.parametrize(("release", "sae_id", "site"), [("llama_scope_lxr_8x", "l15r_8x", "R"), ("llama_scope_lxm_8x", "l15m_8x", "M")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parity(repository, load_by_saelens, assert_same_sae, release, sae_id, site, dtype):
    from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

    # SAELens scales the threshold by the file's factor and the weights by its registry's, which are the same number in the real files.
    norm = D_MODEL**0.5 / get_norm_scaling_factor(release, sae_id)
    hook = {"R": "blocks.15.hook_resid_post", "M": "blocks.15.hook_mlp_out"}[site]
    folder = repository(
        f"Llama3_1-8B-Base-L15{site}-8x",
        arrays=random_arrays(dtype),
        hook_point_in=hook,
        hook_point_out=hook,
        dataset_average_activation_norm={"in": norm, "out": norm},
        jump_relu_threshold=0.15,
    )
    theirs = load_by_saelens(release, sae_id, folder.parent)
    ours = read(folder, "a")
    assert_same_sae(theirs, ours, acts())
    about = theirs.cfg.metadata
    assert (ours.metadata.hook_name, ours.metadata.prepend_bos) == (about.hook_name, about.prepend_bos)
    assert theirs.cfg.normalize_activations == ours.normalize_activations == "none"
