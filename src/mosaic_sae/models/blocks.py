"""From a hook point to the module that is hooked: the list of blocks, the place in a block, and what is taken there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaic_sae.errors import ModelError
from mosaic_sae.models.families import FAMILIES, Family
from mosaic_sae.models.hook_points import HookPoint

if TYPE_CHECKING:
    import torch
    from torch import nn


def find_blocks(model: nn.Module, n_layers: int, path: str | None) -> nn.ModuleList:
    """Return the list of transformer blocks.

    Args:
        model: the base model, without its head.
        n_layers: length of the list.
        path: where it is, counted from the base model or from the whole one ("layers" or "model.layers");
            None = the outermost list of that length.

    Raises:
        ModelError: there is no such list at ``path``; or, without one, none or several equally near the top.
    """
    from torch import nn

    found = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) == n_layers}
    if path is not None:
        prefix = f"{getattr(model, 'base_model_prefix', '')}."
        for spelling in (path, path.removeprefix(prefix)):
            if spelling in found:
                return found[spelling]
        raise ModelError(
            f"{type(model).__name__} has no list of {n_layers} blocks at '{path}'. "
            f"Lists of that length: {', '.join(found) or 'none'}. Set `blocks:` of the model entry to one of them."
        )
    depth = min((name.count(".") for name in found), default=0)
    top = [name for name in found if name.count(".") == depth]
    if len(top) != 1:
        raise ModelError(
            f"Cannot tell which modules are the {n_layers} blocks of {type(model).__name__} (candidates: {', '.join(found) or 'none'}). "
            "Set `blocks:` of the model entry to the right one."
        )
    return found[top[0]]


@dataclass(frozen=True)
class Tap:
    """A module, and what is taken there."""

    module: nn.Module
    reads_input: bool
    """True = what goes into the module, False = what comes out of it."""
    keep: Callable[[torch.Tensor], torch.Tensor] = lambda acts: acts
    """From that to what is kept."""


def find_tap(blocks: nn.ModuleList, point: HookPoint, family: Family | None, config: Any) -> Tap:
    """Return where to hook for ``point``.

    Args:
        blocks: the list of blocks.
        point: what is wanted.
        family: the model's family; None = only the residual stream before and after a block is known.
        config: the model's transformers config.

    Raises:
        ModelError: the layer does not exist, this model has no such site, or its family is not known.
    """
    if point.layer >= len(blocks):
        raise ModelError(f"Layer {point.layer} does not exist: this model has layers 0 to {len(blocks) - 1}.")
    block = blocks[point.layer]
    if point.site in ("resid_pre", "resid_post"):
        return Tap(block, reads_input=point.site == "resid_pre")
    if family is None:
        raise ModelError(
            f"The site {point.site} cannot be read in {type(block).__name__}: where it lies is known for these model types only: "
            f"{', '.join(FAMILIES)}. Use SAEs of the residual stream before or after a block (sae_location: res)."
        )
    if reason := family.gaps(config.get_text_config()).get(point.site):
        raise ModelError(f"There is no {point.site} in {type(block).__name__}: {reason}. Use SAEs of another site.")
    norm = block.get_submodule(next(name for name in family.mlp_norms if hasattr(block, name)))
    if point.site == "resid_mid":
        return Tap(norm, reads_input=True)
    if point.site == "ln2_normalized":
        return Tap(norm, reads_input=True, keep=lambda acts: normalised(acts, norm))
    path = {"mlp_in": family.mlp, "mlp_out": family.mlp_out, "attn_out": family.attn_out, "attn_z": family.attn_z}[point.site]
    if point.site in ("mlp_in", "attn_z"):
        return Tap(block.get_submodule(path), reads_input=True)
    # A block may go on to add to its parts' outputs in place (Falcon does), hence the copy.
    return Tap(block.get_submodule(path), reads_input=False, keep=lambda acts: acts.clone())


def normalised(acts: torch.Tensor, norm: nn.Module) -> torch.Tensor:
    """Apply a LayerNorm or RMSNorm without its gain and shift, in float32: TransformerLens' ``hook_normalized``.

    Args:
        acts: [... d_model], the norm's input.
        norm: LayerNorm (arXiv 1607.06450), else an RMSNorm (arXiv 1910.07467).
    """
    import torch

    wide = acts.float()
    if isinstance(norm, torch.nn.LayerNorm):
        wide = wide - wide.mean(-1, keepdim=True)
    eps: Any = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(acts.dtype)
