"""Gemma Scope 2: folders of config.json and params.safetensors."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.models.hook_points import HookPoint, find_hook_point
from mosaic_sae.sae.formats.gemma_scope_2 import read, read_metadata
from mosaic_sae.sae.load import load_sae

D_MODEL, D_SAE = 40, 150
PLACES = {
    "resid_post": "model.layers.12.output",
    "attn_out": "model.layers.12.self_attn.o_proj.input",
    "mlp_out": "model.layers.12.post_feedforward_layernorm.output",
}
TRANSCODER = {
    "hf_hook_point_in": "model.layers.12.pre_feedforward_layernorm.output",
    "hf_hook_point_out": "model.layers.12.post_feedforward_layernorm.output",
}
HOOKS = {"resid_post": "hook_resid_post", "attn_out": "attn.hook_z", "mlp_out": "hook_mlp_out"}


def random_params(dtype=torch.float32):
    generator = torch.Generator().manual_seed(4)

    def draw(*shape, scale=0.5, shift=0.0):
        return (torch.randn(*shape, generator=generator) * scale + shift).to(dtype)

    return {
        "w_enc": draw(D_MODEL, D_SAE, scale=0.2),
        "w_dec": draw(D_SAE, D_MODEL, scale=0.2),
        "b_enc": draw(D_SAE),
        "b_dec": draw(D_MODEL),
        "threshold": draw(D_SAE, shift=0.8),
    }


def with_skip():
    skip = torch.randn(D_MODEL, D_MODEL, generator=torch.Generator().manual_seed(5))
    return random_params() | {"affine_skip_connection": skip}


@pytest.fixture
def repository(tmp_path):
    def write(site="resid_post", params=None, root="gemma-scope-2-270m-pt", folder="layer_12_width_16k_l0_medium", **config):
        folder = tmp_path / root / site / folder
        folder.mkdir(parents=True)
        fields = {
            "architecture": "jump_relu",
            "model_name": "gemma-v3-270m-pt",
            "hf_hook_point_in": PLACES.get(site),
            "hf_hook_point_out": PLACES.get(site),
            "affine_connection": False,
            "width": D_SAE,
            **config,
        }
        (folder / "config.json").write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
        save_file(params or random_params(), folder / "params.safetensors")
        return tmp_path / root, folder

    return write


def acts():
    return torch.randn(200, D_MODEL, generator=torch.Generator().manual_seed(1)) * 1.5 + 0.7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maths_by_hand(repository, dtype):
    params = random_params(dtype)
    sae = read(repository(params=params)[1], "a")
    p = {name: array.double().numpy() for name, array in params.items()}
    pre = acts().double().numpy() @ p["w_enc"] + p["b_enc"]
    latents = np.maximum(pre, 0) * (pre > p["threshold"])
    assert 0.02 < (latents > 0).mean() < 0.5
    np.testing.assert_allclose(sae.encode(acts()).to_dense(D_SAE), latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sae.decode(sae.encode(acts())).numpy(), latents @ p["w_dec"] + p["b_dec"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("site", PLACES)
def test_the_config_says_where_it_was_trained(repository, site):
    metadata = read_metadata(repository(site, l0=60)[1], "a")
    assert metadata.hook_name == f"blocks.12.{HOOKS[site]}"
    assert (metadata.model_name, metadata.prepend_bos, metadata.l0) == ("google/gemma-3-270m", True, 60)


@pytest.mark.parametrize(
    ("stated", "model"),
    [("gemma-v3-1b-it", "google/gemma-3-1b-it"), ("google/gemma-3-4b-pt", "google/gemma-3-4b-pt"), (None, None)],
)
def test_model_names(repository, stated, model):
    assert read_metadata(repository(model_name=stated)[1], "a").model_name == model


def test_a_multimodal_model_has_a_longer_path(repository):
    metadata = read_metadata(repository(hf_hook_point_in="model.language_model.layers.17.output", hf_hook_point_out=None)[1], "a")
    assert metadata.hook_name == "blocks.17.hook_resid_post"


def test_an_unknown_place_is_refused_by_its_name(repository):
    _, folder = repository(hf_hook_point_in="model.layers.12.mlp.act_fn.output", hf_hook_point_out=None)
    with pytest.raises(SaeError, match=r"model\.layers\.12\.mlp\.act_fn\.output', which MOSAIC does not read"):
        load_sae(SaeBlock(format="gemma_scope_2", path=str(folder)), 12, None, "resid_post")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "topk"}, "architecture must be 'jump_relu', got 'topk'"),
        ({"architecture": None}, "architecture must be 'jump_relu', got None"),
        ({**TRANSCODER, "hf_hook_point_in": None}, "nothing says what this transcoder, which predicts model.*, reads"),
        ({"affine_connection": True}, "an SAE with an affine_connection is not supported"),
        ({"affine_connection": "yes"}, "affine_connection must be true or false, got 'yes'"),
        ({"type": "crosscoder", "hf_hook_point_in": ["a", "b"]}, "this is a crosscoder, which reads or predicts several layers"),
        ({"l0": "big"}, "l0 must be a positive number"),
    ],
)
def test_configs_that_are_refused(repository, config, message):
    _, folder = repository(**config)
    with pytest.raises(SaeError, match=message) as caught:
        read(folder, "a")
    assert str(folder) in str(caught.value)


def test_cross_layer_transcoders_are_refused_by_their_folder(repository):
    _, folder = repository("clt", folder="width_262k_l0_medium")
    with pytest.raises(SaeError, match=r"this is a clt, .*Choose a folder of resid_post, mlp_out, attn_out or transcoder\."):
        load_sae(SaeBlock(format="gemma_scope_2", path=str(folder)), 12, None, "mlp_out")


@pytest.mark.parametrize("skip", [False, True])
def test_transcoders_by_hand(repository, skip):
    params = with_skip() if skip else random_params()
    _, folder = repository("transcoder", params, affine_connection=skip, l0=60, **TRANSCODER)
    sae = load_sae(SaeBlock(format="gemma_scope_2", path=str(folder)), 12, None, "mlp_out")
    assert sae.is_transcoder
    # With the norm's gain, unlike the transcoders of Gemma Scope.
    assert (sae.metadata.hook_name, sae.metadata.output_hook_name) == ("blocks.12.mlp.hook_in", "blocks.12.hook_mlp_out")
    assert (sae.metadata.model_name, sae.metadata.l0) == ("google/gemma-3-270m", 60)
    p = {name: array.double().numpy() for name, array in params.items()}
    x = acts().double().numpy()
    pre = x @ p["w_enc"] + p["b_enc"]
    latents = np.maximum(pre, 0) * (pre > p["threshold"])
    predicted = latents @ p["w_dec"] + p["b_dec"] + (x @ p["affine_skip_connection"] if skip else 0)
    np.testing.assert_allclose(sae.encode(acts()).to_dense(D_SAE), latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sae.decode(sae.encode(acts()), acts()).numpy(), predicted, rtol=1e-5, atol=2e-5)


def test_the_skip_has_to_be_what_the_config_says(repository):
    with pytest.raises(SaeError, match="'affine_skip_connection' is missing"):
        read(repository("transcoder", affine_connection=True, **TRANSCODER)[1], "a")
    with pytest.raises(SaeError, match="'affine_skip_connection' is not an array of this format"):
        read(repository("transcoder", with_skip(), root="b", **TRANSCODER)[1], "a")


def test_wrong_arrays(repository):
    params = random_params()
    with pytest.raises(SaeError, match="'affine_skip_connection' is not an array of this format"):
        read(repository(params={**params, "affine_skip_connection": torch.zeros(D_MODEL, D_MODEL)})[1], "a")
    with pytest.raises(SaeError, match=r"W_dec has shape \[40, 150\], expected \[150, 40\]"):
        read(repository(root="b", params={**params, "w_dec": params["w_dec"].T.contiguous()})[1], "a")


@pytest.mark.saelens
@pytest.mark.parametrize("site", PLACES)
def test_parity(repository, load_by_saelens, assert_same_sae, site):
    root, folder = repository(site)
    short = {"resid_post": "res", "attn_out": "att", "mlp_out": "mlp"}[site]
    theirs = load_by_saelens(f"gemma-scope-2-270m-pt-{short}", "layer_12_width_16k_l0_medium", root)
    ours = read(folder, "a")
    assert_same_sae(theirs, ours, acts())
    about = theirs.cfg.metadata
    assert (ours.metadata.hook_name, ours.metadata.model_name) == (about.hook_name, about.model_name)
    assert about.hf_hook_name == PLACES[site]
    assert (ours.metadata.prepend_bos, ours.apply_b_dec_to_input) == (about.prepend_bos, theirs.cfg.apply_b_dec_to_input)


@pytest.mark.saelens
@pytest.mark.parametrize("skip", [False, True])
def test_parity_of_transcoders(repository, load_by_saelens, assert_same_sae, skip):
    sae_id = "layer_0_width_16k_l0_big" + ("_affine" if skip else "")
    config = {key: place.replace("12", "0") for key, place in TRANSCODER.items()}
    root, folder = repository("transcoder_all", with_skip() if skip else None, folder=sae_id, affine_connection=skip, **config)
    theirs = load_by_saelens("gemma-scope-2-270m-pt-transcoders-all", sae_id, root)
    ours = read(folder, "a")
    assert (ours.W_skip is not None) is skip
    assert_same_sae(theirs, ours, acts())
    about = theirs.cfg.metadata
    # SAELens calls it hook_mlp_in, which in TransformerLens lies before the norm.
    assert find_hook_point(ours.metadata.hook_name) == find_hook_point(about.hook_name) == HookPoint(0, "mlp_in")
    assert ours.metadata.output_hook_name == about.hook_name_out
    assert (about.hf_hook_name, about.hf_hook_name_out) == tuple(config.values())
    assert (ours.metadata.model_name, ours.metadata.prepend_bos) == (about.model_name, about.prepend_bos)
