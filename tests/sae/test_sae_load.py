"""From a sae: block to one SAE, and never silently to another one."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.sae import load as load_module
from mosaic_sae.sae.load import load_sae, locate_sae
from mosaic_sae.sae.metadata import SaeMetadata, check_hook, hook_point, site_of
from mosaic_sae.sae.paths import fill_path


@pytest.fixture
def three_layers(write_folder, tmp_path):
    for layer in (3, 7, 11):
        about = {"sae_lens_version": "6.5.0", "hook_name": f"blocks.{layer}.hook_resid_post"}
        write_folder(tmp_path / "saes" / f"layer_{layer}" / "16k", seed=layer, metadata=about)
    return tmp_path / "saes"


def test_the_path_is_filled_in(three_layers, make_sae):
    block = SaeBlock(path=f"{three_layers}/layer_{{layer}}/{{width}}/")
    for layer in (3, 7, 11):
        sae = load_sae(block, layer, "16k", "resid_post")
        assert sae.fingerprint == make_sae("jumprelu", seed=layer).fingerprint
        assert sae.metadata.name == f"layer_{layer}/16k"


def test_placeholders():
    assert fill_path("a/{site}/l{layer}_{width}/", 12, "65k", "mlp_out") == "a/mlp_out/l12_65k"
    with pytest.raises(SaeError, match=r"Unknown placeholder 'layers'. Did you mean 'layer'"):
        fill_path("a/{layers}", 1, None, "resid_post")
    with pytest.raises(SaeError, match="lists no widths"):
        fill_path("a/{width}", 1, None, "resid_post")


def test_another_layer_or_location_is_refused(three_layers):
    block = SaeBlock(path=str(three_layers / "layer_7" / "16k"))
    with pytest.raises(
        SaeError, match=r"trained on 'blocks.7.hook_resid_post' \(layer 7, resid_post\).*layer 3, resid_post or .*layers: \[7\]"
    ):
        load_sae(block, 3, None, "resid_post")
    with pytest.raises(SaeError, match=r"layer 7, mlp_out or mlp_in .*sae_location: res"):
        load_sae(block, 7, None, "mlp_out")


def test_the_mismatch_is_found_before_weights_are_read(three_layers):
    folder = three_layers / "layer_7" / "16k"
    (folder / "sae_weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(SaeError, match="trained on"):
        load_sae(SaeBlock(path=str(folder)), 3, None, "resid_post")


def test_an_sae_that_does_not_say_is_used_with_a_warning(write_folder, tmp_path, caplog):
    folder = write_folder(tmp_path / "a", metadata={"sae_lens_version": "6.5.0"})
    with caplog.at_level(logging.WARNING):
        assert load_sae(SaeBlock(path=str(folder)), 3, None, "resid_post").d_sae == 24
    assert "does not say which layer" in caplog.text


@pytest.mark.parametrize(
    ("hook_name", "point"),
    [
        ("blocks.12.hook_resid_post", (12, "resid_post")),
        ("blocks.12.hook_out", (12, "resid_post")),
        ("blocks.12.hook_resid_pre", (12, "resid_pre")),
        ("blocks.0.hook_resid_pre", (0, "resid_pre")),
        ("blocks.12.hook_resid_mid", (12, "resid_mid")),
        ("blocks.12.hook_mlp_out", (12, "mlp_out")),
        ("blocks.12.mlp.hook_out", (12, "mlp_out")),
        ("blocks.12.ln2.hook_normalized", (12, "ln2_normalized")),
        ("blocks.12.hook_attn_out", (12, "attn_out")),
        ("blocks.12.attn.hook_z", (12, "attn_z")),
        ("model.layers.15", (15, "resid_post")),
        ("transformer.h.4", (4, "resid_post")),
        ("model.layers.15.mlp", None),
        ("blocks.1.hook_resid_post.1", None),
    ],
)
def test_hook_names(hook_name, point):
    assert hook_point(hook_name) == point
    metadata = SaeMetadata("a", hook_name=hook_name)
    if point is None:
        with pytest.raises(SaeError, match=r"does not read \(asked for: layer 12, resid_post or"):
            check_hook(metadata, 12, "resid_post", "a")
    else:
        check_hook(metadata, *point, "a")
        assert site_of(metadata, "resid_post") == point[1]
        with pytest.raises(SaeError, match=rf"layers: \[{point[0]}\]"):
            check_hook(metadata, point[0] + 1, point[1], "a")


@pytest.mark.parametrize(
    "sites", [("resid_pre", "resid_mid", "resid_post"), ("mlp_in", "ln2_normalized", "mlp_out"), ("attn_z", "attn_out")]
)
def test_an_sae_says_which_site_of_its_location_it_reads(sites):
    for site in sites:
        metadata = SaeMetadata("a", hook_name=str(HookPoint(5, site)))
        for wanted in ("resid_post", "mlp_out", "attn_out"):
            if wanted in sites:
                check_hook(metadata, 5, wanted, "a")
                assert site_of(metadata, wanted) == site
            else:
                with pytest.raises(SaeError, match="trained on"):
                    check_hook(metadata, 5, wanted, "a")
    assert site_of(SaeMetadata("a"), "mlp_out") == "mlp_out"


def test_a_missing_folder_names_those_nearby(three_layers):
    block = SaeBlock(path=f"{three_layers}/layer_{{layer}}/16k")
    with pytest.raises(SaeError) as caught:
        load_sae(block, 12, None, "resid_post")
    message = str(caught.value)
    assert "No SAE folder" in message
    assert "layer_{layer}" in message
    nearby = message.partition("SAE folders nearby: ")[2]
    assert nearby.startswith(str(three_layers / "layer_11"))
    assert nearby.count("16k") == 3


def test_a_missing_folder_with_nothing_nearby(tmp_path):
    with pytest.raises(SaeError, match=r"exists, but no SAE folder of this format is in it"):
        load_sae(SaeBlock(path=str(tmp_path / "none")), 1, None, "resid_post")


def test_a_folder_of_another_format_says_what_it_holds(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "params.npz").write_bytes(b"")
    with pytest.raises(SaeError, match=r"no cfg.json and no sae_weights.safetensors.*It holds: params.npz"):
        load_sae(SaeBlock(path=str(tmp_path / "a")), 1, None, "resid_post")


def test_packaged_saes(write_folder, make_sae, tmp_path, monkeypatch):
    monkeypatch.setattr(load_module, "PACKAGED_FOLDER", tmp_path)
    write_folder(tmp_path / "tiny-l3")
    sae = load_sae(SaeBlock(path="packaged/tiny-l{layer}"), 3, None, "resid_post")
    assert sae.metadata.name == "tiny-l3"
    assert sae.fingerprint == make_sae("jumprelu").fingerprint
    with pytest.raises(SaeError, match=r"Unknown packaged SAE 'tiny-l4'. Did you mean 'tiny-l3'.*Available: tiny-l3"):
        load_sae(SaeBlock(path="packaged/tiny-l4"), 4, None, "resid_post")


def test_every_shipped_sae_loads_at_its_own_hook():
    for config in sorted(load_module.PACKAGED_FOLDER.glob("*/cfg.json")):
        from mosaic_sae.sae.formats.saelens import read_metadata

        layer, site = hook_point(read_metadata(config.parent, "a").hook_name)
        assert load_sae(SaeBlock(path=f"packaged/{config.parent.name}"), layer, None, site).fingerprint


def test_an_unknown_format_lists_those_that_are_read(tmp_path):
    block = SaeBlock.model_construct(format="sae_lens", path=str(tmp_path), repo=None, revision=None)
    with pytest.raises(SaeError, match=r"Unknown SAE format 'sae_lens'. Did you mean 'saelens'"):
        locate_sae(block, 1, None, "resid_post")


def test_locating_imports_no_torch(three_layers):
    code = (
        "import sys\n"
        "from mosaic_sae.config.schema import SaeBlock\n"
        "from mosaic_sae.sae.load import locate_sae\n"
        "from mosaic_sae.sae.formats.saelens import read_metadata\n"
        "import mosaic_sae.sae.releases\n"
        f"folder, name = locate_sae(SaeBlock(path={str(three_layers / 'layer_7' / '16k')!r}), 7, None, 'resid_post')\n"
        "assert read_metadata(folder, name).hook_name == 'blocks.7.hook_resid_post'\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_block_states(write_folder, make_acts, tmp_path):
    """L0 where the files state none; the normalisation in place of theirs, as SAELens's registry has it for some releases."""
    folder = write_folder(tmp_path / "a", "standard")
    plain = load_sae(SaeBlock(path=str(folder)), 3, None, "resid_post")
    stated = load_sae(SaeBlock(path=str(folder), l0=41, normalize_activations="constant_norm_rescale"), 3, None, "resid_post")
    assert (plain.metadata.l0, stated.metadata.l0) == (None, 41)
    x = make_acts()
    rescaled = x * (8**0.5 / x.norm(dim=-1, keepdim=True))
    np.testing.assert_allclose(stated.encode(x).to_dense(24), plain.encode(rescaled).to_dense(24), rtol=1e-5, atol=1e-5)
    about = {"sae_lens_version": "6.5.0", "hook_name": "blocks.3.hook_resid_post", "l0": 30}
    own = write_folder(tmp_path / "b", metadata=about)
    assert load_sae(SaeBlock(path=str(own), l0=41), 3, None, "resid_post").metadata.l0 == 30
