"""A point on disk as a run leaves it, small and made up: stores with several shards, examples, coefficients, the classifier."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mosaic_sae.config.schema import ClassificationParams
from mosaic_sae.explain.evidence import VERSION, StorePaths
from mosaic_sae.features.binarise import binarise
from mosaic_sae.features.pooling import pool_store
from mosaic_sae.fsio import write_json
from mosaic_sae.pipeline.results import write_results
from mosaic_sae.probes.evaluate import evaluate
from mosaic_sae.probes.save import load_classifier, save_probe
from mosaic_sae.sources.splits import Split
from mosaic_sae.store.by_latent import write_by_latent
from mosaic_sae.store.reader import LatentStore, TokenStore
from mosaic_sae.store.writer import StoreWriter

WORDS = ["<s>", " the", " bomb", " cake", " big", " red", "<b>", " &", "\u202e", " שלום", "👩", "\n"]
D_SAE, SHARD = 24, 16
LATENTS, TOKENS = "a" * 16, "b" * 16


@dataclass
class StoredPoint:
    base: Path
    folder: Path
    features: Any
    """CSR float32 [n, d_sae]: what the classifier was fitted on."""
    classifier: Any
    """As loaded from skops."""
    labels: list[str]
    split: Split
    tokens: list[list[int]]
    stores: StorePaths


def make_stores(folder: Path, n: int, n_classes: int, seed: int = 0) -> tuple[StorePaths, list[str], list[list[int]]]:
    """Texts of 0 to 9 counted tokens after a "<s>" that does not count; class c makes latent 3 + c fire loudly."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(n) % n_classes)
    labels = [f"<{'abc'[c]}>" for c in classes]
    latents = StoreWriter(folder / "latents", "latents", LATENTS, n, SHARD, {"d_sae": D_SAE, "sae": "toy"})
    tokens = StoreWriter(folder / "tokens", "tokens", TOKENS, n, SHARD, {})
    all_ids = []
    for number, (start, stop) in enumerate(latents.ranges):
        lengths, positions, pairs, ids = [], [], [], []
        for row in range(start, stop):
            length = int(rng.integers(1, 10)) if row != 5 else 0  # example 5 keeps no token
            ids.append([0, *rng.integers(1, len(WORDS), length).tolist()])
            lengths.append(length)
            positions += range(1, length + 1)
            for _ in range(length):
                token = {int(i): float(rng.gamma(1.0)) for i in rng.choice(D_SAE, rng.integers(0, 7), replace=False)}
                if rng.random() < 0.5:
                    token[3 + int(classes[row])] = float(2 + rng.gamma(2.0))
                pairs.append(sorted(token.items()))
        flat = [pair for token in pairs for pair in token]
        arrays = {
            "row_offsets": np.cumsum([0, *lengths]).astype(np.int64),
            "positions": np.array(positions, dtype=np.int32),
            "token_offsets": np.cumsum([0, *map(len, pairs)]).astype(np.int64),
            "indices": np.array([i for i, _ in flat], dtype=np.uint16),
            "values": np.array([v for _, v in flat], dtype=np.float32),
        }
        latents.write(number, arrays, {"tokens": len(positions), "nnz": len(flat)})
        offsets = np.cumsum([0, *map(len, ids)]).astype(np.int64)
        flat_ids = np.array([token for row in ids for token in row], dtype=np.int32)
        tokens.write(number, {"row_offsets": offsets, "token_ids": flat_ids, "truncated": np.zeros(len(ids), np.uint8)}, {})
        all_ids += ids
    latents.finish()
    tokens.finish()
    token_store = TokenStore(folder / "tokens")
    token_store.write_pieces(lambda ids: "".join(WORDS[i] for i in ids))
    write_by_latent(LatentStore(folder / "latents"), token_store)
    table = pa.table({
        "id": [f"e<{i}>" for i in range(n)],
        "text": ["".join(WORDS[t] for t in row[1:]) for row in all_ids],
        "label": labels,
        "language": ["xx"] * n,
    })
    pq.write_table(table, folder / "examples.parquet", row_group_size=10)
    return StorePaths(folder / "latents", folder / "tokens", folder / "examples.parquet"), labels, all_ids


def write_cards(base: Path, stores: StorePaths, cards: dict[str, Any]) -> None:
    """Write the file of saved cards."""
    paths = {name: os.path.relpath(path, base) for name, path in vars(stores).items()}
    about = {"version": VERSION, "store": LATENTS, "d_sae": D_SAE, "sae": "toy", "dataset": "d<i>"}
    write_json(base / "evidence" / f"{LATENTS}.json", about | {"paths": paths, "latents": cards})


def make_point(
    tmp: Path,
    classifier: str = "logistic",
    pooling: str = "sum",
    threshold: float | None = None,
    penalty: str = "l2",
    n_classes: int = 2,
    n: int = 80,
    fingerprint: str = "0123456789abcdef",
) -> StoredPoint:
    """Fit and save one point below ``tmp/results``; its stores lie in ``tmp/stores``."""
    stores, labels, tokens = make_stores(tmp / "stores", n, n_classes)
    base = tmp / "results"
    write_cards(base, stores, {})
    features = binarise(pool_store(LatentStore(stores.latents), pooling), threshold)
    order = np.random.default_rng(1).permutation(n)
    split = Split("random", np.sort(order[: n // 2]), np.sort(order[n // 2 :]))
    params = ClassificationParams(cv_folds=3, n_bootstrap=100, penalties=[penalty], c_values=[1.0])
    ids, units = [f"e<{i}>" for i in range(n)], [f"u{i}" for i in range(n)]
    result = evaluate(features, split, labels, units, ids, classifier, params, 3, 0)
    folder = base / "points" / f"{classifier}-{fingerprint}"
    save_probe(result, folder, ids, units)
    key = {
        "representation": "sae",
        "classifier": classifier,
        "pooling": pooling,
        "binarise": threshold,
        "sae": "toy",
        "d_sae": D_SAE,
        "model": "tiny",
        "layer": 2,
        "site": "resid_post",
        "dataset": "d<i>",
        "split": "random",
    }
    header = {"schema": 1, "fingerprint": fingerprint, "key": key, "provenance": {"latent_store": LATENTS}}
    write_json(folder / "point.json", header | result.to_point())
    return StoredPoint(base, folder, features, load_classifier(folder / "classifier.skops"), labels, split, tokens, stores)


def make_run(stored: list[StoredPoint], name: str = "toy") -> Path:
    """Write the folder of a run that lists these points, all of one folder of results."""
    base = stored[0].base
    write_results([point.folder for point in stored], base, base / name, 100, 0)
    size = len(stored[0].labels)
    sizes = {"train": len(stored[0].split.train), "test": len(stored[0].split.test), "notes": {}}
    about = {"name": "d<i>", "rows": size, "skipped": 0, "classes": {}, "splits": {"random": sizes}}
    content = {"schema": 1, "name": name, "status": "done", "started": "2026-11-25T19:00:00+00:00", "finished": "2026-11-25T19:01:00+00:00"}
    more = {"points": {"done": len(stored), "skipped": 0, "failed": []}, "datasets": [about], "models": [], "versions": {}, "git": None}
    write_json(base / name / "run.json", content | more)
    return base / name
