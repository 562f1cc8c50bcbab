"""Stores of texts and pictures: what is pooled, with any batch beside it, resumed, and from kept activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_checks import dense_rows, make_examples, sae_name

from factories import make_sae, make_texts
from mosaic_sae.config.schema import Experiment
from mosaic_sae.errors import ConfigError
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.models.hook_points import VISION_TOWER, HookPoint
from mosaic_sae.models.vision import VisionLanguageModel
from mosaic_sae.pipeline.doctor import diagnose
from mosaic_sae.pipeline.extract import extract
from mosaic_sae.pipeline.readings import ModelReadings, StorePlaces, places, resolve_model
from mosaic_sae.pipeline.work import _check_inputs
from mosaic_sae.sae.formats import saelens
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.images import Picture
from mosaic_sae.store.format import read_manifest
from mosaic_sae.store.reader import DenseStore, LatentStore
from vision_models import TINY, make_picture, make_vision_model

LAYER = 1
IDEFICS, QWEN = (next(tiny for tiny in TINY if tiny.name == name) for name in ("idefics3", "qwen2_vl"))


@pytest.fixture(scope="module", params=[IDEFICS, QWEN], ids=str)
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a model whose pictures differ in their number of tokens, and of an SAE for it."""
    folder = tmp_path_factory.mktemp("pictures")
    return make_vision_model(folder / "model", request.param), make_sae(folder / "sae", LAYER)


@pytest.fixture
def experiment(parts: tuple[Path, Path], tmp_path: Path) -> Callable[..., Experiment]:
    def make(**over: Any) -> Experiment:
        content: dict[str, Any] = {
            "settings": {"base_save_dir": str(tmp_path / "stores"), "shard_rows": 7, "model_type": "vlm", "dtype": "float32"},
            "models": [{"name": str(parts[0]), "layers": [LAYER], "sae": {"path": str(parts[1])}}],
            "datasets": [{"name": "toy", "image_field": "picture", "text_field": "text", "label_field": "label"}],
            "classification_params": {"baselines": ["vision_tower"]},
        }
        for key, value in over.items():
            content[key] = {**content.get(key, {}), **value}
        return Experiment.model_validate(content)

    return make


def examples(n: int = 8) -> Examples:
    """Rows with a text, a picture (of two shapes), or both, in turn."""
    texts, _ = make_texts(n, seed=3)
    pictures: list[Picture | None] = [
        None if row % 3 == 0 else make_picture(60 if row % 2 else 40, 30 if row % 2 else 40, row) for row in range(n)
    ]
    texts = ["" if row % 3 == 1 else text for row, text in enumerate(texts)]
    content = fingerprint([texts, [one.sha256 if one else "" for one in pictures]])
    return dataclasses.replace(make_examples(texts), pictures=pictures, fingerprint=content)


def run(experiment: Experiment, rows: Examples) -> tuple[ModelReadings, StorePlaces]:
    model = resolve_model(experiment, experiment.models[0])
    where = places(model, rows, experiment.settings.base_save_dir, "float32")
    extract(model, rows, where, experiment.settings)
    return model, where


def stored(model: ModelReadings, where: StorePlaces) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    latents = dense_rows(LatentStore(where.latents[sae_name(model)].folder))
    return latents, DenseStore(where.dense[HookPoint(LAYER)].folder).load("mean"), DenseStore(where.dense[VISION_TOWER].folder).load("mean")


def test_stores_hold_what_each_row_gives_alone(experiment, parts: tuple[Path, Path]) -> None:
    rows = examples()
    readings, where = run(experiment(), rows)
    latents, mean, tower = stored(readings, where)
    model = VisionLanguageModel(readings.located, [HookPoint(LAYER), VISION_TOWER], "cpu", "float32")
    sae = saelens.read(parts[1], "tiny")
    image_token = model.model.config.image_token_id
    for row, (text, picture) in enumerate(zip(rows.texts, rows.pictures, strict=True)):
        (piece,) = model.tokenise([text], readings.policy, [picture]).pieces[0]
        found = model.capture_pieces([piece])
        # Counting by hand: of a picture its image tokens, of a text all but BOS.
        counts = piece.ids == image_token if picture else np.arange(len(piece.ids)) > 0
        states = found[HookPoint(LAYER)][0][torch.from_numpy(counts)]
        np.testing.assert_allclose(mean[row], states.mean(0), atol=1e-4)
        pre = (states - sae.b_dec) @ sae.W_enc + sae.b_enc
        np.testing.assert_allclose(latents[row], pre * (pre > sae.threshold), atol=1e-3)
        expected = found[VISION_TOWER][0, 0] if picture else torch.zeros(tower.shape[1])
        np.testing.assert_allclose(tower[row], expected, atol=1e-4)


