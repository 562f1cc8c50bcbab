"""What an SAE says about itself, and whether it belongs to the layer and site it is asked for. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mosaic_sae.errors import SaeError

# The residual stream before block L+1 is the one after block L, hence the shift by -1.
_SITES: tuple[tuple[re.Pattern[str], str, int], ...] = (
    (re.compile(r"blocks\.(\d+)\.(?:hook_resid_post|hook_out)"), "resid_post", 0),
    (re.compile(r"blocks\.(\d+)\.hook_resid_pre"), "resid_post", -1),
    (re.compile(r"blocks\.(\d+)\.(?:hook_mlp_out|mlp\.hook_out)"), "mlp_out", 0),
    (re.compile(r"blocks\.(\d+)\.(?:hook_attn_out|attn\.hook_out)"), "attn_out", 0),
    # A whole decoder block named as a module of the Hugging Face model.
    (re.compile(r"(?:\w+\.)*(?:layers|h)\.(\d+)"), "resid_post", 0),
)


@dataclass(frozen=True)
class SaeMetadata:
    """Where an SAE was trained and how it wants to be used; None = its files do not say."""

    name: str
    """Name for people; never part of a fingerprint."""
    hook_name: str | None = None
    """Hook point, e.g. "blocks.15.hook_resid_post"."""
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
    (4, 'resid_post')
    """
    for pattern, site, shift in _SITES:
        match = pattern.fullmatch(hook_name)
        if match and int(match[1]) + shift >= 0:
            return int(match[1]) + shift, site
    return None


def check_hook(metadata: SaeMetadata, layer: int, site: str, where: str) -> None:
    """Refuse an SAE that was trained elsewhere than at ``layer`` and ``site``.

    An SAE without a hook name passes: there is nothing to compare.

    Raises:
        SaeError: the hook name is another layer or site, or is of a kind that MOSAIC does not read.
    """
    if metadata.hook_name is None:
        return
    found = hook_point(metadata.hook_name)
    wanted = f"blocks.{layer}.hook_{site}"
    if found is None:
        raise SaeError(
            f"SAE {where} was trained on '{metadata.hook_name}', which MOSAIC does not read (asked for: {wanted}). "
            "It reads blocks.N.hook_resid_post, blocks.N.hook_mlp_out and blocks.N.hook_attn_out. Choose an SAE of one of these."
        )
    if found != (layer, site):
        raise SaeError(
            f"SAE {where} was trained on '{metadata.hook_name}' (layer {found[0]}, {found[1]}), "
            f"but the config asks for layer {layer}, {site}. "
            f"Set layers: [{found[0]}] and the sae_location of {found[1]}, or point sae.path at the SAE of {wanted}."
        )
