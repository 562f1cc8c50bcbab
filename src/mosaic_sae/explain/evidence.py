"""What a latent fires on in the user's own data: density, tokens and texts, gathered in one pass over a store."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sae import fsio
from mosaic_sae.explain.firings import Firings, Peaks, firings_of, peaks_of, slot_table

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples
    from mosaic_sae.store.format import TokenLatents
    from mosaic_sae.store.reader import LatentStore, TokenStore

logger = logging.getLogger(__name__)

TOP_TOKENS = 10
# Silent occurrences added to each token's own, so that one loud firing of a rare token does not come first.
_HELD_BACK = 5


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
        ``max``, ``top_tokens`` (by mean activation over all occurrences of the token, rare tokens held back) and ``examples``
        (distinct texts by largest activation; ties by row).

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
        tally.add(first_row, shard)
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


@dataclass(frozen=True)
class _Peak:
    """A latent in one example: where it fires, how strongly, and where most."""

    row: int
    value: float
    at: int
    first_counted: int
    """Position of the example's first counted token."""
    positions: np.ndarray
    values: np.ndarray


class _Tally:
    """Running counts of the chosen latents."""

    def __init__(self, latents: np.ndarray, d_sae: int, examples: Examples, token_store: TokenStore, n_examples: int) -> None:
        self.latents, self.slots = latents, slot_table(latents, d_sae)
        self._examples, self._token_store, self._n_examples = examples, token_store, n_examples
        self._keys = examples.keys
        self._classes = sorted(set(examples.labels))
        self._class_size = Counter(examples.labels)
        code = {name: number for number, name in enumerate(self._classes)}
        self._class_of_row = np.array([code[label] for label in examples.labels], dtype=np.int64)
        self._token_count = np.zeros(len(latents), dtype=np.int64)
        self._class_count = np.zeros((len(latents), len(self._classes)), dtype=np.int64)
        # How often each token id was counted, and one place where it occurs (to look its piece up at the end).
        self._occurrences: Counter[int] = Counter()
        self._place: dict[int, tuple[int, int]] = {}
        self._pieces: dict[int, str] = {}
        # Per slot and token id: firings and their sum.
        self._tokens: list[dict[int, tuple[int, float]]] = [{} for _ in latents]
        self._best: list[dict[str, _Peak]] = [{} for _ in latents]

    def add(self, first_row: int, shard: TokenLatents) -> None:
        """Add one shard."""
        found = firings_of(shard, self.slots)
        ids = self._token_ids(first_row, shard)
        self._occurrences.update(ids.tolist())
        self._token_count += np.bincount(found.slot, minlength=len(self.latents))
        self._add_tokens(first_row, found, ids[found.token])
        peaks = peaks_of(found)
        codes = self._class_of_row[first_row + peaks.row]
        np.add.at(self._class_count, (peaks.slot, codes), 1)
        self._keep_strongest(first_row, shard, peaks)

    def _keep_strongest(self, first_row: int, shard: TokenLatents, peaks: Peaks) -> None:
        slots, starts = np.unique(peaks.slot, return_index=True)
        for slot, members in zip(slots.tolist(), np.split(np.arange(len(peaks.slot)), starts[1:]), strict=False):
            best, offered = self._best[slot], set[str]()
            for i in members[np.argsort(-peaks.value[members], kind="stable")].tolist():
                row = first_row + int(peaks.row[i])
                # A text that occurs twice is shown once, at its stronger row. The first texts of a shard are all it can contribute.
                text = self._keys[row]
                if text in offered:
                    continue
                if len(offered) == self._n_examples:
                    break
                offered.add(text)
                part = slice(int(peaks.starts[i]), int(peaks.starts[i + 1]))
                first = int(shard.positions[shard.row_offsets[peaks.row[i]]])
                peak = _Peak(row, float(peaks.value[i]), int(peaks.at[i]), first, peaks.positions[part], peaks.values[part])
                if text not in best or _rank(peak) < _rank(best[text]):
                    best[text] = peak
            ranked = sorted(best.items(), key=lambda item: _rank(item[1]))
            self._best[slot] = dict(ranked[: self._n_examples])

    def _token_ids(self, first_row: int, shard: TokenLatents) -> np.ndarray:
        """Return int64 [n_tokens]: ids of the shard's counted tokens."""
        ids = np.empty(len(shard.positions), dtype=np.int64)
        offsets = shard.row_offsets.tolist()
        for row, (start, stop) in enumerate(itertools.pairwise(offsets)):
            if stop > start:
                ids[start:stop] = np.asarray(self._token_store.row(first_row + row))[shard.positions[start:stop]]
        return ids

    def _add_tokens(self, first_row: int, found: Firings, ids: np.ndarray) -> None:
        n_ids = int(ids.max(initial=0)) + 1
        pairs, first, inverse = np.unique(found.slot * n_ids + ids, return_index=True, return_inverse=True)
        counts = np.bincount(inverse, minlength=len(pairs))
        sums = np.bincount(inverse, weights=found.value, minlength=len(pairs))
        for pair, at, count, total in zip(pairs.tolist(), first.tolist(), counts.tolist(), sums.tolist(), strict=True):
            slot, token_id = divmod(pair, n_ids)
            known = self._tokens[slot].get(token_id, (0, 0.0))
            self._tokens[slot][token_id] = (known[0] + count, known[1] + total)
            self._place.setdefault(token_id, (first_row + int(found.row[at]), int(found.position[at])))

    def card(self, slot: int, window: int) -> dict[str, Any]:
        """Build the card of one slot."""
        firing = dict(zip(self._classes, self._class_count[slot].tolist(), strict=True))
        peaks = sorted(self._best[slot].values(), key=_rank)
        return {
            "density_tokens": _short(self._token_count[slot] / max(self._occurrences.total(), 1)),
            "density_examples": _short(sum(firing.values()) / max(len(self._examples.ids), 1)),
            "by_class": {name: _short(firing[name] / self._class_size[name]) for name in self._classes},
            "max": _short(peaks[0].value) if peaks else 0.0,
            "top_tokens": self._top_tokens(slot),
            "examples": [self._example(peak, window) for peak in peaks],
        }

    def _top_tokens(self, slot: int) -> list[dict[str, Any]]:
        # Neither "the", on which the latent stirs a thousand times, nor a word that occurs once shall come first: tokens are ranked
        # by the activation to expect where they occur.
        def expected(item: tuple[int, tuple[int, float]]) -> float:
            return item[1][1] / (self._occurrences[item[0]] + _HELD_BACK)

        ranked = sorted(self._tokens[slot].items(), key=lambda item: (-expected(item), item[0]))
        # Different ids can print the same piece (fragments of one character), so some more than are shown are looked at.
        totals: dict[str, tuple[int, float]] = {}
        for token_id, (count, total) in ranked[: 2 * TOP_TOKENS]:
            piece = self._piece(token_id)
            before = totals.get(piece, (0, 0.0))
            totals[piece] = (before[0] + count, before[1] + total)
        best = list(totals.items())[:TOP_TOKENS]
        return [{"piece": piece, "count": count, "mean": _short(total / count)} for piece, (count, total) in best]

    def _piece(self, token_id: int) -> str:
        if token_id not in self._pieces:
            row, position = self._place[token_id]
            self._pieces[token_id] = self._token_store.pieces(row)[position]
        return self._pieces[token_id]

    def _example(self, peak: _Peak, window: int) -> dict[str, Any]:
        pieces = self._token_store.pieces(peak.row)
        # A token in front that does not count is the model's own start of text.
        first = min(peak.first_counted, 1)
        start = max(first, min(peak.at - window // 2, len(pieces) - window))
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
            "cut": [start > first, start + len(shown) < len(pieces)],
        }


def _rank(peak: _Peak) -> tuple[float, int]:
    return (-peak.value, peak.row)


def _short(value: float) -> float:
    """Six significant digits: more would only make the file larger."""
    return float(f"{value:.6g}")
