"""The tables of a run's latents: one row per latent that a point uses, and one per use. The app searches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mosaic_sae.explain.card_maker import CardMaker, shares
from mosaic_sae.explain.counts import short
from mosaic_sae.explain.evidence import LATENTS, USES
from mosaic_sae.explain.uses import LatentUse
from mosaic_sae.fsio import write_with


@dataclass(frozen=True)
class PointUses:
    """The latents of one point."""

    point: Mapping[str, Any]
    """Content of its ``point.json``."""
    chosen: bool
    """Whether cross-validation chose it."""
    uses: Sequence[LatentUse]


def use_rows(store: str, points: Sequence[PointUses]) -> list[dict[str, Any]]:
    """Return the rows of ``latent_uses.parquet`` for the points on one store."""
    rows: list[dict[str, Any]] = []
    for of in points:
        about = {"store": store, "fingerprint": of.point["fingerprint"], "chosen": of.chosen}
        about |= {name: of.point["key"][name] for name in ("dataset", "split", "classifier")}
        rows += [about | asdict(use) for use in of.uses]
    return rows


def latent_rows(maker: CardMaker, key: Mapping[str, Any], uses: Sequence[Mapping[str, Any]], saved: set[int]) -> list[dict[str, Any]]:
    """Return the rows of ``latents.parquet`` for one store: every latent that is used, with its best use.

    The best use is the one with the smallest rank, among CV-chosen points if one of them uses the latent.

    Args:
        maker: of the store.
        key: model, layer, site, sae and dataset, as in a point.
        uses: rows of ``use_rows``.
        saved: latents whose cards are saved with the results.
    """
    best: dict[int, Mapping[str, Any]] = {}
    count: dict[int, int] = {}
    for use in sorted(uses, key=lambda use: (not use["chosen"], use["rank"], -abs(use["weight"]), use["fingerprint"])):
        best.setdefault(use["latent"], use)
        count[use["latent"]] = count.get(use["latent"], 0) + 1
    rows = []
    for found in maker.counts(sorted(best)):
        use = best[found.latent]
        rows.append({
            "store": use["store"],
            **{name: key[name] for name in ("dataset", "model", "layer", "site", "sae", "d_sae")},
            "latent": found.latent,
            "label": found.label,
            "top_tokens": [token["piece"] for token in found.top_tokens],
            "n_tokens": found.n_tokens,
            "n_examples": found.n_examples,
            "density_tokens": short(found.n_tokens / max(maker.index.n_tokens, 1)),
            "density_examples": short(found.n_examples / max(maker.index.n_rows, 1)),
            "by_class": _pairs(shares(found.by_class, maker.classes)),
            "by_language": _pairs(shares(found.by_language, maker.languages)) if maker.languages else [],
            "max": short(found.max),
            "n_points": count[found.latent],
            "saved": found.latent in saved,
            **{f"best_{name}": use[name] for name in ("fingerprint", "split", "classifier", "chosen", "label", "weight", "rank")},
        })
    return rows


def write_tables(run_folder: Path, latents: Sequence[Mapping[str, Any]], uses: Sequence[Mapping[str, Any]]) -> None:
    """Write ``latents.parquet`` and ``latent_uses.parquet`` of a run; a table without rows is not there."""
    import pandas as pd

    for name, rows in ((LATENTS, latents), (USES, uses)):
        (run_folder / name).unlink(missing_ok=True)
        if rows:
            frame = pd.DataFrame(rows)
            write_with(run_folder / name, lambda path, frame=frame: frame.to_parquet(path, index=False))  # type: ignore[misc]


def _pairs(by_name: Mapping[str, float]) -> list[dict[str, Any]]:
    # A list, because names differ between datasets and would become columns.
    return [{"name": name, "share": share} for name, share in by_name.items()]
