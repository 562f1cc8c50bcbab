"""How long one explanation takes on a store of many texts: ``python benchmarks/explanations.py [N_TEXTS]``.

The store is made up: every shard holds the same 4,096 random texts, 24 tokens each with 40 of 16,384 latents active.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mosaic_sae.explain.evidence import VERSION
from mosaic_sae.explain.example import explain_example
from mosaic_sae.fsio import write_json
from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.probes.save import COEFFICIENTS, PREDICTIONS, save_coefficients
from mosaic_sae.store.reader import TokenStore
from mosaic_sae.store.writer import StoreWriter

SHARD, N_TOKENS, N_ACTIVE, D_SAE, N_CARDS, N_ASKED = 4096, 24, 40, 16_384, 600, 200
LATENTS = "a" * 16
CARD_TEXT = {
    "id": "x",
    "label": "0",
    "language": None,
    "value": 1.0,
    "pieces": [" word"] * 24,
    "acts": [0.5] * 24,
    "at": 3,
    "cut": [True, True],
}


def make_stores(base: Path, n_texts: int) -> None:
    """Write the latent store, the token store and the examples."""
    rng = np.random.default_rng(0)
    n = SHARD * N_TOKENS
    active = np.sort(rng.integers(0, D_SAE // N_ACTIVE, (n, N_ACTIVE)) + np.arange(N_ACTIVE) * (D_SAE // N_ACTIVE), axis=1)
    values = rng.gamma(2.0, size=n * N_ACTIVE).astype(np.float16) + np.float16(0.01)
    ids = rng.integers(0, 30_000, SHARD * (N_TOKENS + 1)).astype(np.int32)
    latents = StoreWriter(base / "latents", "latents", LATENTS, n_texts, SHARD, {"d_sae": D_SAE, "sae": "made-up"})
    tokens = StoreWriter(base / "tokens", "tokens", "b" * 16, n_texts, SHARD, {})
    for number, (start, stop) in enumerate(latents.ranges):
        rows = stop - start
        kept = rows * N_TOKENS
        arrays = {
            "row_offsets": np.arange(rows + 1, dtype=np.int64) * N_TOKENS,
            "positions": np.tile(np.arange(1, N_TOKENS + 1, dtype=np.int32), rows),
            "token_offsets": np.arange(kept + 1, dtype=np.int64) * N_ACTIVE,
            "indices": active[:kept].ravel().astype(np.uint16),
            "values": values[: kept * N_ACTIVE],
        }
        latents.write(number, arrays, {"tokens": kept, "nnz": kept * N_ACTIVE})
        offsets = np.arange(rows + 1, dtype=np.int64) * (N_TOKENS + 1)
        tokens.write(number, {"row_offsets": offsets, "token_ids": ids[: offsets[-1]], "truncated": np.zeros(rows, np.uint8)}, {})
    latents.finish()
    tokens.finish()
    TokenStore(base / "tokens").write_pieces(lambda one: f" w{one[0]}")
    table = {
        "id": [f"text-{i}" for i in range(n_texts)],
        "text": ["some words of a text " * 6] * n_texts,
        "label": [str(i % 2) for i in range(n_texts)],
    }
    pd.DataFrame(table).to_parquet(base / "examples.parquet", index=False, row_group_size=SHARD)


def make_point(base: Path, n_texts: int) -> Path:
    """Write a logistic point with a weight for every latent, its predictions and saved cards."""
    rng = np.random.default_rng(1)
    folder = base / "results/points/made-up"
    folder.mkdir(parents=True)
    every = np.arange(D_SAE, dtype=np.int32)
    save_coefficients(
        Coefficients(["0", "1"], every, rng.normal(size=(1, D_SAE)), np.zeros(1), np.full(D_SAE, 40.0)), folder / COEFFICIENTS
    )
    test = range(0, n_texts, 4)
    predictions = {"id": [f"text-{i}" for i in test], "label": "0", "predicted": "0", "p_0": 1.0, "p_1": 0.0}
    pd.DataFrame(predictions).to_parquet(folder / PREDICTIONS, index=False)
    key = {"representation": "sae", "classifier": "logistic", "pooling": "mean", "binarise": None, "sae": "made-up", "d_sae": D_SAE}
    point = {"fingerprint": "c" * 16, "key": key, "classes": ["0", "1"], "hyperparameters": {"penalty": "l2"}, "tree": None}
    write_json(folder / "point.json", point | {"provenance": {"latent_store": LATENTS}})
    card = {
        "top_tokens": [{"piece": " word", "count": 3, "mean": 1.0}] * 10,
        "examples": [CARD_TEXT] * 8,
        "random_examples": [CARD_TEXT] * 8,
    }
    paths = {"latents": "../latents", "tokens": "../tokens", "examples": "../examples.parquet"}
    cards = {str(latent): card for latent in range(N_CARDS)}
    evidence = {"version": VERSION, "store": LATENTS, "sae": "made-up", "dataset": "made-up", "paths": paths, "latents": cards}
    write_json(base / "results/evidence" / f"{LATENTS}.json", evidence)
    return folder


def main() -> None:
    """Make the store, explain random examples, print how long it took."""
    n_texts = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        make_stores(base, n_texts)
        folder = make_point(base, n_texts)
        walls, cpus = [], []
        for row in np.random.default_rng(2).integers(0, n_texts, N_ASKED).tolist():
            wall, cpu = time.perf_counter(), time.process_time()
            explain_example(base / "results", folder, f"text-{row}")
            walls.append(1000 * (time.perf_counter() - wall))
            cpus.append(1000 * (time.process_time() - cpu))
    for what, times in (("wall", walls), ("processor", cpus)):
        later = times[1:]
        print(f"{what} ms on {n_texts:,} texts: first {times[0]:.0f}, then p50 {np.median(later):.0f}, p95 {np.percentile(later, 95):.0f}")


if __name__ == "__main__":
    main()
