"""Gemma Scope: folders of one params.npz, laid out as the release is."""

import logging

import numpy as np
import pytest
import torch

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats.gemma_scope import read, read_metadata
from mosaic_sae.sae.load import load_sae

D_MODEL, D_SAE = 48, 160


def random_params(d_model=D_MODEL, d_sae=D_SAE, dtype=np.float32):
    rng = np.random.default_rng(3)
    return {
        "W_enc": rng.normal(0, 0.2, (d_model, d_sae)).astype(dtype),
        "W_dec": rng.normal(0, 0.2, (d_sae, d_model)).astype(dtype),
        "b_enc": rng.normal(0, 0.5, d_sae).astype(dtype),
        "b_dec": rng.normal(0, 0.5, d_model).astype(dtype),
        "threshold": rng.normal(0.8, 0.5, d_sae).astype(dtype),
    }


@pytest.fixture
def repository(tmp_path):
    """Write one SAE into a copy of a repository; return (repository, folder)."""

    def write(name="gemma-scope-2b-pt-res", path="layer_12/width_16k/average_l0_82", params=None, compressed=False):
        folder = tmp_path / name / path
        folder.mkdir(parents=True)
        (np.savez_compressed if compressed else np.savez)(folder / "params.npz", **(params or random_params()))
        return tmp_path / name, folder

    return write


def acts(n=200, d_model=D_MODEL):
    return torch.randn(n, d_model, generator=torch.Generator().manual_seed(1)) * 1.5 + 0.7


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_maths_by_hand(repository, dtype):
    params = random_params(dtype=dtype)
    sae = read(repository(params=params, compressed=dtype == np.float16)[1], "a")
    p = {name: array.astype(np.float64) for name, array in params.items()}
    pre = acts().double().numpy() @ p["W_enc"] + p["b_enc"]  # b_dec is not subtracted
    latents = np.maximum(pre, 0) * (pre > p["threshold"])
    assert 0.02 < (latents > 0).mean() < 0.5
    np.testing.assert_allclose(sae.encode(acts()).to_dense(D_SAE), latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sae.decode(sae.encode(acts())).numpy(), latents @ p["W_dec"] + p["b_dec"], rtol=1e-5, atol=1e-5)
    assert all(array.dtype == torch.float32 for array in sae.arrays.values())


@pytest.mark.parametrize(
    ("name", "hook", "model"),
    [
        ("gemma-scope-2b-pt-res", "blocks.12.hook_resid_post", "gemma-2-2b"),
        ("gemma-scope-9b-it-res", "blocks.12.hook_resid_post", "gemma-2-9b-it"),
        ("gemma-scope-9b-pt-mlp", "blocks.12.hook_mlp_out", "gemma-2-9b"),
        ("gemma-scope-2b-pt-att", "blocks.12.attn.hook_z", "gemma-2-2b"),
        ("models--google--gemma-scope-27b-pt-res/snapshots/abc", "blocks.12.hook_resid_post", "gemma-2-27b"),
        ("copied", None, None),
    ],
)
def test_the_path_says_where_it_was_trained(repository, name, hook, model):
    metadata = read_metadata(repository(name)[1], "a")
    assert (metadata.hook_name, metadata.model_name, metadata.prepend_bos, metadata.l0) == (hook, model, True, 82)


def test_a_copied_folder_says_nothing(repository):
    metadata = read_metadata(repository("gemma-scope-2b-pt-res", "mine")[1], "a")
    assert (metadata.hook_name, metadata.l0, metadata.prepend_bos) == (None, None, True)


def test_another_layer_is_refused(repository):
    _, folder = repository()
    block = SaeBlock(format="gemma_scope", path=str(folder))
    assert load_sae(block, 12, None, "resid_post").metadata.l0 == 82
    with pytest.raises(SaeError, match=r"layers: \[12\]"):
        load_sae(block, 11, None, "resid_post")
    with pytest.raises(SaeError, match="layer 12, mlp_out"):
        load_sae(block, 12, None, "mlp_out")


def test_two_layers_have_two_names(repository):
    repository(path="layer_3/width_16k/average_l0_60")
    root, _ = repository(path="layer_5/width_16k/average_l0_60")
    block = SaeBlock(format="gemma_scope", path=f"{root}/layer_{{layer}}/width_{{width}}/average_l0_60")
    names = [load_sae(block, layer, "16k", "resid_post").metadata.name for layer in (3, 5)]
    assert names == ["layer_3/width_16k/average_l0_60", "layer_5/width_16k/average_l0_60"]


def test_what_is_refused(repository):
    with pytest.raises(SaeError, match="token embeddings"):
        read_metadata(repository(path="embedding/width_4k/average_l0_6")[1], "a")
    with pytest.raises(SaeError, match=r"nothing says which layer it reads\. Give its folders these names"):
        read_metadata(repository("gemma-scope-2b-pt-transcoders", "mine")[1], "a")


def test_a_transcoder_reads_the_norm_and_predicts_the_mlp(repository):
    _, folder = repository("gemma-scope-2b-pt-transcoders", "layer_12/width_16k/average_l0_6")
    block = SaeBlock(format="gemma_scope", path=str(folder))
    sae = load_sae(block, 12, None, "mlp_out")
    assert sae.is_transcoder
    assert (sae.metadata.hook_name, sae.metadata.output_hook_name) == ("blocks.12.ln2.hook_normalized", "blocks.12.hook_mlp_out")
    assert (sae.metadata.model_name, sae.metadata.l0, sae.metadata.prepend_bos) == ("gemma-2-2b", 6, True)
    assert not read(repository()[1], "an SAE").is_transcoder
    with pytest.raises(SaeError, match=r"\(layer 12, ln2_normalized\).*sae_location: mlp"):
        load_sae(block, 12, None, "resid_post")


