"""By-latent indexes of the stores, and cards and tables of the latents that a run's points use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae.explain.evidence import StorePaths
from mosaic_sae.explain.latent_table import PointUses, latent_rows, use_rows, write_tables
from mosaic_sae.explain.save_cards import write_evidence
from mosaic_sae.explain.uses import uses_of
from mosaic_sae.fsio import read_json
from mosaic_sae.log import Progress
from mosaic_sae.pipeline.extract import only_one_writer
from mosaic_sae.pipeline.grid import Point
from mosaic_sae.pipeline.layout import evidence_path
from mosaic_sae.pipeline.readings import Reading
from mosaic_sae.pipeline.work import Pairing, Work
from mosaic_sae.probes.save import COEFFICIENTS, load_coefficients
from mosaic_sae.store.by_latent import has_index, write_by_latent
from mosaic_sae.store.reader import LatentStore, TokenStore

logger = logging.getLogger(__name__)


def missing_indexes(work: Work) -> list[tuple[Pairing, Reading]]:
    """Stores that have no by-latent index yet. Random controls get none: nobody asks what a random direction means."""
    return [
        (pairing, reading)
        for pairing in work.pairings
        for reading in pairing.model.readings
        if not reading.is_control and not has_index(pairing.places.latents[reading.name].folder)
    ]


def index_stores(work: Work) -> None:
    """Make the by-latent indexes that are missing, of complete stores."""
    missing = missing_indexes(work)
    if not missing:
        return
    with Progress("Indexing by latent", len(missing), "stores") as progress:
        for pairing, reading in missing:
            with only_one_writer(pairing.places):
                tokens = TokenStore(pairing.places.tokens.folder)
                tokens.write_pieces(pairing.model.tokenizer.decode)
                write_by_latent(LatentStore(pairing.places.latents[reading.name].folder), tokens)
            progress.add(1)


def collect_evidence(work: Work, base: Path, run_folder: Path) -> None:
    """Save the cards of the latents that points list, and the tables of all latents that they use.

    Args:
        work: with complete, indexed stores.
        base: ``base_classify_dir``.
        run_folder: holds ``results.parquet``; the tables go there.
    """
    results = run_folder / "results.parquet"
    if not results.is_file():
        return
    frame = pd.read_parquet(results, columns=["fingerprint", "chosen"])
    chosen = set(frame.loc[frame["chosen"], "fingerprint"])
    latents: list[dict[str, Any]] = []
    uses: list[dict[str, Any]] = []
    for pairing in work.pairings:
        for reading in pairing.model.readings:
            points = [_point_uses(point, chosen) for point in pairing.points if _reads(point, reading)]
            if not any(point.uses for point in points):
                continue
            place = pairing.places.latents[reading.name]
            store = LatentStore(place.folder)
            paths = StorePaths(place.folder, pairing.places.tokens.folder, pairing.places.examples)
            maker = paths.open()
            about = {"sae": reading.name, "dataset": pairing.examples.name}
            listed = {latent for of in points for latent in listed_latents(of.point)}
            w_dec = reading.sae.W_dec.cpu().numpy()
            evidence = write_evidence(evidence_path(base, place.fingerprint), store, paths, maker, w_dec, listed, about)
            rows = use_rows(place.fingerprint, points)
            saved = {int(latent) for latent in evidence["latents"]}
            latents += latent_rows(maker, points[0].point["key"], rows, saved)
            uses += rows
    write_tables(run_folder, latents, uses)


def listed_latents(point: Mapping[str, Any]) -> set[int]:
    """Latents that a point's page shows: the strongest of a probe, and those that a tree asks for."""
    nodes = point["tree"]["nodes"] if point["tree"] else []
    return {top["latent"] for top in point["top_latents"]} | {node["latent"] for node in nodes if node["latent"] is not None}


def _reads(point: Point, reading: Reading) -> bool:
    return point.key["sae"] == reading.name and point.key["representation"] == "sae" and point.is_done


def _point_uses(point: Point, chosen: set[str]) -> PointUses:
    content = read_json(point.folder / "point.json")
    is_chosen = point.fingerprint in chosen
    # All weights of the chosen probes, the strongest of the others: a dense probe has thousands.
    weights = point.folder / COEFFICIENTS
    coefficients = load_coefficients(weights) if is_chosen and weights.is_file() else None
    return PointUses(content, is_chosen, uses_of(content, coefficients))
