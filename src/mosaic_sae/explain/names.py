"""Names of latents, each with its source. They lie in ``names/`` beside the points, one file per SAE and source, and are never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mosaic_sae import fsio
from mosaic_sae.explain.cards import Name

FOLDER = "names"
KINDS = ("file", "neuronpedia", "model")
"""Sources; where several name a latent, the first of these is shown."""
NEURONPEDIA = "https://www.neuronpedia.org"


def names_file(base: Path, sae: str, kind: str) -> Path:
    """Where the names of an SAE from one kind of source are.

    Args:
        base: the folder of results (``base_classify_dir``).
        sae: name of the SAE.
        kind: one of ``KINDS``.
    """
    return base / FOLDER / f"{fsio.slug(sae)}.{kind}.json"


def write_names(base: Path, sae: str, kind: str, names: Mapping[int, Name]) -> Path:
    """Write all names of an SAE from one kind of source, in place of earlier ones."""
    path = names_file(base, sae, kind)
    fsio.write_json(path, {"sae": sae, "names": {str(latent): name for latent, name in sorted(names.items())}})
    return path


def read_names(base: Path, sae: str) -> dict[int, Name]:
    """Read the names of an SAE from all sources; the first kind of ``KINDS`` that has one wins."""
    return merge_names(fsio.read_json(path) for kind in KINDS if (path := names_file(base, sae, kind)).is_file())


def merge_names(contents: Iterable[Mapping[str, Any]]) -> dict[int, Name]:
    """Merge contents of names files, the first one first."""
    merged: dict[int, Name] = {}
    for content in contents:
        for latent, name in content["names"].items():
            merged.setdefault(int(latent), name)
    return merged


def with_names(evidence: Mapping[str, Any], names: Mapping[int, Name]) -> dict[str, Any]:
    """Return saved cards with each latent's name, or None, as their ``name``."""
    cards = {latent: {**card, "name": names.get(int(latent))} for latent, card in evidence["latents"].items()}
    return {**evidence, "latents": cards}


def neuronpedia_url(source: str, latent: int) -> str:
    """Return the page of a latent; ``source`` is "MODEL/SOURCE"."""
    return f"{NEURONPEDIA}/{source}/{latent}"