def test_a_factor_is_not_used(repository, caplog):
    _, folder = repository()
    with caplog.at_level(logging.WARNING):
        assert read(folder, "a", 0.5).fingerprint == read(folder, "a").fingerprint
    assert "norm_scaling_factor 0.5 is not used" in caplog.text


def test_wrong_arrays(repository):
    params = random_params()
    with pytest.raises(SaeError, match=r"'threshold' is missing; 'scale' is not an array of this format"):
        read_metadata(repository("a", params={**{k: v for k, v in params.items() if k != "threshold"}, "scale": np.ones(1)})[1], "a")
    with pytest.raises(SaeError, match=r"W_dec has shape \[48, 160\], expected \[160, 48\]"):
        read(repository("b", params={**params, "W_dec": params["W_dec"].T})[1], "a")
    with pytest.raises(SaeError, match="b_enc holds NaN"):
        read(repository("c", params={**params, "b_enc": np.full(D_SAE, np.nan, np.float32)})[1], "a")
    with pytest.raises(SaeError, match=r"Cannot read the SAE weights .*params\.npz.*fetch it again"):
        read(repository("d", params={**params, "b_enc": np.array([{}], dtype=object)})[1], "a")


def test_damaged_and_missing_files(repository):
    _, folder = repository()
    data = (folder / "params.npz").read_bytes()
    (folder / "params.npz").write_bytes(data[:-100])
    with pytest.raises(SaeError, match=r"params\.npz.*fetch it again"):
        read_metadata(folder, "a")
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    (folder / "params.npz").write_bytes(flipped)
    with pytest.raises(SaeError, match=r"params\.npz.*fetch it again"):
        read(folder, "a")
    with pytest.raises(SaeError, match=r"SAE folders nearby: .*average_l0_82"):
        load_sae(SaeBlock(format="gemma_scope", path=str(folder.parent / "average_l0_83")), 12, None, "resid_post")


@pytest.mark.saelens
@pytest.mark.parametrize("site", ["res", "mlp", "att"])
def test_parity(repository, load_by_saelens, assert_same_sae, site):
    l0 = {"res": 82, "mlp": 108, "att": 85}[site]  # as the registry's canonical ids
    root, folder = repository(f"gemma-scope-2b-pt-{site}", f"layer_12/width_16k/average_l0_{l0}")
    theirs = load_by_saelens(f"gemma-scope-2b-pt-{site}-canonical", "layer_12/width_16k/canonical", root, d_in=D_MODEL, d_sae=D_SAE)
    if site == "att":
        theirs.turn_off_forward_pass_hook_z_reshaping()  # it would take [n_heads d_head]; ours are flat already
    ours = read(folder, "a")
    assert_same_sae(theirs, ours, acts())
    about = theirs.cfg.metadata
    assert (ours.metadata.hook_name, ours.metadata.model_name) == (about.hook_name, about.model_name)
    assert ours.metadata.prepend_bos is about.prepend_bos
    assert ours.apply_b_dec_to_input is theirs.cfg.apply_b_dec_to_input


@pytest.mark.saelens
def test_parity_of_transcoders(repository, load_by_saelens, assert_same_sae):
    sae_id = "layer_0/width_16k/average_l0_76"
    root, folder = repository("gemma-scope-2b-pt-transcoders", sae_id)
    theirs = load_by_saelens("gemma-scope-2b-pt-transcoders", sae_id, root, d_in=D_MODEL, d_out=D_MODEL, d_sae=D_SAE)
    ours = read(folder, "a")
    assert_same_sae(theirs, ours, acts())
    about = theirs.cfg.metadata
    assert (ours.metadata.hook_name, ours.metadata.output_hook_name) == (about.hook_name, about.hook_name_out)
    assert (ours.metadata.model_name, ours.metadata.prepend_bos) == (about.model_name, about.prepend_bos)


@pytest.mark.saelens
def test_values_next_to_the_threshold(repository, load_by_saelens):
    """Pre-activations equal to the first activation: at the threshold, and one float32 to either side of it."""
    params = {name: np.zeros_like(array) for name, array in random_params().items()}
    params["W_enc"][0] = 1
    params["threshold"][:] = np.linspace(-1, 2, D_SAE)
    root, folder = repository(params=params)
    theirs = load_by_saelens("gemma-scope-2b-pt-res-canonical", "layer_12/width_16k/canonical", root, d_in=D_MODEL, d_sae=D_SAE)
    at = params["threshold"]
    x = torch.zeros(3 * D_SAE, D_MODEL)
    x[:, 0] = torch.from_numpy(np.concatenate([at, np.nextafter(at, np.float32(9)), np.nextafter(at, np.float32(-9))]))
    latents = theirs.encode(x).detach().numpy()
    np.testing.assert_array_equal(read(folder, "a").encode(x).to_dense(D_SAE), latents)
    same = np.arange(D_SAE)
    assert not latents[same, same].any()
    assert (latents[same + D_SAE, same] > 0).sum() == (at >= 0).sum()
