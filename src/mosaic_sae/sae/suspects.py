"""What may be wrong between an SAE and the activations it is given: each suspicion is an SAE with one convention changed.

If the changed one explains clearly more variance, the suspicion is confirmed; nothing is guessed from names.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from mosaic_sae.sae.base import SparseAutoencoder
from mosaic_sae.sae.normalise import fold_scaling_factor

# Factors nearer to 1 than this hardly change what an SAE gives.
_SMALLEST_FACTOR = 1.1


@dataclass(frozen=True)
class Suspect:
    """One convention that may be wrong."""

    fault: str
    """Short name, for tables."""
    words: str
    """What is wrong if it is confirmed."""
    remedy: str
    """What to change then."""
    sae: SparseAutoencoder
    """The SAE with that convention changed."""


def suspects(sae: SparseAutoencoder, acts: torch.Tensor, norm_scaling_factor: float | None = None) -> list[Suspect]:
    """List the conventions that may be wrong.

    Args:
        sae: the SAE as it is used.
        acts: activations [n d_model] that it reads.
        norm_scaling_factor: the factor that the config gives for it, already folded into ``sae``.
    """
    found = _normalisations(sae) + _factors(sae, acts, norm_scaling_factor)
    if not sae.is_transcoder and sae.b_dec.abs().max() > 0:
        now, other = ("subtracted", "not subtracted") if sae.apply_b_dec_to_input else ("not subtracted", "subtracted")
        found.append(
            Suspect(
                "b_dec",
                f"the bias b_dec is {now} from the input, but this SAE was trained with it {other}",
                f"Set apply_b_dec_to_input to {str(not sae.apply_b_dec_to_input).lower()} in the SAE's config.",
                dataclasses.replace(sae, apply_b_dec_to_input=not sae.apply_b_dec_to_input),
            )
        )
    if sae.architecture == "topk":
        found.append(
            Suspect(
                "decoder norm",
                "latents are measured in the wrong unit: norms of decoder directions are "
                + ("multiplied in, but must not be" if sae.rescale_acts_by_decoder_norm else "ignored, but belong to the latents"),
                f"Set rescale_acts_by_decoder_norm to {str(not sae.rescale_acts_by_decoder_norm).lower()} in the SAE's config.",
                dataclasses.replace(sae, rescale_acts_by_decoder_norm=not sae.rescale_acts_by_decoder_norm),
            )
        )
    if sae.architecture == "standard" and sae.metadata.l0 and 1 <= round(sae.metadata.l0) <= sae.d_sae:
        k = round(sae.metadata.l0)
        found.append(
            Suspect(
                "top-k read as ReLU",
                f"this is a top-k SAE that is read as a ReLU one: with the {k} largest latents alone it fits",
                f"Set architecture to topk and k to {k} in the SAE's config.",
                dataclasses.replace(sae, architecture="topk", k=k),
            )
        )
    return found


def _normalisations(sae: SparseAutoencoder) -> list[Suspect]:
    trained = {
        "none": "on activations as they are",
        "layer_norm": "on layer-normalised activations",
        "constant_norm_rescale": "on activations brought to norm sqrt(d_model), token by token",
        "centre": "on activations whose mean over d_model was taken away (a model with centred writing weights)",
    }
    return [
        Suspect(
            f"normalisation {kind}",
            f"the input is normalised by '{sae.normalize_activations}', but this SAE was trained {how}",
            f"Set normalize_activations to {kind} in the SAE's config.",
            dataclasses.replace(sae, normalize_activations=kind),
        )
        for kind, how in trained.items()
        if kind != sae.normalize_activations
    ]


def _factors(sae: SparseAutoencoder, acts: torch.Tensor, given: float | None) -> list[Suspect]:
    if sae.normalize_activations in {"layer_norm", "constant_norm_rescale"}:
        return []  # they undo any factor
    found = []
    factor = float(sae.d_model**0.5 / acts.float().norm(dim=1).mean())
    if max(factor, 1 / factor) > _SMALLEST_FACTOR:
        found.append(
            Suspect(
                "missing factor",
                f"this SAE was trained on activations scaled by one factor (here about {factor:.4g}), which is not applied",
                f"Set sae.norm_scaling_factor to the factor that its makers give (about {factor:.4g}) and normalize_activations to "
                "expected_average_only_in in the SAE's config.",
                _folded(sae, factor),
            )
        )
    if given is not None and max(given, 1 / given) > _SMALLEST_FACTOR:
        found.append(
            Suspect(
                "needless factor",
                f"the norm_scaling_factor {given:.4g} is applied, but this SAE reads activations as they are (or it is folded in already)",
                "Remove sae.norm_scaling_factor.",
                _folded(sae, 1 / given),
            )
        )
    return found


def _folded(sae: SparseAutoencoder, factor: float) -> SparseAutoencoder:
    if sae.is_transcoder:  # what it predicts is in other units than what it reads
        return dataclasses.replace(sae, W_enc=sae.W_enc * factor)
    changed = fold_scaling_factor(sae.arrays, factor)
    return dataclasses.replace(sae, W_enc=changed["W_enc"], W_dec=changed["W_dec"], b_dec=changed["b_dec"])
