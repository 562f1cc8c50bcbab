"""Model entries without a sae: block, and blocks that name a release of SAELens's registry."""

import re
import sys

import pytest

from mosaic_sae.config.schema import ModelEntry, SaeBlock
from mosaic_sae.errors import MissingExtra, SaeError
from mosaic_sae.sae.formats import FORMATS
from mosaic_sae.sae.releases import release_block, releases, sae_block_of


def test_the_promised_gemma_entry_needs_no_sae_block():
    entry = ModelEntry(name="google/gemma-2b", layers=[6, 12, 17], widths=["16k"])
    blocks = {layer: sae_block_of(entry, "resid_post", layer, "16k") for layer in entry.layers}
    assert all(isinstance(block, SaeBlock) and block.repo == "jbloom/Gemma-2b-Residual-Stream-SAEs" for block in blocks.values())
    for layer, block in blocks.items():
        assert block.path.startswith(f"gemma_2b_blocks.{layer}.hook_resid_post_16384")
    assert blocks[12].norm_scaling_factor == pytest.approx(0.21382, rel=1e-4)
    assert blocks[6].norm_scaling_factor is None
    assert (blocks[6].format, blocks[6].l0) == ("saelens", 56)


@pytest.mark.parametrize(
    ("model", "site", "layer", "width", "sae_format", "place", "l0"),
    [
        ("google/gemma-2-2b", "resid_post", 12, "16k", "gemma_scope", "google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82", 82),
        ("google/gemma-2-2b", "resid_post", 19, "1m", "gemma_scope", "google/gemma-scope-2b-pt-res/layer_19/width_1m/average_l0_88", 88),
        ("google/gemma-2-2b", "mlp_out", 12, "65k", "gemma_scope", "google/gemma-scope-2b-pt-mlp/layer_12/width_65k/average_l0_96", 96),
        ("google/gemma-2-9b", "attn_out", 0, "131k", "gemma_scope", "google/gemma-scope-9b-pt-att/layer_0/width_131k/average_l0_55", 55),
        ("google/gemma-2-9b-it", "resid_post", 9, "16k", "gemma_scope", "google/gemma-scope-9b-it-res/layer_9/width_16k/average_l0_88", 88),
        (
            "google/gemma-2b-it",
            "resid_post",
            12,
            "16k",
            "saelens",
            "jbloom/Gemma-2b-IT-Residual-Stream-SAEs/gemma_2b_it_blocks.12.hook_resid_post_16384",
            61,
        ),
        (
            "google/gemma-3-270m",
            "resid_post",
            9,
            "65k",
            "gemma_scope_2",
            "google/gemma-scope-2-270m-pt/resid_post/layer_9_width_65k_l0_medium",
            60,
        ),
        (
            "google/gemma-3-1b-it",
            "mlp_out",
            4,
            "262k_l0_small",
            "gemma_scope_2",
            "google/gemma-scope-2-1b-it/mlp_out_all/layer_4_width_262k_l0_small",
            14,
        ),
        (
            "google/gemma-3-4b-pt",
            "attn_out",
            29,
            "16k",
            "gemma_scope_2",
            "google/gemma-scope-2-4b-pt/attn_out/layer_29_width_16k_l0_medium",
            60,
        ),
        ("meta-llama/Llama-3.1-8B", "resid_post", 15, "32k", "llama_scope", "fnlp/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L15R-8x", 50),
        ("meta-llama/Llama-3.1-8B", "attn_out", 31, "131k", "llama_scope", "fnlp/Llama3_1-8B-Base-LXA-32x/Llama3_1-8B-Base-L31A-32x", 50),
        ("Qwen/Qwen3-8B-Base", "resid_post", 35, "64k_l0_100", "qwen_scope", "Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_100/layer35.sae.pt", 100),
        (
            "google/paligemma-3b-mix-224",
            "resid_post",
            6,
            "16k",
            "saelens",
            "jbloom/Gemma-2b-Residual-Stream-SAEs/gemma_2b_blocks.6.hook_resid_post_16384_anthropic_fast_lr",
            56,
        ),
        (
            "google/paligemma2-3b-pt-224",
            "resid_post",
            12,
            "16k",
            "gemma_scope",
            "google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82",
            82,
        ),
        (
            "google/paligemma2-10b-pt-448",
            "resid_post",
            20,
            "32k",
            "gemma_scope",
            "google/gemma-scope-9b-pt-res/layer_20/width_32k/average_l0_57",
            57,
        ),
        (
            "Intel/llava-gemma-2b",
            "resid_post",
            10,
            "16k",
            "saelens",
            "jbloom/Gemma-2b-Residual-Stream-SAEs/gemma_2b_blocks.10.hook_resid_post_16384",
            62,
        ),
    ],
)
def test_known_models(model, site, layer, width, sae_format, place, l0):
    block = release_block(model, site, layer, width)
    assert (block.format, f"{block.repo}/{block.path}", block.l0) == (sae_format, place, l0)


