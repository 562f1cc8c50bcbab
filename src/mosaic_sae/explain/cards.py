"""The latent card, what it says in a few words, and text made safe to show. ``docs/evidence.md`` is the normative text."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from mosaic_sae import fsio


class TopToken(TypedDict):
    """A token on which a latent fires."""

    piece: str
    count: int
    """Firings on it."""
    mean: float
    """Mean activation of those firings."""


class Window(TypedDict):
    """Part of an example, around the token on which the latent fires most strongly."""

    id: str
    label: str
    language: str | None
    """None where the data names no languages."""
    value: float
    """Largest activation in the whole example."""
    pieces: list[str]
    acts: list[float]
    """Activation on each piece; 0 where the latent is silent."""
    at: int
    """Place of the strongest piece."""
    cut: list[bool]
    """Whether the example goes on before and after the window."""
    picture: NotRequired[str]
    """The example's picture in small, as a data address, where it has one."""
    quantile: NotRequired[list[float]]
    """Bounds of the band that a random example was drawn from: [0.25, 0.5] = the second quarter of the firing examples by value."""


class Histogram(TypedDict):
    """Values on the tokens on which the latent fires, in bins of equal width from 0 to ``max``."""

    max: float
    counts: list[int]


class Neighbour(TypedDict):
    """Another latent, and how near it is."""

    latent: int
    similarity: float
    """Cosine of decoder directions, or Jaccard index of the tokens on which both fire."""


class Nearest(TypedDict):
    """The latents nearest to one, nearest first."""

    decoder: list[Neighbour]
    co_activation: list[Neighbour]


class Name(TypedDict):
    """What somebody calls a latent, and who."""

    text: str
    source: str
    """In words: "names.csv", "Neuronpedia gemma-2-2b/12-gemmascope-res-16k", "gpt-x at host"."""
    url: str | None
    score: float | None
    """Balanced accuracy of a judge who knew the name alone, for names that were tested; 0.5 = guessing."""


class Use(TypedDict):
    """A point that uses a latent."""

    fingerprint: str
    dataset: str
    split: str
    classifier: str
    chosen: bool
    """Whether cross-validation chose the point."""
    label: str
    """Class that the latent speaks for; of a tree, the class it separates best."""
    weight: float
    """Weight of the scaled value (logistic), or share of the tree's impurity reduction (tree)."""
    rank: int
    """1 = the largest in the point for this class."""


class LatentCard(TypedDict):
    """What a latent fires on in one dataset. Saved cards have neither ``name`` nor ``uses``: these are joined when they are read."""

    latent: int
    label: str
    """Automatic, from the top tokens; "" for a silent latent."""
    n_tokens: int
    n_examples: int
    density_tokens: float
    density_examples: float
    by_class: dict[str, float]
    by_language: dict[str, float]
    """Empty where the data names no languages."""
    max: float
    histogram: Histogram
    top_tokens: list[TopToken]
    examples: list[Window]
    """Distinct texts with the largest activation, strongest first."""
    random_examples: list[Window]
    """Distinct texts drawn from bands of the firing examples, strongest band first."""
    nearest: Nearest | None
    """None = not computed for this latent."""
    name: NotRequired[Name | None]
    uses: NotRequired[list[Use]]


VIEW_CSS = Path(__file__).with_name("view.css")
"""Style of explanations and cards, for every page that shows them."""
Card = LatentCard | Mapping[str, Any]
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
    """Say in a few words what a latent fires on, from its strongest tokens; first its name and who gave it, if it has one."""
    if card is None:
        return "no evidence collected"
    if not card["top_tokens"]:
        tokens = "fires nowhere in these texts"
    else:
        tokens = "fires on: " + ", ".join(quoted(token["piece"]) for token in card["top_tokens"][:limit])
    name = card.get("name")
    return f"{named(name)}; {tokens}" if name else tokens


def named(name: Name | None) -> str:
    """Return a name with its source, or that there is none."""
    if name is None:
        return "no name"
    score = "" if name["score"] is None else f", score {name['score']:.2f}"
    return f"“{visible(name['text'], 120)}” ({visible(name['source'], 60)}{score})"


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
