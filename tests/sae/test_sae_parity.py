"""Our encode and decode against SAELens's own, on folders that SAELens itself wrote. Needs the extra [saelens]."""

import json

import numpy as np
import pytest
import torch

from mosaic_sae.sae.formats.saelens import read

pytestmark = pytest.mark.saelens

D_MODEL, D_SAE, N = 48, 160, 200
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def sae_lens():
    return pytest.importorskip("sae_lens")


@pytest.fixture
def theirs(sae_lens):
    """Make a SAELens SAE with random weights of which none is neutral."""

    def make(architecture, **config):
        from sae_lens.registry import get_sae_class

        sae_class, config_class = get_sae_class(architecture)
        metadata = sae_lens.saes.sae.SAEMetadata(
            hook_name="blocks.3.hook_resid_post", model_name="tiny", prepend_bos=True, context_size=128
        )
        sae = sae_class(
            config_class(d_in=D_MODEL, d_sae=D_SAE, metadata=metadata, **({"k": 11} if architecture == "topk" else {}) | config)
        )
        generator = torch.Generator().manual_seed(hash_free_seed(architecture))
        with torch.no_grad():
            for name, parameter in sorted(sae.named_parameters()):
                scale, shift = {"threshold": (0.6, 0.3), "W_enc": (0.2, 0), "W_dec": (0.2, 0)}.get(name, (0.5, 0))
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + shift)
        return sae

    return make


def hash_free_seed(text):
    return sum(text.encode())


def acts():
    return torch.randn(N, D_MODEL, generator=torch.Generator().manual_seed(1)) * 1.5 + 0.7


def assert_parity(theirs, ours, x):
    with torch.no_grad():
        latents = theirs.encode(x)
        reconstruction = theirs.decode(latents)
    share = (latents > 0).float().mean()
    assert 0.02 < share < 0.9, f"the comparison says little: {share:.3f} active"
    fused = ours.encode(x)
    np.testing.assert_allclose(fused.to_dense(D_SAE), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.encode_dense(x).numpy(), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.decode(fused).numpy(), reconstruction.numpy(), **TOLERANCE)


@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("architecture", ["standard", "gated", "topk", "topk_by_norm", "jumprelu"])
def test_current_folders(theirs, tmp_path, architecture, normalisation, apply_b_dec):
    config = {"normalize_activations": normalisation, "apply_b_dec_to_input": apply_b_dec}
    if architecture == "topk_by_norm":
        architecture, config = "topk", config | {"rescale_acts_by_decoder_norm": True}
    sae = theirs(architecture, **config)
    sae.save_model(tmp_path)
    ours = read(tmp_path, "tiny")
    assert (ours.d_model, ours.d_sae, ours.architecture) == (D_MODEL, D_SAE, architecture)
    assert (ours.metadata.hook_name, ours.metadata.prepend_bos, ours.metadata.context_size) == ("blocks.3.hook_resid_post", True, 128)
    assert_parity(sae, ours, acts())


@pytest.mark.parametrize("architecture", ["standard", "gated", "topk", "topk_by_norm", "jumprelu"])
def test_expected_average_only_in_equals_folding_by_saelens(theirs, tmp_path, architecture):
    config = {"normalize_activations": "expected_average_only_in"}
    if architecture == "topk_by_norm":
        architecture, config = "topk", config | {"rescale_acts_by_decoder_norm": True}
    sae = theirs(architecture, **config)
    sae.save_model(tmp_path)
    sae.fold_activation_norm_scaling_factor(0.37)
    assert_parity(sae, read(tmp_path, "tiny", norm_scaling_factor=0.37), acts())