def test_the_batch_beside_a_row_and_kept_activations_change_nothing(experiment, tmp_path: Path) -> None:
    expected = stored(*run(experiment(), examples()))
    for name, over in {"one": {"batch_size": 1}, "kept": {"act_only": True, "shard_rows": 64}}.items():
        found = stored(*run(experiment(settings=over | {"base_save_dir": str(tmp_path / name)}), examples()))
        for ours, theirs in zip(found[0], expected[0], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-4)
        np.testing.assert_allclose(found[2], expected[2], atol=1e-4)


def test_portions_within_a_shard_change_nothing_and_a_lost_shard_is_made_again(experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = experiment(settings={"shard_rows": 64})
    readings, where = run(setup, examples())
    folders = [place.folder for place in (where.tokens, where.dense[VISION_TOWER], where.latents[sae_name(readings)])]
    before = [(folder / "shard-00000.safetensors").read_bytes() for folder in folders]
    expected = stored(readings, where)
    for folder in folders:
        (folder / "shard-00000.safetensors").unlink()
    monkeypatch.setattr(VisionLanguageModel, "rows_at_once", 3)
    run(setup, examples())
    assert (folders[0] / "shard-00000.safetensors").read_bytes() == before[0]
    for ours, theirs in zip(stored(readings, where), expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_store_follows_pool_prompt_and_pictures(experiment) -> None:
    def fingerprints(rows: Examples, pool: str = "auto", prompt: str = "") -> tuple[str, str]:
        setup = experiment(tokens={"pool": pool})
        entry = setup.models[0].model_copy(update={"prompt": prompt})
        where = places(resolve_model(setup, entry), rows, Path("x"), "float32")
        return where.tokens.fingerprint, where.dense[VISION_TOWER].fingerprint

    base = fingerprints(examples())
    assert fingerprints(examples()) == base
    for other in (fingerprints(examples(), pool="all"), fingerprints(examples(), prompt="nice")):
        assert other[0] != base[0]
        assert other[1] == base[1]  # the tower sees the picture alone
    assert fingerprints(examples(9))[1] != base[1]


def test_tokens_are_counted_with_the_picture_s(experiment) -> None:
    readings, where = run(experiment(tokens={"pool": "all"}), examples(6))
    totals = read_manifest(where.tokens.folder)["totals"]
    latents = read_manifest(where.latents[sae_name(readings)].folder)["totals"]
    assert totals["tokens"] > totals["content"] == latents["tokens"] > 0
    assert latents["rows_without_tokens"] == 0


def test_the_doctor_looks_at_the_pictures(experiment) -> None:
    setup = experiment()
    rows = examples(6)
    (one,) = diagnose(setup, setup.models[0], rows.texts, rows.pictures)
    # Row 0 is a text of n tokens; some of the others are pictures, whose tokens are measured too.
    alone = diagnose(setup, setup.models[0], [rows.texts[0]], [None])[0]
    assert one.measured.quality.n_tokens > alone.measured.quality.n_tokens
    assert one.measured.other_bos is None


def test_rows_of_which_nothing_would_count_are_refused(experiment) -> None:
    rows = examples()
    with pytest.raises(ConfigError, match=r"tokens\.pool is image, but 3 rows of toy have no picture\. Use pool: auto"):
        _check_inputs(experiment(tokens={"pool": "image"}), rows)
    with pytest.raises(ConfigError, match=r"tokens\.pool is text, but 3 rows of toy have a picture alone and models\.prompt of .* empty"):
        _check_inputs(experiment(tokens={"pool": "text"}), rows)
    _check_inputs(experiment(tokens={"pool": "all"}), rows)
