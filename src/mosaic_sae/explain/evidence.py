"""Find cards that were saved with the results, and the stores that others are made from. ``docs/evidence.md`` is the normative text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae import fsio
from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.explain.cards import evidence_path
from mosaic_sae.explain.names import read_names, with_names

if TYPE_CHECKING:
    import pandas as pd

    from mosaic_sae.explain.card_maker import CardMaker
    from mosaic_sae.explain.cards import Use

VERSION = 2
LATENTS, USES = "latents.parquet", "latent_uses.parquet"
"""Tables in a run's folder."""


@dataclass(frozen=True)
class StorePaths:
    """Where the cards of a store are made from."""

    latents: Path
    tokens: Path
    examples: Path

    def open(self) -> CardMaker:
        """Open the stores.

        Raises:
            StoreError: one of them is gone, or has no by-latent index.
        """
        # Here, so that pages which show saved cards alone need not wait for the libraries that read stores.
        from mosaic_sae.explain.card_maker import CardMaker

        return CardMaker(self.latents, self.tokens, self.examples)


def read_evidence(path: Path) -> dict[str, Any] | None:
    """Read saved cards; None when the file was written by another version, whose cards have other keys."""
    evidence = fsio.read_json(path)
    return evidence if evidence.get("version") == VERSION else None


def evidence_of(base: Path, point: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the saved cards that belong to a point, with their names; None when there are none.

    Args:
        base: the folder of results (``base_classify_dir``).
        point: content of a ``point.json``.
    """
    path = evidence_path(base, point)
    evidence = read_evidence(path) if path else None
    return with_names(evidence, read_names(base, evidence["sae"])) if evidence else None


def store_paths(evidence: Mapping[str, Any], base: Path) -> StorePaths:
    """Where the stores of saved cards are, if they are still where the run left them.

    Args:
        evidence: content of the file.
        base: the folder of results (``base_classify_dir``).
    """
    return StorePaths(**{name: (base / place).resolve() for name, place in evidence["paths"].items()})


def stores_of(base: Path, point: Mapping[str, Any], evidence: Mapping[str, Any] | None) -> StorePaths:
    """Where the latents that a point reads are, what they were read from, and the examples.

    Args:
        base: the folder of results (``base_classify_dir``).
        point: content of a ``point.json``.
        evidence: its saved cards.

    Raises:
        MosaicError: the point is not on the latents of a trained SAE.
        StoreError: no cards were saved, or the stores are not where they were.
    """
    name, kind = point["fingerprint"], point["key"]["representation"]
    if not (point.get("provenance") or {}).get("latent_store"):
        raise MosaicError(f"The point {name} ({kind}) keeps no latents. Explanations are of points on SAE latents.")
    if evidence is None:
        if kind == "random_sae":
            raise MosaicError(f"The point {name} is on a random SAE, of which no cards are kept. Explain a point of a trained one.")
        raise StoreError(f"{base} holds no cards of the latents of point {name}. Run the experiment again; finished work is kept.")
    found = store_paths(evidence, base)
    for what, place in vars(found).items():
        if not place.exists():
            raise StoreError(
                f"The {what} of point {name} were at {place}, and are not there now. Move them back, or run the experiment again."
            )
    return found


def uses_of_latent(uses: pd.DataFrame, store: str, latent: int) -> list[Use]:
    """Pick the uses of a latent out of ``latent_uses.parquet``: CV-chosen points first, then by rank."""
    part = uses[(uses["store"] == store) & (uses["latent"] == latent)].drop(columns=["store", "latent"])
    part = part.sort_values(["chosen", "rank", "fingerprint"], ascending=[False, True, True])
    return part.to_dict("records")  # type: ignore[return-value]


def searchable(path: Path) -> pd.DataFrame:
    """Read ``latents.parquet`` and add ``words``: label and top tokens, casefolded, to search in."""
    import pandas as pd

    frame = pd.read_parquet(path)
    shown = zip(frame["label"], frame["top_tokens"], strict=True)
    return frame.assign(words=[" ".join([label, *tokens]).casefold() for label, tokens in shown])