@pytest.mark.parametrize("architecture", ["standard", "jumprelu"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_folders_are_read_as_float32(sae_lens, theirs, tmp_path, architecture, dtype):
    sae = theirs(architecture, dtype=dtype)
    sae.save_model(tmp_path)
    ours = read(tmp_path, "tiny")
    assert all(array.dtype == torch.float32 for array in ours.arrays.values())
    assert_parity(sae_lens.SAE.load_from_disk(tmp_path, dtype="float32"), ours, acts())


OLD_FORMS = {
    "hook_point": {"hook_point": "blocks.3.hook_resid_post", "activation_fn_str": "relu", "normalize_activations": False},
    "hook_name": {
        "hook_name": "blocks.3.hook_resid_post",
        "activation_fn_str": "relu",
        "normalize_activations": "none",
        "architecture": "standard",
    },
    "null": {"hook_name": "blocks.3.hook_resid_post", "normalize_activations": None, "apply_b_dec_to_input": False, "prepend_bos": False},
    "layer_norm": {"hook_point": "blocks.3.hook_resid_post", "normalize_activations": "layer_norm", "sae_lens_version": "5.3.0"},
    "jumprelu": {
        "hook_name": "blocks.3.hook_resid_post",
        "architecture": "jumprelu",
        "activation_fn_str": "relu",
        "apply_b_dec_to_input": False,
    },
    "gated": {"hook_name": "blocks.3.hook_resid_post", "architecture": "gated", "activation_fn_str": "relu"},
    "topk": {
        "hook_name": "blocks.3.hook_resid_post",
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 11},
        "architecture": "standard",
    },
}


@pytest.mark.parametrize("form", OLD_FORMS)
def test_folders_from_before_version_6(sae_lens, theirs, tmp_path, form):
    old = {
        "d_in": D_MODEL,
        "d_sae": D_SAE,
        "dtype": "torch.float32",
        "device": "cpu",
        "model_name": "gpt2",
        "context_size": 64,
        **OLD_FORMS[form],
    }
    architecture = form if form in {"jumprelu", "gated", "topk"} else "standard"
    theirs(architecture).save_model(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    upgraded = sae_lens.SAE.load_from_disk(tmp_path)
    assert upgraded.cfg.architecture() == architecture
    ours = read(tmp_path, "old")
    assert ours.metadata.hook_name == "blocks.3.hook_resid_post" == upgraded.cfg.metadata.hook_name
    assert ours.metadata.prepend_bos is upgraded.cfg.metadata.prepend_bos is old.get("prepend_bos", True)
    assert ours.metadata.context_size == 64
    assert ours.apply_b_dec_to_input is upgraded.cfg.apply_b_dec_to_input
    assert_parity(upgraded, ours, acts())


def test_an_old_folder_with_normalize_true_needs_the_factor(sae_lens, theirs, tmp_path):
    theirs("standard").save_model(tmp_path)
    old = {"d_in": D_MODEL, "d_sae": D_SAE, "dtype": "float32", "hook_point": "blocks.3.hook_resid_post", "normalize_activations": True}
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    upgraded = sae_lens.SAE.load_from_disk(tmp_path)
    assert upgraded.cfg.normalize_activations == "expected_average_only_in"
    upgraded.fold_activation_norm_scaling_factor(2.5)
    assert_parity(upgraded, read(tmp_path, "old", norm_scaling_factor=2.5), acts())


def test_negative_thresholds_and_equality_as_in_saelens(theirs, tmp_path):
    sae = theirs("jumprelu", apply_b_dec_to_input=False)
    x = torch.tensor([[1.0], [-1.0], [0.5]]).expand(3, D_MODEL).clone()
    with torch.no_grad():
        sae.W_enc.zero_()
        sae.W_enc[0] = 1.0  # pre-activations equal x exactly
        sae.b_enc.zero_()
        sae.threshold.copy_(torch.tensor([1.0, -2.0, 0.5, 0.0]).repeat(D_SAE // 4))
    sae.save_model(tmp_path)
    latents = sae.encode(x).detach()
    assert latents[:, :4].tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0.5, 0, 0.5]]
    ours = read(tmp_path, "tiny")
    np.testing.assert_array_equal(ours.encode(x).to_dense(D_SAE), latents.numpy())


def test_what_saelens_trains_is_read(sae_lens, tmp_path):
    """BatchTopK and JumpReLU training SAEs, saved for inference by SAELens, become jumprelu SAEs."""
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig

    batch_topk = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=20.0))
    batch_topk.topk_threshold.fill_(0.1)
    jumprelu = JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(d_in=D_MODEL, d_sae=D_SAE, jumprelu_init_threshold=0.05))
    with torch.no_grad():
        batch_topk.W_dec.normal_()  # norms far from 1, by which training measures activations and the saved encoder is scaled
    for name, sae in (("batch", batch_topk), ("jump", jumprelu)):
        sae.save_inference_model(tmp_path / name)
        ours = read(tmp_path / name, name)
        assert ours.architecture == "jumprelu"
        assert_parity(sae_lens.SAE.load_from_disk(tmp_path / name), ours, acts() / 3)


@pytest.mark.parametrize("normalisation", ["none", "layer_norm"])
@pytest.mark.parametrize("architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"])
def test_transcoders(theirs, tmp_path, architecture, normalisation):
    d_out = 31
    sae = theirs(architecture, d_out=d_out, apply_b_dec_to_input=False, normalize_activations=normalisation)
    sae.cfg.metadata.hook_name, sae.cfg.metadata.hook_name_out = "blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_out"
    sae.save_model(tmp_path)
    ours = read(tmp_path, "tiny")
    assert (ours.d_model, ours.d_sae, ours.d_out) == (D_MODEL, D_SAE, d_out)
    assert (ours.metadata.hook_name, ours.metadata.output_hook_name) == ("blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_out")
    with torch.no_grad():
        latents, prediction = sae.encode(acts()), sae(acts())
    assert 0.02 < (latents > 0).float().mean() < 0.9
    np.testing.assert_allclose(ours.encode(acts()).to_dense(D_SAE), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.decode(ours.encode(acts()), acts()).numpy(), prediction.numpy(), **TOLERANCE)


def test_hook_z_folders(theirs, tmp_path):
    """SAELens flattens [n n_heads d_head] by itself; MOSAIC gets the heads side by side."""
    sae = theirs("jumprelu", reshape_activations="none")
    sae.cfg.reshape_activations, sae.cfg.metadata.hook_name = "hook_z", "blocks.3.attn.hook_z"
    sae.turn_on_forward_pass_hook_z_reshaping()
    sae.save_model(tmp_path)
    ours = read(tmp_path, "tiny")
    assert ours.metadata.hook_name == "blocks.3.attn.hook_z"
    with torch.no_grad():
        latents = sae.encode(acts().unflatten(-1, (4, 12)))
        reconstruction = sae.decode(latents).flatten(-2)
    np.testing.assert_allclose(ours.encode(acts()).to_dense(D_SAE), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.decode(ours.encode(acts())).numpy(), reconstruction.numpy(), **TOLERANCE)
