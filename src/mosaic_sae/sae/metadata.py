"""What an SAE says about itself, and whether it belongs to the layer and location it is asked for. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from mosaic_sae.errors import SaeError
from mosaic_sae.models.hook_points import SITES, SITES_OF_LOCATION, find_hook_point, location_of


@dataclass(frozen=True)
class SaeMetadata:
    """Where an SAE was trained and how it wants to be used; None = its files do not say."""

    name: str
    """Name for people; never part of a fingerprint."""
    hook_name: str | None = None
    """Hook point, e.g. "blocks.15.hook_resid_post"."""
    output_hook_name: str | None = None
    """Hook point whose activations a transcoder predicts, e.g. "blocks.15.hook_mlp_out"; None in SAEs."""
    model_name: str | None = None
    """Model it was trained on, as its files spell it."""
    prepend_bos: bool | None = None
    """Whether a BOS token came first in training."""
    context_size: int | None = None
    """Length of the training sequences, tokens."""
    max_norm: float | None = None
    """Tokens with a larger activation norm (massive activations) were left out of training."""
    l0: float | None = None
    """Mean number of active latents per token that its maker measured."""
    center_writing_weights: bool = False
    """Whether it was trained on a model with centred weights: on activations minus their mean over d_model."""


def hook_point(hook_name: str) -> tuple[int, str] | None:
    """Return (layer, site) of a hook name, or None when it names none of ours.

    >>> hook_point("blocks.5.hook_resid_pre")
    (5, 'resid_pre')
    """
    point = find_hook_point(hook_name)
    return None if point is None else (point.layer, point.site)


def site_of(metadata: SaeMetadata, site: str) -> str:
    """Return the site that an SAE was trained on; ``site`` when its files do not say."""
    found = hook_point(metadata.hook_name) if metadata.hook_name else None
    return found[1] if found else site


def check_hook(metadata: SaeMetadata, layer: int, site: str, where: str) -> None:
    """Refuse an SAE that was trained elsewhere than at ``layer`` and the location of ``site``.

    A location has several sites ("res": before, inside and after the block); which of them is read is the SAE's to say.
    An SAE without a hook name passes: there is nothing to compare.

    Raises:
        SaeError: the hook name is another layer or location, or is of a kind that MOSAIC does not read.
    """
    if metadata.hook_name is None:
        return
    found = hook_point(metadata.hook_name)
    wanted = f"layer {layer}, {' or '.join(SITES_OF_LOCATION[location_of(site)])}"
    if found is None:
        raise SaeError(
            f"SAE {where} was trained on '{metadata.hook_name}', which MOSAIC does not read (asked for: {wanted}). "
            f"It reads {', '.join(f'blocks.N.{hook}' for hook in SITES.values())}. Choose an SAE of one of these."
        )
    if (found[0], location_of(found[1])) != (layer, location_of(site)):
        raise SaeError(
            f"SAE {where} was trained on '{metadata.hook_name}' (layer {found[0]}, {found[1]}), but the config asks for {wanted}. "
            f"Set layers: [{found[0]}] and sae_location: {location_of(found[1])}, or point sae.path at an SAE of what is asked for."
        )
