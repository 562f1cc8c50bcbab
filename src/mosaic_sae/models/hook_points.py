"""Names of the places in a model that are read, in TransformerLens' classic spelling ("blocks.5.hook_resid_post")."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mosaic_sae.errors import ModelError, nearest

SITES = {"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out", "attn_out": "hook_attn_out"}
SITE_OF_LOCATION = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_out"}


@dataclass(frozen=True, order=True)
class HookPoint:
    """A layer (block, counted from 0) and a site in it."""

    layer: int
    site: str = "resid_post"

    def __str__(self) -> str:
        return f"blocks.{self.layer}.{SITES[self.site]}"


def parse_hook_point(name: str) -> HookPoint:
    """Read "blocks.5.hook_resid_post".

    Raises:
        ModelError: the name is not a hook point.
    """
    by_hook = {hook: site for site, hook in SITES.items()}
    match = re.fullmatch(r"blocks\.(\d+)\.(\w+)", name)
    if not match or match[2] not in by_hook:
        allowed = [f"blocks.N.{hook}" for hook in by_hook]
        raise ModelError(f"'{name}' is not a hook point.{nearest(name, allowed)} Allowed: {', '.join(allowed)}.")
    return HookPoint(int(match[1]), by_hook[match[2]])
