"""How far results move with the batch size, the tokenizer's padding side, the precision and act_only, on the packaged model and SAE.

    python benchmarks/agreement.py [--texts 64] [--short 16] [--threads 2]

Each row is an extraction of its own into an empty folder, compared with the reference: batch_size auto, padding on the right, float32,
act_only false. docs/numbers.md holds the table and says what it means.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from mosaic_sae.config.load import load_experiment
from mosaic_sae.config.schema import Experiment
from mosaic_sae.features.pooling import pool_store_each
from mosaic_sae.models import text
from mosaic_sae.pipeline.extract import extract
from mosaic_sae.pipeline.fit_check import read_check
from mosaic_sae.pipeline.readings import places, resolve_model
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.load import load_examples
from mosaic_sae.store.reader import DenseStore, LatentStore

POOLINGS = ("sum", "mean", "max")
# More than any text of these has, so that (row, position) is one number.
_POSITIONS = 1 << 16


@dataclass(frozen=True)
class Numbers:
    """What one extraction gave."""

    hidden: np.ndarray
    """float32 [n_texts d_model]: mean hidden state of the tokens that count."""
    active: np.ndarray
    """int64 [nnz]: each active (row, position, latent) as one number (``active_pairs``)."""
    pooled: dict[str, np.ndarray]
    """float32 [n_texts d_sae] per pooling."""
    explained_variance: float


@dataclass(frozen=True)
class Difference:
    """How far numbers are from a reference."""

    hidden: np.ndarray
    """float64 [n_texts]: ||x - reference|| / ||reference|| of the mean hidden state."""
    pooled: dict[str, float]
    """Largest |x - reference| per pooling, divided by the largest value of the latent on these texts, which is what a classifier scales it
    by. Latents that are active on other tokens of a text than in the reference are left out of it; ``flipped`` and ``cosine`` have them."""
    flipped: float
    """Share of the (token, latent) pairs active in either that are active in one alone."""
    explained_variance: tuple[float, float]
    """Of the reference and of the other."""
    cosine: float
    """Smallest cosine of a text's pooled latents with the reference's, over texts and poolings."""


def active_pairs(rows: np.ndarray, positions: np.ndarray, latents: np.ndarray, d_sae: int) -> np.ndarray:
    """Number (row, position, latent) triples."""
    return (rows.astype(np.int64) * _POSITIONS + positions) * d_sae + latents


def extracted(experiment: Experiment, examples: Examples, **settings: Any) -> Numbers:
    """Extract with some settings changed, into a folder that is gone afterwards."""
    experiment = experiment.model_copy(update={"settings": experiment.settings.model_copy(update=settings)})
    model = resolve_model(experiment, experiment.models[0])
    name = next(reading.name for reading in model.readings if not reading.is_control)
    with tempfile.TemporaryDirectory() as folder:
        where = places(model, examples, Path(folder), experiment.settings.store_dtype)
        extract(model, examples, where, experiment.settings)
        store = LatentStore(where.latents[name].folder)
        active = []
        for start, shard in store.iter_shards():
            rows = np.repeat(np.arange(start, start + shard.n_rows), np.diff(shard.row_offsets))
            token = np.repeat(np.arange(shard.n_tokens), np.diff(shard.token_offsets))
            active.append(active_pairs(rows[token], shard.positions[token], shard.indices, shard.d_sae))
        return Numbers(
            hidden=DenseStore(where.dense[model.points[0]].folder).load("mean"),
            active=np.concatenate(active),
            pooled={pooling: matrix.toarray() for pooling, matrix in pool_store_each(store, POOLINGS).items()},
            explained_variance=read_check(where, name)["explained_variance"],
        )


def compare(reference: Numbers, other: Numbers) -> Difference:
    """Measure how far ``other`` is from ``reference``."""
    exact, found = reference.hidden.astype(np.float64), other.hidden.astype(np.float64)
    flipped = np.setxor1d(reference.active, other.active)
    n_texts, d_sae = reference.pooled["sum"].shape
    same = np.ones((n_texts, d_sae), dtype=bool)
    same[flipped // d_sae // _POSITIONS, flipped % d_sae] = False
    pooled, cosines = {}, []
    for pooling, want in reference.pooled.items():
        got = other.pooled[pooling]
        scale = np.maximum(want.max(axis=0), got.max(axis=0))
        difference = np.abs(got - want) / np.where(scale > 0, scale, 1)
        pooled[pooling] = float(difference[same].max())
        a, b = want.astype(np.float64), got.astype(np.float64)
        cosines.append(float(((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min()))
    return Difference(
        hidden=np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1),
        pooled=pooled,
        flipped=len(flipped) / len(np.union1d(reference.active, other.active)),
        explained_variance=(reference.explained_variance, other.explained_variance),
        cosine=min(cosines),
    )


@contextmanager
def padding_side(side: str) -> Iterator[None]:
    """Give every model a tokenizer that pads on one side."""
    load = text.load_tokenizer

    def sided(located: Any) -> Any:
        tokenizer = load(located)
        tokenizer.padding_side = side
        return tokenizer

    with patch("mosaic_sae.models.text.load_tokenizer", sided), patch("mosaic_sae.pipeline.readings.load_tokenizer", sided):
        yield


def shortest(examples: Examples, n: int) -> Examples:
    """Keep the ``n`` shortest texts."""
    rows = sorted(np.argsort([len(row) for row in examples.texts], kind="stable")[:n].tolist())
    chosen = {name: [getattr(examples, name)[row] for row in rows] for name in ("ids", "texts", "labels")}
    return replace(examples, **chosen, groups=None, languages=None, splits=None, fields={})


def line(name: str, difference: Difference) -> str:
    """Make one row of the table."""
    reference, other = difference.explained_variance
    cells = [
        name,
        f"{difference.hidden.max():.1e}",
        f"{np.median(difference.hidden):.1e}",
        *(f"{difference.pooled[pooling]:.1e}" for pooling in POOLINGS),
        f"{difference.flipped:.2%}" if difference.flipped > 1e-4 else f"{difference.flipped:.0e}",
        f"{reference:.5f} / {other:.5f}",
        f"{1 - difference.cosine:.0e}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--short", type=int, default=16, help="texts of the bfloat16 row, which most CPUs have to emulate")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    overrides = [f"datasets.0.max_rows={options.texts}", "classification_params.baselines=[]", "settings.dtype=float32"]
    experiment = load_experiment("default", overrides).experiment
    examples = load_examples(experiment.datasets[0], experiment.settings.seed)
    reference = extracted(experiment, examples)
    n_words = [len(row.split()) for row in examples.texts]
    print(f"{len(examples)} texts of {min(n_words)} to {max(n_words)} words, {torch.get_num_threads()} threads\n")
    print("| against the reference | hidden, largest | median | sum | mean | max | flipped | explained variance | 1 - cosine |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(line("the same again", compare(reference, extracted(experiment, examples))), flush=True)
    for batch_size in (1, 8, 64):
        print(line(f"batch_size {batch_size}", compare(reference, extracted(experiment, examples, batch_size=batch_size))), flush=True)
    with patch("mosaic_sae.pipeline.forward.token_budget", lambda _device: 1 << 30):
        print(line(f"all {len(examples)} in one batch", compare(reference, extracted(experiment, examples))), flush=True)
    with padding_side("left"):
        print(line("a tokenizer that pads on the left", compare(reference, extracted(experiment, examples))), flush=True)
    print(line("act_only: true", compare(reference, extracted(experiment, examples, act_only=True))), flush=True)
    short = shortest(examples, options.short)
    exact = extracted(experiment, short)
    print(line(f"bfloat16, {len(short)} shortest texts", compare(exact, extracted(experiment, short, dtype="bfloat16"))), flush=True)


if __name__ == "__main__":
    main()
