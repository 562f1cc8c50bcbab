"""Names of the places in a model that are read, in TransformerLens' spelling ("blocks.5.hook_resid_post"). Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mosaic_sae.errors import ModelError, nearest

SITES = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "mlp_in": "mlp.hook_in",
    "ln2_normalized": "ln2.hook_normalized",
    "mlp_out": "hook_mlp_out",
    "attn_out": "hook_attn_out",
    "attn_z": "attn.hook_z",
}
"""Each site with its name inside a block."""
SITES_OF_LOCATION = {
    "res": ("resid_post", "resid_pre", "resid_mid"),
    "mlp": ("mlp_out", "mlp_in", "ln2_normalized"),
    "att": ("attn_out", "attn_z"),
}
"""``sae_location`` and its sites; the first is meant by an SAE that states none."""
SITE_OF_LOCATION = {location: sites[0] for location, sites in SITES_OF_LOCATION.items()}

# Other spellings of the same places: TransformerLens' bridge, SAELens' name for Gemma Scope 2 (hook_mlp_in, which in
# TransformerLens itself lies before the norm), and modules of Hugging Face models. Names that mean another tensor in
# another family ("model.layers.5.mlp", after which Gemma 2 has a norm) are left out.
_IN_BLOCK = {hook: site for site, hook in SITES.items()} | {
    "hook_in": "resid_pre",
    "hook_out": "resid_post",
    "ln2.hook_in": "resid_mid",
    "ln2.hook_out": "mlp_in",
    "hook_mlp_in": "mlp_in",
    "mlp.hook_out": "mlp_out",
    "ln2_post.hook_out": "mlp_out",
    "attn.hook_out": "attn_out",
    "ln1_post.hook_out": "attn_out",
    "attn.o.hook_in": "attn_z",
}
_IN_LAYER = {
    "": "resid_post",
    ".output": "resid_post",
    ".input": "resid_pre",
    ".mlp.input": "mlp_in",
    ".pre_feedforward_layernorm.input": "resid_mid",
    ".pre_feedforward_layernorm.output": "mlp_in",
    ".post_feedforward_layernorm.output": "mlp_out",
    ".self_attn.o_proj.input": "attn_z",
    ".self_attn.out_proj.input": "attn_z",
    ".self_attn.dense.input": "attn_z",
    ".self_attention.dense.input": "attn_z",
    ".attention.dense.input": "attn_z",
    ".attn.c_proj.input": "attn_z",
}
_BLOCK = re.compile(r"blocks\.(\d+)\.([\w.]+)")
_LAYER = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:layers|h)\.(\d+)([\w.]*)")


@dataclass(frozen=True, order=True)
class HookPoint:
    """A layer (block, counted from 0) and a site in it."""

    layer: int
    site: str = "resid_post"

    def __str__(self) -> str:
        return self.site if self == VISION_TOWER else f"blocks.{self.layer}.{SITES[self.site]}"


VISION_TOWER = HookPoint(-1, "vision_tower")
"""The pooled output of a vision-language model's vision tower: one state per picture, before the language model."""


def find_hook_point(name: str) -> HookPoint | None:
    """Return the hook point of a name in any spelling, or None when it names none that is read.

    >>> find_hook_point("model.layers.5.self_attn.o_proj.input")
    HookPoint(layer=5, site='attn_z')
    """
    for pattern, sites in ((_BLOCK, _IN_BLOCK), (_LAYER, _IN_LAYER)):
        match = pattern.fullmatch(name)
        if match and match[2] in sites:
            return HookPoint(int(match[1]), sites[match[2]])
    return None


def parse_hook_point(name: str) -> HookPoint:
    """Read the name of a hook point in any spelling.

    Raises:
        ModelError: the name is not a hook point.
    """
    point = find_hook_point(name)
    if point is None:
        allowed = [f"blocks.N.{hook}" for hook in SITES.values()]
        raise ModelError(f"'{name}' is not a hook point.{nearest(name, allowed)} Allowed: {', '.join(allowed)}.")
    return point


def location_of(site: str) -> str:
    """Return the ``sae_location`` that a site belongs to."""
    return next(location for location, sites in SITES_OF_LOCATION.items() if site in sites)
