import pytest

from mosaic_sae.config.schema import ModelEntry, SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.releases import release_block, sae_block_of


def test_the_promised_gemma_entry_needs_no_sae_block():
    entry = ModelEntry(name="google/gemma-2b", layers=[6, 12, 17], widths=["16k"])
    blocks = {layer: sae_block_of(entry, "resid_post", layer, "16k") for layer in entry.layers}
    assert all(isinstance(block, SaeBlock) and block.repo == "jbloom/Gemma-2b-Residual-Stream-SAEs" for block in blocks.values())
    for layer, block in blocks.items():
        assert block.path.startswith(f"gemma_2b_blocks.{layer}.hook_resid_post_16384")
    assert blocks[12].norm_scaling_factor == pytest.approx(0.21382, rel=1e-4)
    assert blocks[6].norm_scaling_factor is None


def test_one_width_needs_no_name():
    assert release_block("google/gemma-2b", "resid_post", 12, None) == release_block("google/gemma-2b", "resid_post", 12, "16k")


@pytest.mark.parametrize(
    ("site", "layer", "width", "message"),
    [
        ("resid_post", 5, "16k", "no SAE for layer 5; it has layers 0, 6, 10, 12, 17"),
        ("resid_post", 12, "65k", "width '65k' is known; known widths: 16k"),
        ("resid_post", 12, "16", "Did you mean '16k'"),
        ("mlp_out", 12, "16k", "at mlp_out; known: resid_post"),
    ],
)
def test_what_the_release_lacks(site, layer, width, message):
    with pytest.raises(SaeError, match=message):
        release_block("google/gemma-2b", site, layer, width)


def test_other_models_get_no_sae_of_gemma():
    for name in ("google/gemma-2b-it", "google/gemma-2-2b", "someone/gemma-2b", "packaged/smollm2-135m-instruct"):
        assert release_block(name, "resid_post", 12, "16k") is None
        with pytest.raises(SaeError, match="has no sae: block") as caught:
            sae_block_of(ModelEntry(name=name, layers=[12], widths=["16k"]), "resid_post", 12, "16k")
        assert f"- name: {name}" in str(caught.value)
        assert "path: saes/layer_{layer}" in str(caught.value)


def test_the_entrys_own_block_comes_first():
    own = SaeBlock(path="here")
    assert sae_block_of(ModelEntry(name="google/gemma-2b", layers=[12], sae=own), "resid_post", 12, None) is own
