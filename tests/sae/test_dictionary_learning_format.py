"""Folders of dictionary_learning: against the library's own classes on state dicts of theirs, and what is refused."""

import importlib
import importlib.util
import inspect
import json
import sys

import numpy as np
import pytest
import torch

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats.dictionary_learning import read, read_metadata
from mosaic_sae.sae.load import load_sae
from mosaic_sae.sae.metadata import hook_point

D_MODEL, D_SAE, N, K = 24, 96, 150, 9
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
ABOUT = {"activation_dim": D_MODEL, "dict_size": D_SAE, "layer": 5, "lm_name": "owner/tiny", "device": "cpu"}


@pytest.fixture(scope="module")
def library():
    """Import one of the library's modules; its top level, which asks for a tracing library, is not run."""
    spec = importlib.util.find_spec("dictionary_learning")
    if spec is None:
        pytest.skip("dictionary-learning is not installed")
    sys.modules.setdefault("dictionary_learning", importlib.util.module_from_spec(spec))
    return lambda module: importlib.import_module(f"dictionary_learning.{module}")


def acts():
    return torch.randn(N, D_MODEL, generator=torch.Generator().manual_seed(1)) * 1.5 + 0.7


def randomise(theirs):
    """All parameters random, so that none is neutral and decoder directions are not of norm 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in sorted(theirs.named_parameters()):
            scale, shift = (0.5, 0.5) if name == "threshold" else (0.3 if parameter.ndim == 2 else 0.8, 0)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + shift)
    return theirs


def save(folder, theirs, trainer_config, buffer=None):
    folder.mkdir(exist_ok=True)
    torch.save({key: array.cpu() for key, array in theirs.state_dict().items()}, folder / "ae.pt")
    config = {"trainer": trainer_config} | ({"buffer": buffer} if buffer else {})
    (folder / "config.json").write_text(json.dumps(config, indent=4))
    return folder


def assert_parity(theirs, ours):
    with torch.no_grad():
        latents = theirs.encode(acts())
        reconstruction = theirs.decode(latents)
    assert 0.02 < (latents > 0).float().mean() < 0.9
    np.testing.assert_allclose(ours.encode(acts()).to_dense(D_SAE), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.encode_dense(acts()).numpy(), latents.numpy(), **TOLERANCE)
    np.testing.assert_allclose(ours.decode(ours.encode(acts())).numpy(), reconstruction.numpy(), **TOLERANCE)


TRAINERS = {
    "standard": ("trainers.standard", "StandardTrainer", {}, "standard"),
    "april": ("trainers.standard", "StandardTrainerAprilUpdate", {}, "standard"),
    "p_anneal": ("trainers.p_anneal", "PAnnealTrainer", {"anneal_start": 10}, "standard"),
    "gated": ("trainers.gdm", "GatedSAETrainer", {}, "gated"),
    "gated_anneal": ("trainers.gated_anneal", "GatedAnnealTrainer", {"anneal_start": 10}, "gated"),
    "top_k": ("trainers.top_k", "TopKTrainer", {"k": K}, "topk"),
    "batch_top_k": ("trainers.batch_top_k", "BatchTopKTrainer", {"k": K}, "jumprelu"),
    "matryoshka": (
        "trainers.matryoshka_batch_top_k",
        "MatryoshkaBatchTopKTrainer",
        {"k": K, "group_fractions": [0.25, 0.75]},
        "jumprelu",
    ),
    "jumprelu": ("trainers.jumprelu", "JumpReluTrainer", {}, "jumprelu"),
}


@pytest.mark.parity
@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_trainer(library, tmp_path, trainer):
    """The config is the trainer's own; the class loads its file as the library's users do."""
    module, name, options, architecture = TRAINERS[trainer]
    made = build(getattr(library(module), name), options)
    theirs = randomise(made.ae)
    if architecture == "topk" or "top_k" in module:
        theirs.threshold = torch.tensor(0.7)
    folder = save(tmp_path / "trainer_0", theirs, json.loads(json.dumps(made.config, default=str)))
    ours = read(folder, "tiny")
    assert (ours.architecture, ours.d_model, ours.d_sae) == (architecture, D_MODEL, D_SAE)
    assert_parity(type(theirs).from_pretrained(folder / "ae.pt"), ours)


def build(trainer_class, options):
    accepted = inspect.signature(trainer_class).parameters
    return trainer_class(**{key: value for key, value in {**ABOUT, "steps": 5000, **options}.items() if key in accepted})


@pytest.mark.parity
def test_decoders_of_norm_one_are_left_alone(library, tmp_path):
    theirs = library("dictionary").AutoEncoder(D_MODEL, D_SAE)
    with torch.no_grad():
        theirs.decoder.weight /= theirs.decoder.weight.norm(dim=0)
        theirs.bias.normal_()
    ours = read(save(tmp_path / "a", theirs, ABOUT | {"dict_class": "AutoEncoder"}), "a")
    assert torch.equal(ours.W_dec, theirs.decoder.weight.T)
    assert torch.equal(ours.W_enc, theirs.encoder.weight.T)
    assert_parity(theirs, ours)


@pytest.mark.parity
def test_auto_encoder_new(library, tmp_path):
    theirs = randomise(library("dictionary").AutoEncoderNew(D_MODEL, D_SAE))
    assert_parity(theirs, read(save(tmp_path / "a", theirs, ABOUT | {"dict_class": "AutoEncoderNew"}), "a"))


@pytest.mark.parity
def test_a_threshold_that_was_never_set_leaves_every_positive_latent_active(library, tmp_path, caplog):
    theirs = randomise(library("trainers.batch_top_k").BatchTopKSAE(D_MODEL, D_SAE, K))
    assert theirs.threshold == -1
    ours = read(save(tmp_path / "a", theirs, ABOUT | {"dict_class": "BatchTopKSAE", "k": K}), "a")
    assert_parity(theirs, ours)
    assert "never set in training (-1)" in caplog.text


@pytest.mark.parity
def test_training_on_normalised_activations_is_undone_before_saving(library, tmp_path):
    """What the library saves after training on x / f reads x: latents are f times those of x / f."""
    theirs = randomise(library("trainers.batch_top_k").BatchTopKSAE(D_MODEL, D_SAE, K))
    theirs.threshold = torch.tensor(0.2)
    factor = 3.0
    with torch.no_grad():
        latents = theirs.encode(acts() / factor)
        theirs.scale_biases(factor)
    ours = read(save(tmp_path / "a", theirs, ABOUT | {"dict_class": "BatchTopKSAE", "k": K, "norm_factor": factor}), "a")
    np.testing.assert_allclose(ours.encode(acts()).to_dense(D_SAE), factor * latents.numpy(), rtol=1e-4, atol=1e-4)


@pytest.fixture
def write(tmp_path):
    """A TopK folder by hand: 8 inputs, 24 latents."""

    def make(arrays=None, buffer=None, **trainer):
        folder = tmp_path / "trainer_0"
        folder.mkdir()
        fields = {"dict_class": "AutoEncoderTopK", "activation_dim": 8, "dict_size": 24, "k": 4, "layer": 5, "lm_name": "m"} | trainer
        config = {"trainer": {key: value for key, value in fields.items() if value is not None}} | ({"buffer": buffer} if buffer else {})
        (folder / "config.json").write_text(json.dumps(config))
        generator = torch.Generator().manual_seed(3)
        shapes = {"encoder.weight": (24, 8), "encoder.bias": (24,), "decoder.weight": (8, 24), "b_dec": (8,)}
        stored = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
        stored |= {"k": torch.tensor(4), "threshold": torch.tensor(0.5)} | (arrays or {})
        torch.save({key: array for key, array in stored.items() if array is not None}, folder / "ae.pt")
        return folder

    return make


def test_topk_by_hand(write):
    """The k largest of relu(W (x - b_dec) + b); the threshold in the file is for another way to encode."""
    folder, x = write(), torch.randn(5, 8)
    stored, sae = torch.load(folder / "ae.pt"), read(folder, "a")
    pre = ((x - stored["b_dec"]) @ stored["encoder.weight"].T + stored["encoder.bias"]).relu().numpy()
    wanted = np.where(pre >= np.sort(pre, axis=1)[:, -4, None], pre, 0)
    np.testing.assert_allclose(sae.encode(x).to_dense(24), wanted, rtol=1e-5, atol=1e-5)
    rebuilt = wanted @ stored["decoder.weight"].numpy().T + stored["b_dec"].numpy()
    np.testing.assert_allclose(sae.decode(sae.encode(x)).numpy(), rebuilt, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("submodule", "io", "hook_name", "place"),
    [
        (None, "out", "blocks.5.hook_resid_post", (5, "resid_post")),
        (None, None, "blocks.5.hook_resid_post", (5, "resid_post")),
        (None, "in", "blocks.5.hook_resid_pre", (5, "resid_pre")),
        ("resid_post_layer_5", "out", "blocks.5.hook_resid_post", (5, "resid_post")),
        ("resid_post", "out", "blocks.5.hook_resid_post", (5, "resid_post")),
        ("mlp_out_layer_5", "out", "blocks.5.hook_mlp_out", (5, "mlp_out")),
        ("model.layers.5", "out", "model.layers.5", (5, "resid_post")),
        ("resid_post_layer_5", "in", "resid_post_layer_5.input", None),
        ("something else", "out", "something else", None),
    ],
)
def test_where_it_was_trained(write, submodule, io, hook_name, place):
    metadata = read_metadata(write(submodule_name=submodule, buffer={"io": io, "ctx_len": 128}), "a")
    assert (metadata.hook_name, metadata.model_name, metadata.context_size) == (hook_name, "m", 128)
    assert hook_point(hook_name) == place


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dict_class": "AutoEncoderTopk"}, "Unknown trainer.dict_class 'AutoEncoderTopk'. Did you mean 'AutoEncoderTopK'"),
        ({"dict_class": None}, "Unknown trainer.dict_class ''"),
        ({"dict_class": "GatedAutoEncoder"}, "b_gate is missing.*b_enc .* is not an array of a gated SAE"),
        ({"dict_class": "AutoEncoder"}, r"k \[\] is not an array"),
        ({"dict_class": "JumpReluAutoEncoder"}, "W_enc is missing"),
        ({"k": 5}, r"trainer\.k is 5, but ae\.pt holds k = 4"),
        ({"k": None}, "k must be a whole number"),
        ({"dict_size": 25}, r"W_enc has shape \[8, 24\], expected \[8, 25\]"),
        ({"layer": None}, "layer must be a whole number of at least 0, got None"),
        ({"submodule_name": "resid_post_layer_4"}, "trainer.layer is 5, but trainer.submodule_name is 'resid_post_layer_4'"),
        ({"buffer": {"io": "in_and_out"}}, "buffer.io 'in_and_out'"),
        ({"arrays": {"encoder.weight": torch.zeros(3)}}, "'encoder.weight' must be a matrix"),
        ({"arrays": {"b_dec": None}}, "b_dec is missing"),
    ],
)
def test_what_is_refused(write, change, message):
    folder = write(**change)
    with pytest.raises(SaeError, match=message) as caught:
        read(folder, "a")
    assert str(folder) in str(caught.value)


def test_files_that_hold_something_else(write, tmp_path):
    folder = write()
    torch.save(torch.nn.Linear(2, 2), folder / "ae.pt")  # a whole module: reading it would run its code
    with pytest.raises(SaeError, match=r"Cannot read the SAE weights .*ae\.pt.*state dict of tensors alone"):
        read(folder, "a")
    torch.save([torch.zeros(1)], folder / "ae.pt")
    with pytest.raises(SaeError, match="must hold a state dict of tensors, got list"):
        read(folder, "a")
    (folder / "ae.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(SaeError, match="fetch it again"):
        read(folder, "a")
    (folder / "ae.pt").write_bytes(b"")
    with pytest.raises(SaeError, match="fetch it again"):
        read(folder, "a")
    (folder / "config.json").write_text('{"trainer": 3}')
    with pytest.raises(SaeError, match="'trainer' must be an object"):
        read(folder, "a")


def test_a_factor_has_no_use(write, caplog):
    folder = write()
    assert read(folder, "a", norm_scaling_factor=0.5).fingerprint == read(folder, "a").fingerprint
    assert "norm_scaling_factor 0.5 is not used" in caplog.text


def test_a_block_names_the_format(write):
    folder = write()
    block = SaeBlock(path=str(folder.parent / "trainer_0"), format="dictionary_learning")
    assert load_sae(block, 5, None, "resid_post").fingerprint == read(folder, "a").fingerprint
    with pytest.raises(SaeError, match=r"layer 5, resid_post.*asks for layer 5, mlp_out"):
        load_sae(block, 5, None, "mlp_out")
