"""Name the latents of a finished run with a language model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae.errors import MosaicError, nearest
from mosaic_sae.explain.ask_names import Cost, ask_name, cost
from mosaic_sae.explain.card_maker import CardMaker
from mosaic_sae.explain.cards import LatentCard, Name
from mosaic_sae.explain.evidence import LATENTS, read_evidence, store_paths
from mosaic_sae.explain.kept_answers import KeptAnswers
from mosaic_sae.explain.names import FOLDER, names_file, write_names
from mosaic_sae.fsio import read_json
from mosaic_sae.log import Progress
from mosaic_sae.pipeline.layout import evidence_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One latent to name."""

    sae: str
    card: LatentCard
    maker: CardMaker


def answers_folder(base: Path) -> Path:
    """Where answers of language models are kept."""
    return base / FOLDER / "answers"


def jobs_of(run_folder: Path, most: int, sae: str | None = None) -> list[Job]:
    """List the latents to name, those that matter most to the CV-chosen points first.

    Args:
        run_folder: of a finished run.
        most: how many.
        sae: name of the one SAE whose latents are meant; None = all.

    Raises:
        MosaicError: the run has no table of latents, no such SAE, or its stores are gone.
    """
    table = run_folder / LATENTS
    if not table.is_file():
        raise MosaicError(f"{run_folder} has no {LATENTS}: it has no point on latents, or was written by another version. Run it again.")
    frame = pd.read_parquet(table)
    known = sorted(frame["sae"].unique())
    if sae is not None and sae not in known:
        raise MosaicError(f"The run has no SAE '{sae}'. Its SAEs: {', '.join(known)}.{nearest(sae, known)}")
    if sae is not None:
        frame = frame[frame["sae"] == sae]
    frame = frame[frame["saved"] & (frame["n_examples"] > 0)]
    frame = frame.sort_values(["best_chosen", "best_rank", "n_points", "latent"], ascending=[False, True, False, True])
    frame = frame.drop_duplicates(["sae", "latent"]).head(most)
    base = run_folder.parent
    opened: dict[str, tuple[dict[str, Any], CardMaker]] = {}
    jobs = []
    for row in frame.to_dict("records"):
        if row["store"] not in opened:
            path = evidence_path(base, row["store"])
            evidence = read_evidence(path) if path.is_file() else None
            if evidence is None:
                raise MosaicError(f"{path} is missing, or of another version. Run '{run_folder.name}' again.")
            opened[row["store"]] = evidence, store_paths(evidence, base).open()
        evidence, maker = opened[row["store"]]
        jobs.append(Job(str(row["sae"]), evidence["latents"][str(row["latent"])], maker))
    return jobs


def total_cost(jobs: list[Job], model: KeptAnswers, judge: bool) -> Cost:
    """Estimate what is still to be asked."""
    return sum((cost(job.card, job.maker, model, judge) for job in jobs), Cost(0, 0, 0))


def name_latents(jobs: list[Job], base: Path, model: KeptAnswers, judge: bool) -> dict[str, dict[int, Name]]:
    """Ask for the names and write them; what was answered before a failure is kept and not asked again.

    Args:
        jobs: latents to name.
        base: ``base_classify_dir``; the names go there.
        model: which model is asked.
        judge: whether names are tested.

    Returns:
        New names by SAE and latent.

    Raises:
        MosaicError: the endpoint fails.
    """
    found: dict[str, dict[int, Name]] = {}
    with Progress("Naming latents", len(jobs), "latents") as progress:
        for job in jobs:
            name = ask_name(job.card, job.maker, model, judge)
            if name is not None:
                found.setdefault(job.sae, {})[job.card["latent"]] = name
            progress.add(1)
    for sae, names in found.items():
        path = names_file(base, sae, "model")
        earlier = {int(latent): name for latent, name in read_json(path)["names"].items()} if path.is_file() else {}
        write_names(base, sae, "model", earlier | names)
    return found
