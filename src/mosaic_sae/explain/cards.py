"""Evidence as people read it: where its file is, what a latent fires on in a few words, and text made safe to show."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mosaic_sae import fsio

Card = Mapping[str, Any]
_SHOWN = {"\n": "⏎", "\r": "␍", "\t": "⇥"}


def visible(text: str, limit: int | None = None) -> str:
    """Return ``text`` with control, direction-override and unpaired surrogate characters made visible or replaced.

    A direction override inside a text would otherwise mirror what stands beside it. Letters of every script, emoji and
    joiners stay as they are.

    Args:
        text: anything from the data.
        limit: most characters; a longer text ends in "…".
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character in _SHOWN:
        return _SHOWN[character]
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":
        return f"[U+{ord(character):04X}]"
    if unicodedata.category(character) in {"Cc", "Cs"}:
        return "�"
    return character


def quoted(piece: str) -> str:
    """Return a token piece in quotation marks, so that a leading space can be seen."""
    return f"'{visible(piece, 40)}'"


def summary(card: Card | None, limit: int = 4) -> str:
    """Say in a few words what a latent fires on, from its strongest tokens."""
    if card is None:
        return "no evidence collected"
    if not card["top_tokens"]:
        return "fires nowhere in these texts"
    return "fires on: " + ", ".join(quoted(token["piece"]) for token in card["top_tokens"][:limit])


def card_of(evidence: Mapping[str, Any] | None, latent: int) -> Card | None:
    """Return the card of a latent, or None when none was collected."""
    return evidence["latents"].get(str(latent)) if evidence else None


def evidence_path(base: Path, point: Mapping[str, Any]) -> Path | None:
    """Find the evidence file that belongs to a point.

    The point's provenance names its latent store; a point without that is matched by SAE and dataset.

    Args:
        base: the folder of results (``base_classify_dir``).
        point: content of a ``point.json``.
    """
    store = point.get("provenance", {}).get("latent_store")
    if store:
        path = base / "evidence" / f"{fsio.slug(str(store))}.json"
        return path if path.exists() else None
    key = point["key"]
    for path in sorted((base / "evidence").glob("*.json")):
        evidence = fsio.read_json(path)
        if evidence.get("sae") == key.get("sae") and evidence.get("dataset") == key.get("dataset"):
            return path
    return None
