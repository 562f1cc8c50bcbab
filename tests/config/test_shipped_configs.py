"""conf.yaml and every preset: valid, and what the user was promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import mosaic_sae
from mosaic_sae.config.lines import parse
from mosaic_sae.config.load import load_behaviour, load_experiment, load_recipe
from mosaic_sae.config.presets import preset_names, preset_path, preset_summary
from mosaic_sae.errors import ConfigError
from mosaic_sae.models.packaged_vision import ADAPTERS
from mosaic_sae.sae.releases import release_block

ROOT = Path(__file__).parents[2]
PRESETS = sorted((Path(mosaic_sae.__file__).parent / "presets").rglob("*.yaml"))


def test_every_preset_is_known_by_name():
    assert len(PRESETS) == 7  # change this number with the presets: it keeps the tests below from silently testing nothing
    assert [preset_path(name) for name in preset_names()] == PRESETS
    with pytest.raises(ConfigError, match="Did you mean 'default'"):
        preset_path("defalt")


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_valid_and_explains_itself(name):
    loaded = load_experiment(name)
    head = loaded.text.split("\n\n")[0].splitlines()
    assert loaded.name == name.rpartition("/")[2]
    assert all(line.startswith("#") for line in head)
    assert any(f"mosaic run {name} " in line for line in head)
    assert any(" -s " in line for line in head)
    assert len(preset_summary(name)) > 20
    assert max(len(line) for line in loaded.text.splitlines()) <= 140


def test_the_seeds_example_is_a_valid_config_key_by_key():
    document = parse((ROOT / "conf.yaml").read_text(encoding="utf-8"))
    assert document.data == {
        "settings": {
            "base_save_dir": "./output/activations",
            "base_classify_dir": "./output/classifications",
            "batch_size": 1,
            "model_type": "llm",
            "sae_location": "res",
            "test_size": 0.2,
            "tree_depth": 5,
            "act_only": True,
            "cuda_visible_devices": "0",
        },
        "models": [{"name": "google/gemma-2b", "layers": [6, 12, 17], "widths": ["16k"]}],
        "datasets": [
            {"name": "Anthropic/election_questions", "config_name": "", "split": "test", "text_field": "question", "label_field": "label"}
        ],
        "classification_params": {
            "top_n_values": [0, 20, 50],
            "binarize_values": [None, 1.0],
            "extra_top_n": -1,
            "extra_binarize_value": None,
        },
    }
    assert yaml.safe_load((ROOT / "conf.yaml").read_text()) == document.data  # other YAML readers see the same
    loaded = load_experiment(ROOT / "conf.yaml")
    poolings = ["sum", "count_top_n(20)", "count_top_n(50)"]
    assert loaded.name == "conf"
    assert loaded.experiment.classification_params.feature_grid == [*((p, b) for p in poolings for b in (None, 1.0)), ("last", None)]


def test_the_default_preset_matches_the_data_that_ships():
    parquet = pytest.importorskip("pyarrow.parquet")
    experiment = load_experiment("default").experiment
    folder = Path(mosaic_sae.__file__).parent / "sources" / "data"
    for entry in experiment.datasets:
        table = parquet.read_table(folder / f"{entry.name.removeprefix('packaged/')}.parquet")
        assert {entry.text_field, entry.label_field, entry.id_field} <= set(table.column_names)
        assert f"{table.num_rows:,}" in preset_path("default").read_text()  # the comments tell how many there are
        for split in entry.splits:
            if split.kind == "holdout":
                assert set(split.test_values) < set(table[split.field].to_pylist())
    assert [split.label for split in experiment.datasets[0].splits] == ["random", "look-alike"]
    assert experiment.datasets[1].max_rows == 3000


@pytest.mark.parametrize("name", preset_names())
def test_presets_read_the_layer_that_each_sae_was_trained_on(name):
    for model in load_experiment(name).experiment.models:
        if model.sae.repo is not None:
            assert f"layer_{model.layers[0]}/" in model.sae.path and len(model.layers) == 1
            continue
        recipe = load_recipe(ROOT / "recipes" / f"{model.sae.path.removeprefix('packaged/')}.yaml")
        # An adapter keeps the language model that its SAE was trained on.
        adapter = ADAPTERS / model.name.removeprefix("packaged/") / "adapter.json"
        name = json.loads(adapter.read_text())["language_model"] if adapter.exists() else model.name
        assert (name, model.layers) == (recipe.model, [recipe.layer])


def test_base_to_instruct_reads_both_models_with_the_sae_of_the_base_model():
    base, instruct = load_experiment("base-to-instruct").experiment.models
    assert instruct.name == f"{base.name}-it"
    assert base.sae == instruct.sae.model_copy(update={"l0": base.sae.l0}) and base.layers == instruct.layers
    known = release_block(base.name, "resid_post", base.layers[0], "16k")
    assert (known.repo, known.path, known.format) == (base.sae.repo, base.sae.path, base.sae.format)


@pytest.mark.parametrize("model", ["gemma", "smollm2"])
def test_behaviour_presets_read_what_the_recipes_write(model):
    asked = load_behaviour(ROOT / "recipes" / f"questions-{model}.yaml")
    experiment = load_experiment(f"behaviour-{model}").experiment
    (entry,) = experiment.datasets
    assert entry.name == (asked.out_dir / f"{asked.name}.parquet").as_posix()
    assert {entry.group_field, entry.splits[1].field} <= set(asked.questions.keep)
    assert asked.model not in [reading.name for reading in experiment.models]  # features of another model than the one that answers


def test_environment_yml_installs_the_pinned_package():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "mosaic"
    *packages, pip = environment["dependencies"]
    assert packages == ["python=3.11", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e ."]}
