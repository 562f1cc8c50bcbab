"""The SAE decides the site within its location, and every store follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_checks import dense_rows, make_examples, sae_name
from transformers import AutoModel, AutoTokenizer

from factories import make_model, make_sae
from mosaic_sae.errors import ModelError, SaeError
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.loading import Loading
from mosaic_sae.pipeline.readings import places, resolve_model
from mosaic_sae.sae.formats import saelens
from mosaic_sae.store.reader import DenseStore, LatentStore

TEXTS = ["how to make a bomb", "a nice garden . a cake", "the poison"]
# Two heads of 12 side by side are wider than d_model, 16.
D_HEADS = 24


@pytest.fixture(scope="module")
def wide_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "wide", head_dim=12)


def seen_by_transformers(folder: Path, module: str, reads_input: bool) -> list[torch.Tensor]:
    """What a module of the untouched model takes or gives for each text, BOS in front and left out of the result."""
    model, tokenizer = AutoModel.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)
    found: list[torch.Tensor] = []
    part = model.get_submodule(module)
    if reads_input:
        part.register_forward_pre_hook(lambda _module, args: found.append(args[0][0, 1:]))
    else:
        part.register_forward_hook(lambda _module, _args, output: found.append(output[0, 1:]))
    with torch.no_grad():
        for text in TEXTS:
            model(torch.tensor([[1, *tokenizer(text).input_ids]]))
    return found


@pytest.mark.parametrize(
    ("location", "hook_name", "module", "reads_input", "width"),
    [
        ("res", "blocks.2.hook_resid_pre", "layers.1", False, 16),
        ("res", "blocks.2.hook_resid_mid", "layers.2.post_attention_layernorm", True, 16),
        ("mlp", "blocks.2.mlp.hook_in", "layers.2.post_attention_layernorm", False, 16),
        ("att", "model.layers.2.self_attn.o_proj.input", "layers.2.self_attn.o_proj", True, D_HEADS),
    ],
)
@pytest.mark.parametrize("act_only", [False, True])
def test_stores_hold_the_site_that_the_sae_names(
    run_extract: Callable[..., Any],
    wide_heads: Path,
    tmp_path: Path,
    location: str,
    hook_name: str,
    module: str,
    reads_input: bool,
    width: int,
    act_only: bool,
) -> None:
    sae = make_sae(tmp_path / "sae", d_model=width, hook_name=hook_name)
    model, where = run_extract(
        make_examples(TEXTS),
        settings={"sae_location": location, "act_only": act_only, "dtype": "float32"},
        models=[{"name": str(wide_heads), "layers": [2], "sae": {"path": str(sae)}}],
    )
    (point,) = model.points
    acts = seen_by_transformers(wide_heads, module, reads_input)
    dense = DenseStore(where.dense[point].folder)
    np.testing.assert_allclose(dense.load("mean"), torch.stack([one.mean(0) for one in acts]), atol=1e-4)
    np.testing.assert_allclose(dense.load("last"), torch.stack([one[-1] for one in acts]), atol=1e-4)
    arrays = saelens.read(sae, "a").arrays
    for row, one in zip(dense_rows(LatentStore(where.latents[sae_name(model)].folder)), acts, strict=True):
        z = (one - arrays["b_dec"]) @ arrays["W_enc"] + arrays["b_enc"]
        np.testing.assert_allclose(row, torch.relu(z) * (z > arrays["threshold"]), atol=1e-3)


def test_the_layer_of_resid_pre_is_its_own(make_experiment: Callable[..., Any], tiny_model: Path, tmp_path: Path) -> None:
    path = make_sae(tmp_path / "sae", hook_name="blocks.2.hook_resid_pre")

    def resolve(layer: int, location: str = "res") -> Any:
        models = [{"name": str(tiny_model), "layers": [layer], "sae": {"path": str(path)}}]
        experiment = make_experiment(models=models, settings={"sae_location": location})
        return resolve_model(experiment, experiment.models[0])

    assert resolve(2).points == (HookPoint(2, "resid_pre"),)
    with pytest.raises(SaeError, match=r"hook_resid_pre' \(layer 2, resid_pre\), but the config asks for layer 1, .*layers: \[2\]"):
        resolve(1)
    with pytest.raises(SaeError, match="sae_location: res"):
        resolve(2, "att")


def test_the_width_is_compared_at_the_site(make_experiment: Callable[..., Any], wide_heads: Path, tmp_path: Path) -> None:
    path = make_sae(tmp_path / "sae", hook_name="blocks.2.attn.hook_z")
    experiment = make_experiment(
        models=[{"name": str(wide_heads), "layers": [2], "sae": {"path": str(path)}}], settings={"sae_location": "att"}
    )
    with pytest.raises(SaeError, match=r"of width 16, but those of .* at blocks\.2\.attn\.hook_z have width 24"):
        resolve_model(experiment, experiment.models[0])


def test_a_raw_output_is_refused_where_a_norm_follows(
    make_experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mosaic_sae.pipeline import readings

    experiment = make_experiment(settings={"sae_location": "mlp"})
    entry = experiment.models[0]
    path = make_sae(tmp_path / "sae", hook_name="blocks.2.mlp.hook_out")
    entry = entry.model_copy(update={"sae": entry.sae.model_copy(update={"path": str(path)})})
    assert resolve_model(experiment, entry).points == (HookPoint(2, "mlp_out"),)
    locate = readings.locate_model
    monkeypatch.setattr(readings, "locate_model", lambda *args: dataclasses.replace(locate(*args), family="gemma2"))
    with pytest.raises(SaeError, match=r"mlp\.hook_out', but .* after that norm \(blocks\.2\.hook_mlp_out\)"):
        resolve_model(experiment, entry)


def test_fingerprints_follow_what_changes_the_numbers(make_experiment: Callable[..., Any]) -> None:
    experiment = make_experiment()
    model, examples = resolve_model(experiment, experiment.models[0]), make_examples(TEXTS)

    def of(loading: Loading) -> tuple[str, ...]:
        changed = places(dataclasses.replace(model, loading=loading), examples, Path("x"), "float32")
        (point,) = model.points
        return changed.tokens.fingerprint, changed.activations[point].fingerprint, changed.latents[sae_name(model)].fingerprint

    plain = of(Loading())
    assert of(Loading(device_map="auto")) == plain
    four, eight = of(Loading(quantisation="4bit")), of(Loading(quantisation="8bit"))
    assert four[0] == eight[0] == plain[0]
    assert len({four[1], eight[1], plain[1]}) == len({four[2], eight[2], plain[2]}) == 3


def test_the_entry_reaches_the_loader(run_extract: Callable[..., Any], tiny_model: Path, tiny_sae: Path) -> None:
    entry = {"name": str(tiny_model), "layers": [2], "sae": {"path": str(tiny_sae)}}
    with pytest.raises(ModelError, match="quantisation is 4bit, which needs a CUDA device"):
        run_extract(make_examples(TEXTS), models=[entry | {"quantisation": "4bit"}], settings={"device": "cpu"})
    with pytest.raises(ModelError, match=r"no list of 4 blocks at 'nowhere'"):
        run_extract(make_examples(TEXTS), models=[entry | {"blocks": "nowhere"}])
