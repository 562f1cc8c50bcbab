"""The table of transfer across models, made from the finished points of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sae.config.schema import Experiment, ModelPair
from mosaic_sae.errors import MosaicError
from mosaic_sae.features.binarise import binarise
from mosaic_sae.features.pooling import pool_store
from mosaic_sae.fsio import write_with
from mosaic_sae.pipeline.work import Pairing, Work
from mosaic_sae.probes.representation import as_representation
from mosaic_sae.probes.save import CLASSIFIER, PREDICTIONS, load_classifier
from mosaic_sae.report.names import present
from mosaic_sae.report.tables import FAMILY, mark_chosen, read_results, records
from mosaic_sae.store.reader import DenseStore, LatentStore
from mosaic_sae.transfer.models import model_cell

if TYPE_CHECKING:
    import pandas as pd

MODEL_TRANSFER = "model_transfer.parquet"
_KEPT = ("split", "representation", "classifier", "layer", "sae", "pooling", "binarise", "n_train", "cv_macro_f1", "path")
_TRANSFERABLE = ("sae", "random_sae", "dense_mean", "dense_last", "dense_max")


def write_model_transfer(experiment: Experiment, work: Work, run_folder: Path) -> None:
    """Write ``model_transfer.parquet``, or remove an old one when no pair of models was asked for."""
    import pandas as pd

    results, path = run_folder / "results.parquet", run_folder / MODEL_TRANSFER
    rows: list[dict[str, Any]] = []
    if results.is_file() and experiment.transfer.models:
        frame = read_results(results)
        # The best of each model, not of all models together.
        chosen = mark_chosen(frame, [*FAMILY, "model"])
        chosen = chosen[chosen["chosen"] & chosen["representation"].isin(_TRANSFERABLE)]
        for pair in experiment.transfer.models:
            rows += _pair(experiment, work, chosen, pair)
    if rows:
        table = pd.DataFrame(rows)
        write_with(path, lambda temporary: table.to_parquet(temporary, index=False))
    else:
        path.unlink(missing_ok=True)


def _pair(experiment: Experiment, work: Work, chosen: pd.DataFrame, pair: ModelPair) -> Iterator[dict[str, Any]]:
    import pandas as pd

    base, params = experiment.settings.base_classify_dir, experiment.classification_params
    own = {_family(row): row["path"] for row in records(chosen[chosen["model"] == pair.test])}
    for row in records(chosen[chosen["model"] == pair.train]):
        train, test = (_pairing(work, row["dataset"], name) for name in (pair.train, pair.test))
        split = next(one for one in work.splits[row["dataset"]] if one.name == row["split"])
        assert not isinstance(split.rows, MosaicError)
        predictions = [pd.read_parquet(base / path / PREDICTIONS) if path else None for path in (row["path"], own.get(_family(row)))]
        home = predictions[0]
        assert home is not None
        rows = np.sort(split.rows.test)
        assert home["id"].tolist() == [test.examples.ids[number] for number in rows]
        features = as_representation(_features(row, train, test)).inputs(rows)
        answers = np.asarray(load_classifier(base / row["path"] / CLASSIFIER).predict(features), dtype=str)
        cell = model_cell(answers, home, predictions[1], params.n_bootstrap, experiment.settings.seed)
        yield (
            {"dataset": row["dataset"], "train_model": pair.train, "test_model": pair.test}
            | {name: row[name] for name in _KEPT}
            | asdict(cell)
        )


def _family(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in FAMILY)


def _pairing(work: Work, dataset: str, model: str) -> Pairing:
    return next(one for one in work.pairings if one.examples.name == dataset and one.model.located.name == model)


def _features(row: dict[str, Any], train: Pairing, test: Pairing) -> Any:
    """Return the test model's features [n_rows d] in the form that the trained model's classifier reads."""
    if row["representation"] in ("sae", "random_sae"):
        sae = next(one.sae for one in train.model.readings if one.name == row["sae"])
        name = next(one.name for one in test.model.readings if one.sae.fingerprint == sae.fingerprint)
        pooled = pool_store(LatentStore(test.places.latents[name].folder), row["pooling"])
        return binarise(pooled, float(row["binarise"]) if present(row["binarise"]) else None)
    point = next(one for one in train.model.points if one.layer == row["layer"] and one.site == row["site"])
    return DenseStore(test.places.dense[point].folder).load(row["representation"].removeprefix("dense_"))
