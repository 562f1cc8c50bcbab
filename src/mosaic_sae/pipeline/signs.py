"""What is read from a model, seen on a few texts: the module, the first tokens, the norms. Kept with every extraction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mosaic_sae.fsio import read_json, write_json
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.text import TextModel
from mosaic_sae.models.tokenise import TokenisedTexts, batches_of
from mosaic_sae.pipeline.diagnosis import MASSIVE, Norms
from mosaic_sae.pipeline.forward import token_budget, with_backoff

N_TEXTS = 8
_FILE = "signs.json"


@dataclass(frozen=True)
class Activations:
    """Activations of some texts at one hook point."""

    acts: torch.Tensor
    """float32 [n d] of the tokens that count, are finite and lie below the norm limit."""
    rows: np.ndarray
    """bool [n_all]: which of all tokens that count these are."""
    first: np.ndarray
    """float64 [n_texts]: norm of each text's first token."""
    norms: np.ndarray
    """float64 [n_all]: norm of every token that counts, before the limit."""


def write_signs(folder: Path, model: TextModel, point: HookPoint, texts: TokenisedTexts, at: Activations) -> None:
    """Write the signs of one hook point into the folder of its activations."""
    norms = norms_of(at)
    write_json(
        folder / _FILE,
        {
            "module": model.module_read(point),
            "dtype": model.dtype_name,
            "first_tokens": first_tokens(model, texts),
            "norms": dataclasses.asdict(norms) if norms else None,
        },
    )


def read_signs(folder: Path) -> dict[str, Any]:
    """Return module, dtype, first_tokens and norms of one hook point."""
    signs: dict[str, Any] = read_json(folder / _FILE)
    return signs


def activations(model: TextModel, texts: TokenisedTexts, limits: Mapping[HookPoint, float | None]) -> dict[HookPoint, Activations]:
    """Run texts, of windowed ones the first window, and keep the tokens that count, at every hook point of the model.

    Args:
        model: the model.
        texts: the texts.
        limits: norm limit of each hook point; absent or None = no limit.
    """
    parts: dict[HookPoint, list[tuple[torch.Tensor, np.ndarray]]] = {point: [] for point in model.points}
    first = [(row, pieces[0]) for row, pieces in enumerate(texts.pieces)]
    batches = batches_of([piece for _, piece in first], None, token_budget(model.device.type))
    for part, captured in (done for rows in batches for done in with_backoff(model, [first[row] for row in rows])):
        counts = np.zeros(captured[model.points[0]].shape[:2], dtype=bool)
        for line, (_, piece) in zip(counts, part, strict=True):
            line[: len(piece.counts)] = piece.counts
        for point in model.points:
            wide = captured[point].float()
            parts[point].append((wide[torch.from_numpy(counts).to(wide.device)].cpu(), wide[:, 0].norm(dim=-1).cpu().double().numpy()))
    found = {}
    for point, pieces in parts.items():
        acts = torch.cat([acts for acts, _ in pieces])
        norms = acts.norm(dim=-1).double().numpy()
        limit = limits.get(point)
        kept = np.isfinite(norms) & (norms <= (np.inf if limit is None else limit))
        found[point] = Activations(acts[torch.from_numpy(kept)], kept, np.concatenate([first for _, first in pieces]), norms)
    return found


def norms_of(at: Activations) -> Norms | None:
    """Summarise norms; None when no token is finite. Tokens beyond the norm limit do not count any more."""
    kept = at.norms[at.rows]
    if not len(kept):
        return None
    median = float(np.median(kept))
    first = at.first[np.isfinite(at.first)]
    return Norms(float(np.mean(first)) if len(first) else None, median, float(np.mean(kept > MASSIVE * median)))


def first_tokens(model: TextModel, texts: TokenisedTexts, n: int = 5) -> list[dict[str, Any]]:
    """Return the first tokens of the first text: id, piece and whether it counts."""
    ids = texts.ids[0][:n].tolist()
    pieces = model.tokenizer.convert_ids_to_tokens(ids)
    return [
        {"id": number, "piece": str(piece), "counts": bool(counts)}
        for number, piece, counts in zip(ids, pieces, texts.counts[0][:n], strict=True)
    ]
