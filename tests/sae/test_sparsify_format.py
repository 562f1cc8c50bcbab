"""Folders of sparsify: against the library itself on folders that it wrote, and what is refused."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats.sparsify import read, read_metadata
from mosaic_sae.sae.load import load_sae
from mosaic_sae.sae.metadata import check_hook, hook_point, site_of
from mosaic_sae.sae.quality import QualityMeter

D_IN, N = 24, 150
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def sparsify():
    os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its kernel needs a GPU
    pytest.importorskip("sparsify.sparse_coder")
    return pytest.importorskip("sparsify")


def acts(seed=1):
    return torch.randn(N, D_IN, generator=torch.Generator().manual_seed(seed)) * 1.5 + 0.7


def make_theirs(sparsify, folder, dtype=torch.float32, **config):
    """A coder whose arrays are all random, so that nothing is neutral; saved by the library."""
    theirs = sparsify.SparseCoder(D_IN, sparsify.SparseCoderConfig(**{"k": 8} | config), dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in sorted(theirs.named_parameters()):
            scale = 0.3 if parameter.ndim == 2 else 0.8
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            assert name in {"encoder.weight", "encoder.bias", "W_dec", "b_dec", "W_skip"}
    theirs.save_to_disk(folder)
    return theirs


def their_latents(theirs, x):
    out = theirs.encode(x)
    return torch.zeros(len(x), theirs.num_latents).scatter(1, out.top_indices, out.top_acts)


@pytest.mark.parity
@pytest.mark.parametrize("size", [{"expansion_factor": 4}, {"num_latents": 200}], ids=["expansion_factor", "num_latents"])
@pytest.mark.parametrize("normalize_decoder", [True, False])
@pytest.mark.parametrize("activation", ["topk", "groupmax"])
def test_saes(sparsify, tmp_path, activation, normalize_decoder, size):
    theirs = make_theirs(sparsify, tmp_path / "layers.5", activation=activation, normalize_decoder=normalize_decoder, **size)
    ours = read(tmp_path / "layers.5", "tiny")
    assert (ours.architecture, ours.d_model, ours.d_sae, ours.k) == (activation, D_IN, theirs.num_latents, 8)
    with torch.no_grad():
        latents, reconstruction = their_latents(theirs, acts()), theirs(acts()).sae_out
    assert 0.02 < (latents > 0).float().mean() < 0.2
    np.testing.assert_allclose(ours.encode(acts()).to_dense(ours.d_sae), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.encode_dense(acts()).numpy(), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.decode(ours.encode(acts())).numpy(), reconstruction.numpy(), **TOLERANCE)


@pytest.mark.parity
@pytest.mark.parametrize("skip_connection", [True, False])
@pytest.mark.parametrize("activation", ["topk", "groupmax"])
def test_transcoders(sparsify, tmp_path, activation, skip_connection):
    config = {"activation": activation, "expansion_factor": 4, "transcode": True, "skip_connection": skip_connection}
    theirs = make_theirs(sparsify, tmp_path / "layers.5.mlp", **config)
    ours = read(tmp_path / "layers.5.mlp", "tiny")
    assert ours.is_transcoder
    with torch.no_grad():
        latents, out = their_latents(theirs, acts()), theirs(acts(), acts(2))
    np.testing.assert_allclose(ours.encode(acts()).to_dense(ours.d_sae), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.decode(ours.encode(acts()), acts()).numpy(), out.sae_out.numpy(), **TOLERANCE)
    meter = QualityMeter(ours)
    meter.add(acts(), target=acts(2))
    assert meter.result().fvu == pytest.approx(out.fvu.item(), rel=1e-4)


@pytest.mark.parity
def test_half_precision_is_read_as_float32_of_the_stored_values(sparsify, tmp_path):
    theirs = make_theirs(sparsify, tmp_path / "layers.5", dtype=torch.bfloat16, expansion_factor=4).float()
    with torch.no_grad():
        latents = their_latents(theirs, acts())
    np.testing.assert_allclose(read(tmp_path / "layers.5", "tiny").encode(acts()).to_dense(96), latents.numpy(), **TOLERANCE)


@pytest.fixture
def write(tmp_path):
    """A folder as sparsify writes it, by hand: 8 inputs, 24 latents."""

    def make(name="layers.5", arrays=None, **config):
        folder = tmp_path / name
        folder.mkdir()
        fields = {"activation": "topk", "expansion_factor": 3, "normalize_decoder": True, "num_latents": 0, "k": 4, "multi_topk": False}
        fields |= {"skip_connection": False, "transcode": False, "d_in": 8} | config
        (folder / "cfg.json").write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
        generator = torch.Generator().manual_seed(3)
        shapes = {"encoder.weight": (24, 8), "encoder.bias": (24,), "W_dec": (24, 8), "b_dec": (8,)}
        stored = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()} | (arrays or {})
        save_file({key: array for key, array in stored.items() if array is not None}, folder / "sae.safetensors")
        return folder

    return make


def test_by_hand(write):
    """k of the largest rows of relu(W (x - b_dec) + b), W_dec and b_dec as stored."""
    folder, x = write(activation=None), torch.randn(5, 8)
    stored, sae = load_file(folder / "sae.safetensors"), read(folder, "a")
    pre = ((x - stored["b_dec"]) @ stored["encoder.weight"].T + stored["encoder.bias"]).relu().numpy()
    wanted = np.where(pre >= np.sort(pre, axis=1)[:, -4, None], pre, 0)
    np.testing.assert_allclose(sae.encode(x).to_dense(24), wanted, rtol=1e-5, atol=1e-5)
    rebuilt = wanted @ stored["W_dec"].numpy() + stored["b_dec"].numpy()
    np.testing.assert_allclose(sae.decode(sae.encode(x)).numpy(), rebuilt, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("folder", "hook_name", "place"),
    [
        ("layers.5", "blocks.5.hook_resid_post", (5, "resid_post")),
        ("gpt_neox.layers.0", "blocks.0.hook_resid_post", (0, "resid_post")),
        ("h.11", "blocks.11.hook_resid_post", (11, "resid_post")),
        ("layers.5.mlp", "blocks.5.hook_mlp_out", (5, "mlp_out")),
        ("layers.5.self_attn", "blocks.5.hook_attn_out", (5, "attn_out")),
        ("layers.5.mlp.down_proj", "layers.5.mlp.down_proj", None),
        ("embed_tokens", "embed_tokens", None),
        ("my_sae", None, None),
    ],
)
def test_the_folder_says_where_it_was_trained(write, folder, hook_name, place):
    metadata = read_metadata(write(folder), "a")
    assert (metadata.hook_name, metadata.output_hook_name) == (hook_name, None)
    assert hook_point(hook_name or "") == place


@pytest.mark.parametrize(
    ("folder", "hooks"),
    [
        ("layers.5", ("blocks.5.hook_resid_pre", "blocks.5.hook_resid_post")),
        ("layers.5.mlp", ("layers.5.mlp.input", "blocks.5.hook_mlp_out")),
        ("mine", (None, None)),
    ],
)
def test_a_transcoder_reads_the_input_of_its_module(write, folder, hooks):
    metadata = read_metadata(write(folder, transcode=True), "a")
    assert (metadata.hook_name, metadata.output_hook_name) == hooks


def test_a_transcoder_of_an_mlp_is_not_taken_for_an_sae_of_it(write):
    metadata = read_metadata(write("layers.5.mlp", transcode=True), "a")
    check_hook(metadata, 5, "mlp_out", "a")
    assert site_of(metadata, "mlp_out") == "mlp_in"


@pytest.mark.parametrize(
    ("config", "arrays", "message"),
    [
        ({"activation": "gropmax"}, {}, "Unknown activation 'gropmax'. Did you mean 'groupmax'"),
        ({"signed": True}, {}, "signed latents"),
        ({"skip_connection": True}, {"W_skip": torch.zeros(8, 8)}, r"skip_connection \(transcode false\) is not supported"),
        ({"skip_connection": True, "transcode": True}, {}, "W_skip is missing"),
        ({"activation": "groupmax", "k": 5}, {}, "24 latents cannot be divided by k = 5"),
        ({"expansion_factor": 4}, {}, r"W_enc has shape \[8, 24\], expected \[8, 32\]"),
        ({"num_latents": 32}, {}, r"W_dec has shape \[24, 8\], expected \[32, 8\]"),
        ({"expansion_factor": None}, {}, "expansion_factor must be a whole number of at least 1, got None"),
        ({"k": 0}, {}, "k must be a whole number"),
        ({"k": 25}, {}, "k from 1 to 24"),
        ({"d_in": None}, {}, "d_in must be a whole number"),
        ({}, {"W_dec": None}, "W_dec is missing"),
        ({}, {"encoder.weight": torch.zeros(24)}, "'encoder.weight' must be a matrix"),
        ({}, {"stray": torch.zeros(3)}, r"stray \[3\] is not an array of a topk SAE"),
    ],
)
def test_what_is_refused(write, config, arrays, message):
    with pytest.raises(SaeError, match=message):
        read(write(arrays=arrays, **config), "a")


def test_a_factor_has_no_use(write, caplog):
    folder = write()
    assert read(folder, "a", norm_scaling_factor=0.5).fingerprint == read(folder, "a").fingerprint
    assert "norm_scaling_factor 0.5 is not used" in caplog.text


def test_a_block_names_the_format(write):
    folder = write()
    block = SaeBlock(path=str(folder.parent / "layers.{layer}"), format="sparsify")
    assert load_sae(block, 5, None, "resid_post").fingerprint == read(folder, "a").fingerprint
    with pytest.raises(SaeError, match=r"layer 5, resid_post.*asks for layer 5, mlp_out"):
        load_sae(block, 5, None, "mlp_out")
