"""What an SAE does to an activation before encoding, and how decoding undoes it.

Conventions of SAELens 6: "layer_norm" divides by the unbiased standard deviation plus 1e-5 but multiplies back by the
deviation alone; "constant_norm_rescale" gives every token the norm sqrt(d_model). "centre", a name of ours, takes the mean over
d_model away: what a model with centred writing weights (TransformerLens) has in its residual stream.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from mosaic_sae.errors import SaeError, unknown_name

NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale", "centre", "expected_average_only_in")
"""What a file may name. The last is a fixed factor; it is folded into the weights when the file is read."""

_LAYER_NORM_EPSILON = 1e-5


class Normalised(NamedTuple):
    """Normalised activations and what brings reconstructions back to the model's units."""

    acts: torch.Tensor  # float32 [n d_model]
    scale: torch.Tensor | None  # float32 [n 1]
    offset: torch.Tensor | None  # float32 [n 1]


def check_normalisation(kind: str, where: str) -> None:
    """Refuse a normalisation that MOSAIC does not know.

    Raises:
        SaeError: the name is unknown; the message lists those which are read.
    """
    if kind not in NORMALISATIONS:
        hint = " Whitening has to be folded into the weights first." if kind == "covariance_whitening" else ""
        raise SaeError(f"SAE {where}: {unknown_name('normalize_activations', kind, NORMALISATIONS)}{hint}")


def normalise(acts: torch.Tensor, kind: str) -> Normalised:
    """Normalise float32 activations [n d_model]; a token of norm 0 becomes NaN under "constant_norm_rescale"."""
    if kind == "layer_norm":
        offset = acts.mean(dim=-1, keepdim=True)
        centred = acts - offset
        # The unbiased deviation; of centred values it is a norm, which is several times faster than std().
        scale = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / (acts.shape[-1] - 1) ** 0.5
        return Normalised(centred / (scale + _LAYER_NORM_EPSILON), scale, offset)
    if kind == "constant_norm_rescale":
        scale = acts.norm(dim=-1, keepdim=True) / acts.shape[-1] ** 0.5
        return Normalised(acts / scale, scale, None)
    if kind == "centre":
        offset = acts.mean(dim=-1, keepdim=True)
        return Normalised(acts - offset, None, offset)
    return Normalised(acts, None, None)


def fold_scaling_factor(arrays: dict[str, torch.Tensor], factor: float) -> dict[str, torch.Tensor]:
    """Fold "expected_average_only_in" into the weights, so that the SAE takes and gives the model's own units.

    The SAE was trained on ``factor * x``: W_enc is multiplied by the factor, W_dec and b_dec are divided by it.
    """
    return {**arrays, "W_enc": arrays["W_enc"] * factor, "W_dec": arrays["W_dec"] / factor, "b_dec": arrays["b_dec"] / factor}