def test_every_row_makes_a_block_of_its_own():
    places = {}
    for release in releases():
        assert release.format in FORMATS.names()
        for layer in release.layers:
            block = release.block(layer)
            assert "{" not in block.path
            assert block.l0 and 1 <= block.l0 <= 1000
            if release.format == "qwen_scope":
                assert f"-L0_{block.l0:.0f}" in block.repo
            key = (release.models[0], release.site, release.width, layer)
            assert key not in places, "two SAEs for one model, site, width and layer"
            places[key] = f"{block.repo}/{block.path}"
    assert len(set(places.values())) == len(places) > 5000


def test_one_width_needs_no_name():
    assert release_block("google/gemma-2b", "resid_post", 12, None) == release_block("google/gemma-2b", "resid_post", 12, "16k")
    with pytest.raises(SaeError, match="with no width named is known; known widths: 131k, 16k"):
        release_block("google/gemma-2-9b-it", "resid_post", 9, None)


@pytest.mark.parametrize(
    ("model", "site", "layer", "width", "message"),
    [
        ("google/gemma-2b", "resid_post", 5, "16k", "no SAE for layer 5; it has layers 0, 6, 10, 12, 17. Change layers, or add"),
        ("google/gemma-2b", "resid_post", 12, "65k", "width '65k' is known; known widths: 16k"),
        ("google/gemma-2b", "resid_post", 12, "16", "Did you mean '16k'"),
        ("google/gemma-2b", "mlp_out", 12, "16k", "at mlp_out; known: resid_post"),
        ("google/gemma-2-9b-it", "resid_post", 9, "1m", "known widths: 131k, 16k"),
        ("google/gemma-3-270m", "resid_post", 6, "16k", r"it has layers 5, 9, 12, 15.*layer 6 has 16k_l0_big, 16k_l0_small, 262k_l0_big"),
        ("google/paligemma2-3b-pt-224", "resid_post", 30, "16k", r"paligemma2-3b-pt-224 \(by its language model google/gemma-2-2b\)"),
    ],
)
def test_what_the_release_lacks(model, site, layer, width, message):
    with pytest.raises(SaeError, match=message):
        release_block(model, site, layer, width)


def test_other_models_get_no_sae_of_gemma():
    for name in (
        "google/gemma-2-2b-it",
        "google/gemma-7b",
        "someone/gemma-2b",
        "packaged/smollm2-135m-instruct",
        "meta-llama/Llama-3.1-8B-Instruct",
    ):
        assert release_block(name, "resid_post", 12, "16k") is None
        with pytest.raises(SaeError, match="has no sae: block") as caught:
            sae_block_of(ModelEntry(name=name, layers=[12], widths=["16k"]), "resid_post", 12, "16k")
        assert f"- name: {name}" in str(caught.value)
        assert "path: saes/layer_{layer}" in str(caught.value)


def test_the_entrys_own_block_comes_first():
    own = SaeBlock(path="here")
    assert sae_block_of(ModelEntry(name="google/gemma-2b", layers=[12], sae=own), "resid_post", 12, None) is own


def entry_of(release, sae_id, layers=(12,), widths=(), **block):
    return ModelEntry(name="some/model", layers=list(layers), widths=list(widths), sae=SaeBlock(release=release, sae_id=sae_id, **block))


def test_a_release_without_saelens_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sae_lens"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Hide(), *sys.meta_path])
    with pytest.raises(MissingExtra, match=r"sae.release 'x' needs sae-lens.*pip install \"mosaic-sae\[saelens\]\""):
        sae_block_of(entry_of("x", "y"), "resid_post", 12, None)


class _Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "sae_lens":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@pytest.fixture
def sae_lens():
    return pytest.importorskip("sae_lens")


