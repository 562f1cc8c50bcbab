"""The architectures: which arrays they have, their maths as defined, and the one form all are encoded in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch

from mosaic_sae.errors import SaeError, unknown_name

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder

_EXTRA_ARRAYS = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "groupmax": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
ARCHITECTURES = tuple(_EXTRA_ARRAYS)
# Architectures that people have files of, by a part of the name.
_HINTS = {
    "batchtopk": " This is a training checkpoint: save it for inference, which makes it a jumprelu SAE.",
    "temporal": " A temporal SAE encodes a token from the tokens before it; only SAEs that encode each token by itself are read.",
    "matching_pursuit": " It finds latents by a search over residuals, one product each; only SAEs that encode with one product are read.",
}


class Sizes(NamedTuple):
    """Widths of an SAE; ``d_out`` is ``d_model`` unless it is a transcoder."""

    d_model: int
    d_sae: int
    d_out: int


class FoldedEncoder(NamedTuple):
    """Encoder in one product: latent j of x is active iff ``(x @ weight)[j] > cut[j]``, with value ``(x @ weight + bias)[j]``.

    With ``k`` set, only the k largest of these values are active; with ``n_groups`` set, only the largest of each group of
    ``d_sae / n_groups`` neighbours.
    """

    weight: torch.Tensor  # float32 [d_model d_sae]
    bias: torch.Tensor  # float32 [d_sae]
    cut: torch.Tensor  # float32 [d_sae]
    k: int | None
    n_groups: int | None = None


def array_shapes(architecture: str, sizes: Sizes, where: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array that the architecture has.

    Raises:
        SaeError: unknown architecture.
    """
    if architecture not in _EXTRA_ARRAYS:
        hint = next((hint for part, hint in _HINTS.items() if part in architecture), "")
        raise SaeError(f"SAE {where}: {unknown_name('architecture', architecture, ARCHITECTURES)}{hint}")
    d_model, d_sae, d_out = sizes
    matrices = {"W_enc": (d_model, d_sae), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    return {**matrices, **dict.fromkeys(_EXTRA_ARRAYS[architecture], (d_sae,))}


def check_arrays(arrays: Mapping[str, torch.Tensor], architecture: str, sizes: Sizes, where: str, has_skip: bool = False) -> None:
    """Check names, shapes and finiteness of an SAE's arrays; all problems are reported together.

    Raises:
        SaeError: an array is missing, left over, of another shape, or holds NaN or infinity.
    """
    wanted = array_shapes(architecture, sizes, where)
    if has_skip:
        wanted["W_skip"] = (sizes.d_model, sizes.d_out)
    problems = [f"{name} is missing (expected {list(shape)})" for name, shape in wanted.items() if name not in arrays]
    for name, array in arrays.items():
        if name not in wanted:
            problems.append(f"{name} {list(array.shape)} is not an array of a {architecture} SAE")
        elif tuple(array.shape) != wanted[name]:
            problems.append(f"{name} has shape {list(array.shape)}, expected {list(wanted[name])}")
        elif not torch.isfinite(array).all():
            problems.append(f"{name} holds NaN or infinity")
    if problems:
        widths = f"d_model {sizes.d_model}, d_sae {sizes.d_sae}" + (f", d_out {sizes.d_out}" if sizes.d_out != sizes.d_model else "")
        raise SaeError(
            f"SAE {where} (architecture {architecture}, {widths}) does not hold what its config says: "
            f"{'; '.join(problems)}. Check that the config and the weights belong together."
        )


def encode_reference(sae: SparseAutoencoder, centred: torch.Tensor) -> torch.Tensor:
    """Encode as each architecture is defined; slow, dense, and written independently of ``fold``.

    Args:
        sae: the SAE.
        centred: float32 [n d_model], normalised, with b_dec subtracted where the SAE wants that.

    Returns:
        float32 [n d_sae] latent activations.
    """
    if sae.architecture == "gated":
        # Gated SAE (Rajamanoharan et al. 2024): one path decides whether, the other how much; they share W_enc.
        open_gate = centred @ sae.W_enc + sae.array("b_gate") > 0
        magnitude = centred @ (sae.W_enc * sae.array("r_mag").exp()) + sae.array("b_mag")
        return open_gate * magnitude.relu()
    pre_acts = centred @ sae.W_enc + sae.array("b_enc")
    if sae.architecture == "jumprelu":
        # relu(z) * (z > threshold), strict; z * (z > threshold) would let negatives through a negative threshold.
        return pre_acts.relu() * (pre_acts > sae.array("threshold"))
    if sae.architecture == "topk":
        if sae.rescale_acts_by_decoder_norm:
            pre_acts = pre_acts * sae.W_dec.norm(dim=-1)
        top = pre_acts.topk(sae.k or 1, dim=-1)
        return torch.zeros_like(pre_acts).scatter(-1, top.indices, top.values.relu())
    if sae.architecture == "groupmax":
        # Of each group of neighbouring latents the largest, if positive; of equal ones the first.
        grouped = pre_acts.unflatten(-1, (sae.k or 1, -1))
        top = grouped.max(dim=-1, keepdim=True)
        return torch.zeros_like(grouped).scatter(-1, top.indices, top.values.relu()).flatten(-2)
    return pre_acts.relu()


def fold(sae: SparseAutoencoder) -> FoldedEncoder:
    """Bring an SAE to the form of ``FoldedEncoder``; biases are summed in float64 so that folding adds no error of its own.

    - b_dec: ``(x - b_dec) W + b = x W + (b - b_dec W)``.
    - gated: with a = exp(r_mag) > 0 the magnitude is ``m = x (a W) + b_mag`` and the gate opens iff ``m > b_mag - a b_gate``;
      so a gated SAE is a jumprelu SAE.
    - topk with decoder norms: the norms go into W and b.
    """
    # On the CPU, since some accelerators have no float64.
    exact = {name: array.cpu().double() for name, array in sae.arrays.items() if array.ndim == 1}
    weight, low = sae.W_enc, torch.zeros(sae.d_sae, dtype=torch.float64)
    if sae.architecture == "gated":
        weight = sae.W_enc * sae.array("r_mag").exp()
        bias = exact["b_mag"]
        low = bias - exact["r_mag"].exp() * exact["b_gate"]
    else:
        bias = exact["b_enc"]
    if sae.rescale_acts_by_decoder_norm:
        norm = sae.W_dec.norm(dim=-1)
        weight, bias = sae.W_enc * norm, bias * norm.cpu().double()
    if sae.architecture == "jumprelu":
        low = exact["threshold"]
    if sae.apply_b_dec_to_input:
        # In blocks of columns: a float64 copy of a wide SAE's whole encoder would not fit.
        bias = bias - torch.cat([exact["b_dec"] @ block.cpu().double() for block in weight.split(4096, dim=1)])
    bias = bias.float()
    # active iff z + bias > max(low, 0), that is z > max(low, 0) - bias
    cut = (low.clamp(min=0) - bias.double()).float()
    k, n_groups = (None, sae.k) if sae.architecture == "groupmax" else (sae.k, None)
    return FoldedEncoder(weight.contiguous(), bias.to(sae.device), cut.to(sae.device), k, n_groups)
