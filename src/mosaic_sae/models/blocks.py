"""Where a Hugging Face model keeps its blocks, and which module's output is which site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_sae.errors import ModelError
from mosaic_sae.models.hook_points import HookPoint

if TYPE_CHECKING:
    from torch import nn


def find_blocks(model: nn.Module, n_layers: int) -> nn.ModuleList:
    """Return the list of transformer blocks: the outermost ModuleList with one entry per layer.

    Raises:
        ModelError: no list, or several equally near the top, have that length.
    """
    from torch import nn

    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) == n_layers]
    depth = min((name.count(".") for name, _ in found), default=0)
    top = [(name, module) for name, module in found if name.count(".") == depth]
    if len(top) != 1:
        names = ", ".join(name for name, _ in top) or "none"
        raise ModelError(f"Cannot tell which modules are the {n_layers} blocks of {type(model).__name__} (candidates: {names}).")
    return top[0][1]


def module_for(blocks: nn.ModuleList, point: HookPoint) -> nn.Module:
    """Return the module whose output is the activation at ``point``.

    Raises:
        ModelError: the layer does not exist, or the site cannot be read in this model.
    """
    if point.layer >= len(blocks):
        raise ModelError(f"Layer {point.layer} does not exist: this model has layers 0 to {len(blocks) - 1}.")
    block = blocks[point.layer]
    if point.site == "resid_post":
        return block
    if point.site == "mlp_out":
        # Gemma 2 and 3 normalise the MLP's output before it is added to the residual stream; SAEs read it after that.
        for name in ("post_feedforward_layernorm", "mlp"):
            if hasattr(block, name):
                return getattr(block, name)
    raise ModelError(f"The site {point.site} cannot be read in {type(block).__name__} yet. Use sae_location: res.")
