"""Reading SAELens folders without SAELens: what is kept, what is refused, and in which words."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from mosaic_sae.config.schema import ModelEntry, SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats.saelens import read, read_metadata
from mosaic_sae.sae.load import load_sae

META = {"sae_lens_version": "6.0.0rc1", "hook_name": "blocks.3.hook_resid_post"}


def test_a_folder_is_read_as_written(write_folder, make_sae, make_acts, tmp_path):
    for architecture in ("standard", "gated", "topk", "jumprelu"):
        ours = read(write_folder(tmp_path / architecture, architecture), architecture)
        built = make_sae(architecture)
        assert ours.fingerprint == built.fingerprint
        np.testing.assert_array_equal(ours.encode(make_acts()).values, built.encode(make_acts()).values)


def test_conventions_are_read(write_folder, tmp_path):
    folder = write_folder(
        tmp_path / "a", "topk", k=9, rescale_acts_by_decoder_norm=True, normalize_activations="layer_norm", apply_b_dec_to_input=False
    )
    sae = read(folder, "a")
    assert (sae.k, sae.rescale_acts_by_decoder_norm, sae.normalize_activations, sae.apply_b_dec_to_input) == (9, True, "layer_norm", False)


def test_metadata_beyond_saelens(write_folder, tmp_path):
    about = META | {"max_norm": 400, "l0": 58.5, "prepend_bos": False, "context_size": 512, "model_name": "m"}
    metadata = read_metadata(write_folder(tmp_path / "a", metadata=about), "a")
    assert (metadata.max_norm, metadata.l0, metadata.prepend_bos, metadata.context_size) == (400.0, 58.5, False, 512)
    assert (metadata.model_name, metadata.hook_name, metadata.name) == ("m", "blocks.3.hook_resid_post", "a")
    absent = read_metadata(write_folder(tmp_path / "b", metadata=META), "b")
    assert (absent.max_norm, absent.l0, absent.prepend_bos, absent.context_size, absent.model_name) == (None,) * 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32_of_the_stored_values(write_folder, make_sae, tmp_path, dtype):
    sae = read(write_folder(tmp_path / "a", "jumprelu", dtype=dtype), "a")
    for name, array in make_sae("jumprelu").arrays.items():
        assert sae.array(name).dtype == torch.float32
        torch.testing.assert_close(sae.array(name), array.to(dtype).float(), rtol=0, atol=0)


def test_all_heads_side_by_side_are_one_activation(write_folder, make_sae, tmp_path):
    """hook_z, the attention's output before its projection: the reshaping is of SAELens's tensors, the arrays are as always."""
    about = META | {"hook_name": "blocks.1.attn.hook_z"}
    sae = read(write_folder(tmp_path / "a", "jumprelu", reshape_activations="hook_z", metadata=about), "a")
    assert sae.metadata.hook_name == "blocks.1.attn.hook_z"
    assert sae.fingerprint == make_sae("jumprelu").fingerprint
    old = write_folder(tmp_path / "b", "standard")
    (old / "cfg.json").write_text(json.dumps({"d_in": 8, "d_sae": 24, "hook_point": "blocks.1.attn.hook_z", "hook_point_head_index": None}))
    assert read(old, "b").metadata.hook_name == "blocks.1.attn.hook_z"


def test_the_factor_is_folded(write_folder, make_sae, make_acts, tmp_path):
    """An SAE trained on f * x must find in x what the unfolded one finds in f * x, and rebuild x."""
    folder = write_folder(tmp_path / "a", "jumprelu", normalize_activations="expected_average_only_in")
    raw, folded = make_sae("jumprelu"), read(folder, "a", norm_scaling_factor=0.25)
    acts = make_acts()
    np.testing.assert_allclose(folded.encode(acts).to_dense(24), raw.encode(acts * 0.25).to_dense(24), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(folded.decode(folded.encode(acts)), raw.decode(raw.encode(acts * 0.25)) / 0.25, rtol=1e-4, atol=1e-5)
    named = write_folder(
        tmp_path / "b", "jumprelu", normalize_activations="expected_average_only_in", metadata=META | {"norm_scaling_factor": 0.25}
    )
    assert read(named, "b").fingerprint == folded.fingerprint != raw.fingerprint
    assert read(named, "b", norm_scaling_factor=0.5).fingerprint != folded.fingerprint


def test_the_factor_is_not_guessed(write_folder, tmp_path):
    for value in ("expected_average_only_in", True):
        folder = write_folder(tmp_path / str(value), normalize_activations=value)
        with pytest.raises(SaeError, match=r"cfg\.json.*expected_average_only_in.*norm_scaling_factor"):
            read(folder, "a")


def test_a_factor_that_is_not_used_is_said(write_folder, tmp_path, caplog):
    folder = write_folder(tmp_path / "a")
    with caplog.at_level(logging.WARNING):
        sae = read(folder, "a", norm_scaling_factor=0.5)
    assert "norm_scaling_factor 0.5 is not used" in caplog.text
    assert sae.fingerprint == read(folder, "a").fingerprint


def test_a_changed_model_is_said(write_folder, tmp_path, caplog):
    about = META | {"model_from_pretrained_kwargs": {"fold_ln": True}}
    with caplog.at_level(logging.WARNING):
        read_metadata(write_folder(tmp_path / "a", metadata=about), "a")
    assert "fold_ln" in caplog.text


@pytest.mark.parametrize(("hook_name", "site", "centred"), [
    ("blocks.3.hook_resid_pre", "resid_post", True),
    ("blocks.3.hook_mlp_out", "mlp_out", True),
    ("blocks.3.attn.hook_z", "attn_out", False),
])  # fmt: skip
@pytest.mark.parametrize("said_by", ["file", "block"])
def test_an_sae_of_a_centred_model_reads_what_that_model_writes(write_folder, tmp_path, hook_name, site, centred, said_by):
    changes = {"model_from_pretrained_kwargs": {"center_writing_weights": True}} if said_by == "file" else {}
    folder = write_folder(tmp_path / "a", metadata=META | changes | {"hook_name": hook_name})
    sae = load_sae(SaeBlock(path=str(folder), center_writing_weights=said_by == "block"), 3, None, site)
    plain = read(folder, "a")
    acts = torch.randn(20, sae.d_model, generator=torch.Generator().manual_seed(0)) + 3
    mean = acts.mean(1, keepdim=True)
    expected = plain.encode_dense(acts - mean if centred else acts)
    torch.testing.assert_close(sae.encode_dense(acts), expected)
    assert not torch.allclose(plain.encode_dense(acts), plain.encode_dense(acts - mean), atol=1e-3)
    latents = sae.encode(acts)
    reconstruction = plain.decode(plain.encode(acts - mean)) + mean if centred else plain.decode(plain.encode(acts))
    torch.testing.assert_close(sae.decode(latents), reconstruction, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "abstopk"}, "Unknown architecture 'abstopk'.*gated, groupmax, jumprelu, standard, topk"),
        ({"architecture": "temporal"}, "Unknown architecture 'temporal'.*only SAEs that encode each token by itself are read"),
        ({"architecture": "matching_pursuit"}, "Unknown architecture 'matching_pursuit'.*only SAEs that encode with one product"),
        ({"architecture": "transcoder", "apply_b_dec_to_input": False}, "d_out must be a whole number of at least 1, got None"),
        (
            {"architecture": "transcoder", "d_out": 9, "apply_b_dec_to_input": False},
            r"d_out 9.*W_dec has shape \[24, 8\], expected \[24, 9\]; b_dec has",
        ),
        ({"architecture": "skip_transcoder", "d_out": 8, "apply_b_dec_to_input": False}, r"W_skip is missing \(expected \[8, 8\]\)"),
        ({"architecture": "transcoder", "d_out": 8, "apply_b_dec_to_input": True}, "b_dec is of its output"),
        (
            {"architecture": "transcoder", "d_out": 8, "apply_b_dec_to_input": False, "normalize_activations": "expected_average_only_in"},
            "not supported for a transcoder",
        ),
        ({"architecture": "jumpreul"}, "Did you mean 'jumprelu'"),
        ({"architecture": None}, "architecture must be a name"),
        ({"normalize_activations": "layernorm"}, "Did you mean 'layer_norm'"),
        ({"normalize_activations": 3}, "normalize_activations must be a name"),
        ({"metadata": META | {"hook_name": "blocks.1.attn.hook_z", "hook_head_index": 2}}, r"one attention head \(hook_head_index 2\)"),
        ({"d_in": 9}, r"W_dec has shape \[24, 8\], expected \[24, 9\]; W_enc has .*; b_dec has"),
        ({"d_sae": None}, "d_sae must be a whole number of at least 1, got None"),
        ({"d_in": "8"}, "d_in must be a whole number"),
        ({"apply_b_dec_to_input": 1}, "apply_b_dec_to_input must be true or false"),
        ({"metadata": META | {"max_norm": -1}}, "max_norm must be a positive number"),
        ({"metadata": META | {"l0": "many"}}, "l0 must be a positive number"),
        ({"metadata": META | {"hook_name": 3}}, "hook_name must be text"),
    ],
)
def test_configs_that_are_refused(write_folder, tmp_path, config, message):
    folder = write_folder(tmp_path / "a", "standard")
    fields = json.loads((folder / "cfg.json").read_text()) | config
    (folder / "cfg.json").write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
    with pytest.raises(SaeError, match=message) as caught:
        read(folder, "a")
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ({"activation_fn_str": "tanh-relu"}, "activation_fn 'tanh-relu'"),
        ({"activation_fn_str": "topk"}, "k must be a whole number"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 0}}, "k must be a whole number"),
        ({"hook_point_head_index": 0}, r"one attention head \(hook_head_index 0\)"),
        ({"normalize_activations": True}, "expected_average_only_in"),
    ],
)
def test_old_configs_that_are_refused(write_folder, tmp_path, old, message):
    folder = write_folder(tmp_path / "a", "standard")
    (folder / "cfg.json").write_text(json.dumps({"d_in": 8, "d_sae": 24, "hook_point": "blocks.3.hook_resid_post", **old}))
    with pytest.raises(SaeError, match=message):
        read(folder, "a")


def test_old_finetuned_gains(write_folder, make_sae, tmp_path):
    neutral = write_folder(tmp_path / "a", "standard", arrays={"scaling_factor": torch.ones(24)})
    assert read(neutral, "a").fingerprint == make_sae("standard").fingerprint
    gained = write_folder(tmp_path / "b", "standard", arrays={"scaling_factor": torch.full((24,), 1.5)})
    with pytest.raises(SaeError, match="finetuned gain"):
        read(gained, "b")


def test_damaged_files(write_folder, tmp_path):
    folder = write_folder(tmp_path / "a")
    weights = folder / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SaeError, match=r"sae_weights\.safetensors.*fetch it again"):
        read(folder, "a")
    (folder / "cfg.json").write_text('{"d_in": 8,')
    with pytest.raises(SaeError, match=r"Cannot read the SAE config .*cfg\.json.*line 1"):
        read(folder, "a")
    (folder / "cfg.json").write_text("[1]")
    with pytest.raises(SaeError, match="one JSON object, got list"):
        read(folder, "a")


def test_arrays_that_are_missing_or_left_over(write_folder, tmp_path):
    folder = write_folder(tmp_path / "a", "jumprelu", arrays={"threshold": None, "log_threshold": torch.zeros(24)})
    with pytest.raises(SaeError, match=r"threshold is missing.*log_threshold \[24\] is not an array of a jumprelu SAE"):
        read(folder, "a")


def test_the_examples_of_the_page_are_valid_entries():
    page = (Path(__file__).parents[2] / "docs" / "sae-formats.md").read_text(encoding="utf-8")
    entries = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["models"]
    assert [ModelEntry(**entry).sae.path for entry in entries] == [entry["sae"]["path"] for entry in entries]
    assert len(entries) == 3
