"""Which layer to read: cross-validated scores of pooled hidden states at every layer, from the training rows of one language.

    python benchmarks/layers.py [languages] [--language en] [--folds 5]

Reads the model and the dataset of a config (the preset languages unless another is named) in one pass over all layers. Test rows are
not read at all, nor are other languages: a layer chosen by this table is chosen on that language's training part alone.
"""

from __future__ import annotations

import argparse

import numpy as np

from mosaic_sae.config.load import load_experiment
from mosaic_sae.config.schema import SplitSpec
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import TextModel, load_tokenizer, make_policy
from mosaic_sae.pipeline.forward import run_rows
from mosaic_sae.pipeline.sinks import DenseSink
from mosaic_sae.probes import logistic
from mosaic_sae.probes.representation import as_representation
from mosaic_sae.probes.selection import GridCell, choose, make_folds
from mosaic_sae.sources.domains import domain_splits
from mosaic_sae.sources.load import load_examples
from mosaic_sae.sources.units import duplicate_units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="languages")
    parser.add_argument("--language", default="en")
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()

    experiment = load_experiment(arguments.config).experiment
    entry, settings = experiment.datasets[0], experiment.settings
    params = experiment.classification_params.model_copy(update={"penalties": ["l2"]})
    examples = load_examples(entry, settings.seed)
    spec = SplitSpec(kind="language", languages=[arguments.language])
    (split,) = domain_splits(examples, spec, settings.test_size, settings.seed)
    rows = split.rows.train
    texts, labels = [examples.texts[row] for row in rows], [examples.labels[row] for row in rows]
    units = duplicate_units(examples)

    located = locate_model(experiment.models[0].name)
    points = [HookPoint(layer, "resid_post") for layer in range(located.n_layers)]
    model = TextModel(located, points, settings.device, settings.dtype)
    policy = make_policy(load_tokenizer(located), located, None, experiment.tokens, experiment.models[0].chat)
    sinks = {point: DenseSink(len(rows), model.d_model) for point in points}
    for _, batches in run_rows(model, model.tokenise(texts, policy), [examples.ids[row] for row in rows], None):
        for point, batch in batches.items():
            sinks[point].add(batch)

    classes, y = np.unique(labels, return_inverse=True)
    folds, _ = make_folds(np.arange(len(rows)), labels, [units[row] for row in rows], arguments.folds, settings.seed)
    print(f"{located.name} on {entry.name}: {len(rows):,} training rows in {arguments.language}, macro F1 in {len(folds)} folds (sd)")
    print("| layer | mean hidden state | max hidden state |\n|---|---|---|")
    for point in points:
        arrays, _ = sinks[point].arrays()
        best = [_best(arrays[pooling], y, len(classes), folds, params, settings.seed) for pooling in ("mean", "max")]
        print(f"| {point.layer} | " + " | ".join(f"{cell.mean:.3f} ({cell.sd:.3f})" for cell in best) + " |", flush=True)


def _best(x: np.ndarray, y: np.ndarray, n_classes: int, folds: list, params: object, seed: int) -> GridCell:
    grid, _ = logistic.score_grid(as_representation(x), y, n_classes, folds, params, seed)  # type: ignore[arg-type]
    return choose(grid)


if __name__ == "__main__":
    main()
