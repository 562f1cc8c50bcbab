"""What a latent fires on in the user's own data: density, tokens and texts, gathered in one pass over a store."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sae import fsio
from mosaic_sae.explain.firings import Firings, Peak, firings_of, peaks_of, slot_table

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples
    from mosaic_sae.store.reader import LatentStore, TokenStore

logger = logging.getLogger(__name__)

TOP_TOKENS = 10


def collect_evidence(
    latent_store: LatentStore,
    token_store: TokenStore,
    examples: Examples,
    latents: set[int],
    n_examples: int = 8,
    window: int = 24,
    sae: str | None = None,
) -> dict[str, Any]:
    """Gather evidence for ``latents`` over every example of a store, train and test alike.

    One pass over the shards; memory holds one shard, the distinct (latent, token) pairs, and ``n_examples`` texts per latent.

    Args:
        latent_store: token-level sparse latents; row i belongs to ``examples`` row i.
        token_store: token ids and printable pieces of the same rows.
        examples: texts, ids and labels.
        latents: which latents, each in 0..d_sae-1.
        n_examples: most texts kept per latent.
        window: most tokens shown around the strongest one.
        sae: name of the SAE; None = the one in the store's manifest.

    Returns:
        ``{"sae", "dataset", "store", "latents": {"<index>": card}}``. A card has ``density_tokens`` and ``density_examples``
        (shares of counted tokens and of examples on which the latent fires), ``by_class`` (share of each class's examples),
        ``max``, ``top_tokens`` (by summed activation) and ``examples`` (distinct texts by largest activation; ties by row).

    Raises:
        ValueError: a latent outside the SAE, or a store whose rows are not the examples' rows.
    """
    if latent_store.n_rows != len(examples.ids):
        raise ValueError(f"the store has {latent_store.n_rows} rows, the dataset {len(examples.ids)}; they must be the same rows")
    outside = sorted(latent for latent in latents if not 0 <= latent < latent_store.d_sae)
    if outside:
        raise ValueError(f"latent {outside[0]} is outside 0..{latent_store.d_sae - 1}")
    tally = _Tally(np.array(sorted(latents), dtype=np.int64), latent_store.d_sae, examples, token_store, n_examples)
    for first_row, shard in latent_store.iter_shards():
        tally.count_tokens(len(shard.positions))
        tally.add(first_row, firings_of(shard, tally.slots))
    return {
        "sae": sae if sae is not None else str(latent_store.manifest["description"]["sae"]),
        "dataset": examples.name,
        "store": latent_store.fingerprint,
        "latents": {str(latent): tally.card(slot, window) for slot, latent in enumerate(tally.latents.tolist())},
    }


def write_evidence(
    path: Path,
    latent_store: LatentStore,
    token_store: TokenStore,
    examples: Examples,
    latents: set[int],
    sae: str | None = None,
) -> dict[str, Any]:
    """Collect evidence into ``path``, keeping the cards that an earlier run put there: a store never changes, so they still hold.

    Returns:
        The whole file's content, as ``collect_evidence`` describes it.
    """
    known = fsio.read_json(path) if path.exists() else None
    if known is not None and known.get("store") != latent_store.fingerprint:
        known = None
    missing = latents - {int(latent) for latent in known["latents"]} if known else latents
    if known and not missing:
        return known
    evidence = collect_evidence(latent_store, token_store, examples, missing, sae=sae)
    if known:
        evidence["latents"] = {**known["latents"], **evidence["latents"]}
    fsio.write_json(path, evidence)
    logger.info("evidence for %d latents: %s", len(evidence["latents"]), path.name)
    return evidence


class _Tally:
    """Running counts of the chosen latents."""

    def __init__(self, latents: np.ndarray, d_sae: int, examples: Examples, token_store: TokenStore, n_examples: int) -> None:
        self.latents, self.slots = latents, slot_table(latents, d_sae)
        self._examples, self._token_store, self._n_examples = examples, token_store, n_examples
        self._classes = sorted(set(examples.labels))
        self._class_size = Counter(examples.labels)
        self._n_tokens = 0
        self._token_count = np.zeros(len(latents), dtype=np.int64)
        self._class_count: list[Counter[str]] = [Counter() for _ in latents]
        # Per slot and token id: firings, their sum, and one place where the token occurs (to look its piece up at the end).
        self._tokens: list[dict[int, tuple[int, float, int, int]]] = [{} for _ in latents]
        self._best: list[dict[str, Peak]] = [{} for _ in latents]
        self._pieces: dict[int, str] = {}

    def count_tokens(self, n_tokens: int) -> None:
        self._n_tokens += n_tokens

    def add(self, first_row: int, found: Firings) -> None:
        """Add one shard's firings."""
        self._token_count += np.bincount(found.slot, minlength=len(self.latents))
        self._add_tokens(first_row, found)
        touched = set()
        for slot, peak in peaks_of(found):
            row = first_row + peak.row
            touched.add(slot)
            self._class_count[slot][self._examples.labels[row]] += 1
            self._offer(slot, dataclasses.replace(peak, row=row))
        for slot in touched:
            ranked = sorted(self._best[slot].items(), key=lambda item: _rank(item[1]))
            self._best[slot] = dict(ranked[: self._n_examples])

    def _offer(self, slot: int, peak: Peak) -> None:
        # A text that occurs twice is shown once, at its stronger row.
        text = self._examples.texts[peak.row]
        best = self._best[slot].get(text)
        if best is None or _rank(peak) < _rank(best):
            self._best[slot][text] = peak

    def _add_tokens(self, first_row: int, found: Firings) -> None:
        if not len(found.row):
            return
        ids = np.empty(len(found.row), dtype=np.int64)
        order = np.argsort(found.row, kind="stable")
        rows, starts = np.unique(found.row[order], return_index=True)
        for row, part in zip(rows.tolist(), np.split(order, starts[1:]), strict=True):
            ids[part] = np.asarray(self._token_store.row(first_row + row))[found.position[part]]
        pairs, first, inverse = np.unique(np.stack([found.slot, ids], axis=1), axis=0, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        counts = np.bincount(inverse, minlength=len(pairs))
        sums = np.bincount(inverse, weights=found.value, minlength=len(pairs))
        for pair, at, count, total in zip(pairs.tolist(), first.tolist(), counts.tolist(), sums.tolist(), strict=True):
            known = self._tokens[pair[0]].get(pair[1])
            if known is None:
                known = (0, 0.0, first_row + int(found.row[at]), int(found.position[at]))
            self._tokens[pair[0]][pair[1]] = (known[0] + count, known[1] + total, known[2], known[3])

    def card(self, slot: int, window: int) -> dict[str, Any]:
        """Build the card of one slot."""
        n_firing = sum(self._class_count[slot].values())
        peaks = sorted(self._best[slot].values(), key=_rank)
        return {
            "density_tokens": _short(self._token_count[slot] / max(self._n_tokens, 1)),
            "density_examples": _short(n_firing / max(len(self._examples.ids), 1)),
            "by_class": {name: _short(self._class_count[slot][name] / self._class_size[name]) for name in self._classes},
            "max": _short(peaks[0].value) if peaks else 0.0,
            "top_tokens": self._top_tokens(slot),
            "examples": [self._example(peak, window) for peak in peaks],
        }

    def _top_tokens(self, slot: int) -> list[dict[str, Any]]:
        # Different ids can print the same piece (fragments of one character), hence the sum over pieces.
        # Ranked by summed activation: neither one freak token nor a faint tremor on "the" comes first.
        ranked = sorted(self._tokens[slot].items(), key=lambda item: (-item[1][1], item[0]))
        totals: dict[str, tuple[int, float]] = {}
        for token_id, (count, total, row, position) in ranked[: 4 * TOP_TOKENS]:
            if token_id not in self._pieces:
                self._pieces[token_id] = self._token_store.pieces(row)[position]
            piece = self._pieces[token_id]
            before = totals.get(piece, (0, 0.0))
            totals[piece] = (before[0] + count, before[1] + total)
        best = sorted(totals.items(), key=lambda item: (-item[1][1], item[0]))[:TOP_TOKENS]
        return [{"piece": piece, "count": count, "mean": _short(total / count)} for piece, (count, total) in best]

    def _example(self, peak: Peak, window: int) -> dict[str, Any]:
        pieces = self._token_store.pieces(peak.row)
        start = max(0, min(peak.at - window // 2, len(pieces) - window))
        shown = pieces[start : start + window]
        acts = [0.0] * len(shown)
        for position, value in zip(peak.positions.tolist(), peak.values.tolist(), strict=True):
            if start <= position < start + len(shown):
                acts[position - start] = _short(value)
        return {
            "id": self._examples.ids[peak.row],
            "label": self._examples.labels[peak.row],
            "value": _short(peak.value),
            "pieces": list(shown),
            "acts": acts,
            "at": peak.at - start,
            "cut": [start > 0, start + len(shown) < len(pieces)],
        }


def _rank(peak: Peak) -> tuple[float, int]:
    return (-peak.value, peak.row)


def _short(value: float) -> float:
    """Six significant digits: more would only make the file larger."""
    return float(f"{value:.6g}")
