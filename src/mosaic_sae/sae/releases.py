"""Public SAE releases that a model gets when its entry has no ``sae:`` block. Imports no torch.

A new release is one more row of ``RELEASES``.
"""

from __future__ import annotations

from dataclasses import dataclass

from mosaic_sae.config.schema import ModelEntry, SaeBlock
from mosaic_sae.errors import SaeError, nearest


@dataclass(frozen=True)
class ReleasedSae:
    """One SAE of a release."""

    path: str
    """Folder inside the repository."""
    norm_scaling_factor: float | None = None
    """sqrt(d_in) / mean activation norm in training, for SAEs whose files lack it."""


@dataclass(frozen=True)
class Release:
    """SAEs of one model, site and width; one per layer."""

    name: str
    models: tuple[str, ...]
    site: str
    width: str
    repo: str
    format: str
    saes: dict[int, ReleasedSae]


RELEASES: tuple[Release, ...] = (
    Release(
        name="gemma-2b-res-jb",
        models=("google/gemma-2b", "gemma-2b"),
        site="resid_post",
        width="16k",
        repo="jbloom/Gemma-2b-Residual-Stream-SAEs",
        format="saelens",
        saes={
            0: ReleasedSae("gemma_2b_blocks.0.hook_resid_post_16384_anthropic"),
            6: ReleasedSae("gemma_2b_blocks.6.hook_resid_post_16384_anthropic_fast_lr"),
            10: ReleasedSae("gemma_2b_blocks.10.hook_resid_post_16384"),
            12: ReleasedSae("gemma_2b_blocks.12.hook_resid_post_16384", norm_scaling_factor=0.21381938399317255),
            17: ReleasedSae("gemma_2b_blocks.17.hook_resid_post_16384"),
        },
    ),
)


def release_block(model_name: str, site: str, layer: int, width: str | None) -> SaeBlock | None:
    """Return the ``sae:`` block of a known public release, or None when the model has none.

    ``width`` None takes the release's width when there is only one.

    Raises:
        SaeError: the model has releases, but none for this site, width or layer; the message lists those which exist.
    """
    of_model = [release for release in RELEASES if model_name in release.models]
    if not of_model:
        return None
    of_site = [release for release in of_model if release.site == site]
    if not of_site:
        sites = ", ".join(sorted({release.site for release in of_model}))
        raise SaeError(f"No public SAE of {model_name} is known at {site}; known: {sites}. Change sae_location, or add a sae: block.")
    widths = [release.width for release in of_site]
    release = of_site[0] if width is None and len(of_site) == 1 else next((one for one in of_site if one.width == width), None)
    if release is None:
        raise SaeError(
            f"No public SAE of {model_name} at {site} with width '{width}' is known; known widths: {', '.join(widths)}."
            f"{nearest(width or '', widths)} Change widths, or add a sae: block."
        )
    if layer not in release.saes:
        layers = ", ".join(str(known) for known in sorted(release.saes))
        raise SaeError(
            f"Release {release.name} ({model_name}, {site}, {release.width}) has no SAE for layer {layer}; it has layers {layers}. "
            "Change layers, or add a sae: block."
        )
    sae = release.saes[layer]
    return SaeBlock(repo=release.repo, path=sae.path, format=release.format, norm_scaling_factor=sae.norm_scaling_factor)


def sae_block_of(entry: ModelEntry, site: str, layer: int, width: str | None) -> SaeBlock:
    """Return the SAE that a model entry means: its own ``sae:`` block, else a known public release.

    Raises:
        SaeError: neither exists; the message shows a ``sae:`` block to copy.
    """
    block = entry.sae or release_block(entry.name, site, layer, width)
    if block is None:
        known = sorted({release.models[0] for release in RELEASES})
        raise SaeError(
            f"Model {entry.name} has no sae: block, and no public SAE release is known for it (known: {', '.join(known)}). "
            f"No model gets another model's SAE. Say where its SAE is:\n"
            f"  - name: {entry.name}\n"
            f"    layers: [{layer}]\n"
            f"    sae:\n"
            f"      path: saes/layer_{{layer}}      # folder with cfg.json and sae_weights.safetensors; with repo: inside it\n"
            f"      # repo: owner/name             # Hugging Face repository, if not a local folder"
        )
    return block
