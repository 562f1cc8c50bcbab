"""Builders for pipeline tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factories import make_texts
from mosaic_sae.config.schema import Experiment
from mosaic_sae.pipeline.extract import extract
from mosaic_sae.pipeline.readings import ModelReadings, StorePlaces, places, resolve_model
from mosaic_sae.sources.base import Examples
from mosaic_sae.store.reader import LatentStore


def make_examples(texts: list[str], labels: list[str] | None = None, ids: list[str] | None = None) -> Examples:
    """Examples of the given texts; the fingerprint follows the content."""
    from mosaic_sae.fingerprint import fingerprint

    return Examples(
        name="toy",
        ids=ids or [str(row) for row in range(len(texts))],
        texts=texts,
        labels=labels or ["x"] * len(texts),
        groups=None,
        languages=None,
        splits=None,
        fields={},
        fingerprint=fingerprint(texts),
        skipped=[],
        provenance={},
    )


@pytest.fixture
def make_experiment(tiny_model: Path, tiny_sae: Path, tmp_path: Path) -> Callable[..., Experiment]:
    def make(**over: Any) -> Experiment:
        content: dict[str, Any] = {
            "settings": {"base_save_dir": str(tmp_path / "stores"), "base_classify_dir": str(tmp_path / "results"), "shard_rows": 16},
            "models": [{"name": str(tiny_model), "layers": [2], "sae": {"path": str(tiny_sae)}}],
            "datasets": [{"name": "toy", "text_field": "text", "label_field": "label"}],
        }
        for key, value in over.items():
            content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
        return Experiment.model_validate(content)

    return make


@pytest.fixture
def run_extract(make_experiment: Callable[..., Experiment]) -> Callable[..., tuple[ModelReadings, StorePlaces]]:
    def run(examples: Examples, **over: Any) -> tuple[ModelReadings, StorePlaces]:
        experiment = make_experiment(**over)
        model = resolve_model(experiment, experiment.models[0])
        where = places(model, examples, experiment.settings.base_save_dir, experiment.settings.store_dtype)
        extract(model, examples, where, experiment.settings)
        return model, where

    return run


def sae_name(model: ModelReadings) -> str:
    """Name of the one trained SAE."""
    return next(reading.name for reading in model.readings if not reading.is_control)


def dense_rows(store: LatentStore) -> list[np.ndarray]:
    """Token-level latents of each row as a dense matrix [n_tokens, d_sae]."""
    rows = []
    for _, shard in store.iter_shards():
        for r in range(shard.n_rows):
            tokens = range(shard.row_offsets[r], shard.row_offsets[r + 1])
            matrix = np.zeros((len(tokens), shard.d_sae), dtype=np.float32)
            for line, token in zip(matrix, tokens, strict=True):
                pairs = slice(shard.token_offsets[token], shard.token_offsets[token + 1])
                line[shard.indices[pairs]] = shard.values[pairs]
            rows.append(matrix)
    return rows


@pytest.fixture(scope="session")
def toy_texts() -> list[str]:
    return make_texts(50)[0]
