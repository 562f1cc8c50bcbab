"""The real model with the shipped SAE on the packaged data: what the README's figures stand on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mosaic_sae.config.load import load_experiment
from mosaic_sae.fsio import read_json
from mosaic_sae.pipeline.extract import extract
from mosaic_sae.pipeline.fit_check import read_check
from mosaic_sae.pipeline.readings import places, resolve_model
from mosaic_sae.sae.load import PACKAGED_FOLDER
from mosaic_sae.sources.load import load_examples
from mosaic_sae.store.reader import DenseStore, LatentStore

# Least explained variance and least number of different training tokens that were promised of each.
SHIPPED = {"smollm2-135m-instruct-l13": (0.80, 2_000_000), "gemma-3-270m-l9": (0.85, 1_000_000)}


def test_every_shipped_sae_is_looked_at() -> None:
    assert {path.parent.name for path in PACKAGED_FOLDER.glob("*/cfg.json")} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_sae_is_what_its_card_says(name: str) -> None:
    folder, (explained, n_tokens) = PACKAGED_FOLDER / name, SHIPPED[name]
    figures, config = read_json(folder / "figures.json"), read_json(folder / "cfg.json")
    assert config["d_sae"] >= 4608
    assert figures["distinct_training_tokens"] >= n_tokens
    assert figures["explained_variance"] >= explained and figures["l0"] <= 64 and figures["dead_share"] < 0.10
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 16e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{figures['explained_variance']:.3f}" in card and f"{figures['l0']:.1f}" in card
    assert ("Gemma Terms of Use" in card) == name.startswith("gemma")


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_it_fits_texts_it_was_not_trained_on(tmp_path: Path, number: int) -> None:
    experiment = load_experiment("two-models", ["datasets.1.max_rows=200"]).experiment
    examples = load_examples(experiment.datasets[1], 42)
    model = resolve_model(experiment, experiment.models[number])
    where = places(model, examples, tmp_path, "float32")
    extract(model, examples, where, experiment.settings)
    trained, control = (read_check(where, reading.name) for reading in model.readings)
    assert trained["explained_variance"] >= 0.75 and trained["l0"] <= 70
    assert control["explained_variance"] < trained["explained_variance"] - 0.3
    assert control["l0"] == pytest.approx(trained["l0"], rel=0.2)


@pytest.mark.slow
def test_features_of_the_real_model_do_not_depend_on_company(tmp_path: Path) -> None:
    experiment = load_experiment("default", ["datasets.1.max_rows=100", "classification_params.baselines=[]"]).experiment
    examples = load_examples(experiment.datasets[1], 42)
    model = resolve_model(experiment, experiment.models[0])

    def features(batch_size: int, folder: Path) -> tuple[np.ndarray, dict[tuple[int, int], float]]:
        settings = experiment.settings.model_copy(update={"batch_size": batch_size})
        where = places(model, examples, folder, "float32")
        extract(model, examples, where, settings)
        _, shard = next(LatentStore(next(iter(where.latents.values())).folder).iter_shards())
        token = np.repeat(np.arange(shard.n_tokens), np.diff(shard.token_offsets))
        pairs = dict(zip(zip(token.tolist(), shard.indices.tolist(), strict=True), shard.values.tolist(), strict=True))
        return DenseStore(where.dense[model.points[0]].folder).load("mean"), pairs

    (dense_alone, alone), (dense_batched, batched) = features(1, tmp_path / "a"), features(64, tmp_path / "b")
    np.testing.assert_allclose(dense_alone, dense_batched, rtol=1e-4, atol=1e-3)
    # A latent within rounding of its threshold may fire in one order of summation and not in the other.
    assert len(alone.keys() ^ batched.keys()) <= 1e-4 * len(alone)
    shared = sorted(alone.keys() & batched.keys())
    torch.testing.assert_close(
        torch.tensor([alone[key] for key in shared]), torch.tensor([batched[key] for key in shared]), rtol=1e-4, atol=1e-3
    )
