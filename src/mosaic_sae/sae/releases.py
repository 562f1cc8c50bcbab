"""Public SAE releases that a model gets when its entry has no ``sae:`` block. Imports no torch.

The table, ``releases.json``, is made by ``recipes/make_releases.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from mosaic_sae.config.schema import ModelEntry, SaeBlock
from mosaic_sae.errors import SaeError, nearest
from mosaic_sae.sae.saelens_registry import registry_block

TABLE = Path(__file__).with_name("releases.json")

# Vision-language models, read with the SAEs of the language model that they were made from.
_LANGUAGE_MODELS = (
    ("google/paligemma-3b-*", "google/gemma-2b"),
    ("google/paligemma2-3b-*", "google/gemma-2-2b"),
    ("google/paligemma2-10b-*", "google/gemma-2-9b"),
    ("google/paligemma2-28b-*", "google/gemma-2-27b"),
    ("Intel/llava-gemma-2b", "google/gemma-2b"),
)


@dataclass(frozen=True)
class Release:
    """SAEs of one model, site and width; one per layer."""

    name: str
    """As SAELens's registry calls it."""
    models: tuple[str, ...]
    site: str
    width: str
    repo: str
    format: str
    l0: dict[str, float]
    """By layer: mean active latents per token, as measured or aimed at by the maker."""
    path: str = ""
    """Folder (or file) inside the repository; ``{layer}`` and ``{l0}`` are filled in."""
    paths: dict[str, str] = field(default_factory=dict)
    """By layer, where one pattern does not describe them all."""
    norm_scaling_factor: dict[str, float] = field(default_factory=dict)
    """By layer: sqrt(d_in) / mean activation norm in training, for SAEs whose files lack it."""

    @property
    def layers(self) -> list[int]:
        """Layers that have an SAE, ascending."""
        return sorted(int(layer) for layer in self.l0)

    def block(self, layer: int) -> SaeBlock:
        """Return the ``sae:`` block of one of ``layers``."""
        key = str(layer)
        path = self.paths.get(key) or self.path.format(layer=layer, l0=self.l0[key])
        factor = self.norm_scaling_factor.get(key)
        return SaeBlock(repo=self.repo, path=path, format=self.format, norm_scaling_factor=factor, l0=self.l0[key])


@cache
def releases() -> tuple[Release, ...]:
    """Read the table."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))["releases"]
    return tuple(Release(**{**row, "models": tuple(row["models"])}) for row in rows)


def release_block(model_name: str, site: str, layer: int, width: str | None) -> SaeBlock | None:
    """Return the ``sae:`` block of a known public release, or None when the model has none.

    ``width`` None takes the release's width when there is only one.

    Raises:
        SaeError: the model has releases, but none for this site, width or layer; the message lists those which exist.
    """
    language_model = next((of for pattern, of in _LANGUAGE_MODELS if fnmatchcase(model_name, pattern)), model_name)
    of_model = [release for release in releases() if language_model in release.models]
    if not of_model:
        return None
    model = model_name if language_model == model_name else f"{model_name} (by its language model {language_model})"
    of_site = [release for release in of_model if release.site == site]
    if not of_site:
        sites = ", ".join(sorted({release.site for release in of_model}))
        raise SaeError(f"No public SAE of {model} is known at {site}; known: {sites}. Change sae_location, or add a sae: block.")
    widths = [release.width for release in of_site]
    release = of_site[0] if width is None and len(of_site) == 1 else next((one for one in of_site if one.width == width), None)
    if release is None:
        wanted = "no width named" if width is None else f"width '{width}'"
        raise SaeError(
            f"No public SAE of {model} at {site} with {wanted} is known; known widths: {', '.join(widths)}."
            f"{nearest(width or '', widths)} Change widths, or add a sae: block."
        )
    if layer not in release.layers:
        layers = ", ".join(str(known) for known in release.layers)
        others = [one.width for one in of_site if layer in one.layers]
        hint = f"or widths (layer {layer} has {', '.join(others)}), " if others else ""
        raise SaeError(
            f"Release {release.name} ({model}, {site}, {release.width}) has no SAE for layer {layer}; it has layers {layers}. "
            f"Change layers, {hint}or add a sae: block."
        )
    return release.block(layer)


def sae_block_of(entry: ModelEntry, site: str, layer: int, width: str | None) -> SaeBlock:
    """Return the SAE that a model entry means: its own ``sae:`` block, else a known public release.

    A block that names a release of SAELens's registry is looked up there, so that what comes back always has a path.

    Raises:
        SaeError: neither exists; the message shows a ``sae:`` block to copy.
        MissingExtra: the block names a release, and SAELens is not installed.
    """
    if entry.sae and entry.sae.release:
        return registry_block(entry.sae, layer, width, site)
    block = entry.sae or release_block(entry.name, site, layer, width)
    if block is None:
        known = sorted({release.models[0] for release in releases()})
        raise SaeError(
            f"Model {entry.name} has no sae: block, and no public SAE release is known for it (known: {', '.join(known)}). "
            f"No model gets another model's SAE. Say where its SAE is:\n"
            f"  - name: {entry.name}\n"
            f"    layers: [{layer}]\n"
            f"    sae:\n"
            f"      path: saes/layer_{{layer}}      # folder with cfg.json and sae_weights.safetensors; with repo: inside it\n"
            f"      # repo: owner/name             # Hugging Face repository, if not a local folder\n"
            f"      # format: gemma_scope          # if it is not SAELens's own (docs/sae-formats.md)"
        )
    return block
