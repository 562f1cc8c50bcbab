"""A text cut into stretches that are shaded alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mosaic_sae.explain.cards import visible


@dataclass(frozen=True)
class Stretch:
    """Neighbouring tokens on which a latent does not fire, or one token on which it does."""

    text: str
    value: float
    percent: int
    """Strength of the shade, 0..100, against the largest activation of the latent."""
    peak: bool


def runs_of_tokens(example: Mapping[str, Any], largest: float) -> list[Stretch]:
    """Join silent neighbours, keep each firing token by itself; "…" where the text goes on outside the window.

    Args:
        example: one of a card's ``examples``.
        largest: the card's ``max``.
    """
    cut_before, cut_after = example.get("cut", (False, False))
    stretches: list[Stretch] = []
    silent: list[str] = []
    if cut_before:
        silent.append("…" if example["pieces"][0].startswith(" ") else "… ")
    for place, (piece, value) in enumerate(zip(example["pieces"], example["acts"], strict=True)):
        shown = visible(piece)
        if value <= 0:
            silent.append(shown)
            continue
        # The space before a word belongs to its token, but shading it would smear the shade over the gap.
        word = shown.lstrip(" ") or shown
        silent.append(shown[: len(shown) - len(word)])
        _close(silent, stretches)
        percent = round(100 * min(value / largest, 1.0)) if largest > 0 else 0
        stretches.append(Stretch(word, value, max(percent, 8), place == example["at"]))
    if cut_after:
        silent.append(" …")
    _close(silent, stretches)
    return stretches


def _close(silent: list[str], stretches: list[Stretch]) -> None:
    text = "".join(silent)
    silent.clear()
    if text:
        stretches.append(Stretch(text, 0.0, 0, False))