@pytest.mark.saelens
@pytest.mark.parametrize(
    ("release", "sae_id", "width", "wanted"),
    [
        (
            "gemma-scope-2b-pt-res-canonical",
            "layer_{layer}/width_{width}/canonical",
            "16k",
            {"format": "gemma_scope", "repo": "google/gemma-scope-2b-pt-res", "path": "layer_12/width_16k/average_l0_82", "l0": None},
        ),
        (
            "gemma-2b-res-jb",
            "blocks.{layer}.hook_resid_post",
            None,
            {"format": "saelens", "path": "gemma_2b_blocks.12.hook_resid_post_16384", "norm_scaling_factor": 0.21381938399317255},
        ),
        ("llama_scope_lxr_8x", "l{layer}r_8x", None, {"format": "llama_scope", "l0": 50, "path": "Llama3_1-8B-Base-L12R-8x"}),
        ("qwen-scope-3-8b-base-w64k-l50", "layer{layer}", None, {"format": "qwen_scope", "path": "layer12.sae.pt", "l0": 50}),
        ("gemma-scope-2-4b-pt-res-all", "layer_{layer}_width_16k_l0_big", None, {"format": "gemma_scope_2", "l0": 120}),
        (
            "gemma-scope-2b-pt-transcoders",
            "layer_{layer}/width_16k/average_l0_6",
            None,
            {"format": "gemma_scope", "repo": "google/gemma-scope-2b-pt-transcoders", "path": "layer_12/width_16k/average_l0_6", "l0": 6},
        ),
        (
            "gemma-scope-2-4b-pt-transcoders-all",
            "layer_{layer}_width_16k_l0_big_affine",
            None,
            {"format": "gemma_scope_2", "path": "transcoder_all/layer_12_width_16k_l0_big_affine"},
        ),
        ("mistral-7b-res-wg", "blocks.8.hook_resid_pre", None, {"format": "saelens", "normalize_activations": "constant_norm_rescale"}),
    ],
)
def test_releases_of_the_registry(sae_lens, release, sae_id, width, wanted):
    block = sae_block_of(entry_of(release, sae_id, widths=[width] if width else []), "resid_post", 12, width)
    assert {key: getattr(block, key) for key in wanted} == wanted
    assert block.release is None


@pytest.mark.saelens
def test_what_the_block_says_comes_before_the_registry(sae_lens):
    block = entry_of("mistral-7b-res-wg", "blocks.8.hook_resid_pre", l0=7, norm_scaling_factor=3, normalize_activations="none")
    found = sae_block_of(block, "resid_post", 7, None)
    assert (found.l0, found.norm_scaling_factor, found.normalize_activations) == (7, 3, "none")


@pytest.mark.saelens
@pytest.mark.parametrize(
    ("release", "sae_id", "message"),
    [
        ("gemma-2b-res-jc", "a", "has no release 'gemma-2b-res-jc'. Did you mean 'gemma-2b-res-jb'"),
        ("gemma-2b-res-jb", "blocks.5.hook_resid_post", r"has no SAE 'blocks.5.hook_resid_post'. Did you mean.*It has: blocks.0"),
        ("goodfire-llama-3.1-8b-instruct", "layer_19", "'goodfire' in SAELens.*save_model"),
        ("gemma-2b-res-jb", "{layers}", r"sae.sae_id '\{layers\}': Unknown placeholder"),
    ],
)
def test_releases_that_are_refused(sae_lens, release, sae_id, message):
    with pytest.raises(SaeError, match=message):
        sae_block_of(entry_of(release, sae_id), "resid_post", 12, None)


@pytest.mark.saelens
def test_the_table_is_what_the_recipe_makes(sae_lens):
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("make_releases", Path(__file__).parents[2] / "recipes" / "make_releases.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    assert recipe.TABLE.read_text(encoding="utf-8") == recipe.table()


@pytest.mark.saelens
def test_the_table_against_the_registry_itself(sae_lens):
    """Every row's place is one that the registry has for the row's model, with the factor and, where stated, the L0 of the registry."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    from mosaic_sae.sae.metadata import hook_point

    directory = get_pretrained_saes_directory()
    for release in releases():
        theirs = directory[release.name]
        assert theirs.model in {*release.models, release.models[0].removeprefix("google/")}
        assert theirs.repo_id == release.repo
        ids = {path: sae_id for sae_id, path in theirs.saes_map.items()}
        for layer in release.layers:
            block = release.block(layer)
            sae_id = ids[block.path]
            if release.format == "gemma_scope":
                assert block.path.endswith(
                    f"average_l0_{block.l0:.0f}"
                )  # the maker's own; the registry lacks most and has one typing error
            else:
                assert theirs.expected_l0[sae_id] == block.l0
            if release.format == "saelens":
                assert hook_point(sae_id) == (layer, release.site)
                assert theirs.norm_scaling_factor.get(sae_id) == block.norm_scaling_factor
            else:
                assert re.search(r"(?:layer_?|^l)(\d+)", sae_id)[1] == str(layer)
