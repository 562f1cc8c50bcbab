"""The control that asks whether trained directions matter: an SAE of the same width and sparsity with random ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.base import SparseAutoencoder


def random_sae(like: SparseAutoencoder, l0: float, seed: int) -> SparseAutoencoder:
    """Make a random SAE of the same shape; equal seeds give equal arrays on every machine.

    Encoder directions are Gaussian and scaled to norm 1, the decoder is their transpose, and the ``round(l0)`` largest
    projections are active (topk). b_dec and the input normalisation are copied. Activations are always centred by b_dec,
    also where ``like`` does that through its encoder bias: uncentred, the common mean would decide which latents fire.

    Args:
        like: the SAE to stand beside.
        l0: mean number of active latents of ``like``, as measured.
        seed: seed of the directions.

    Raises:
        SaeError: ``l0`` is not between 1 and d_sae when rounded, or ``like`` is a transcoder.
    """
    if like.is_transcoder:
        # A transcoder's files hold the mean of its output, not of its input.
        raise SaeError(
            f"No random SAE can stand beside transcoder '{like.metadata.name}': nothing says where the activations it reads are centred. "
            "Remove random_sae from classification_params.baselines."
        )
    k = round(l0)
    if not 1 <= k <= like.d_sae:
        raise SaeError(f"A random SAE beside '{like.metadata.name}' needs an L0 from 1 to {like.d_sae}, got {l0:g}.")
    directions = np.random.default_rng(seed).standard_normal((like.d_sae, like.d_model), dtype=np.float32)
    # Norms in float64, then rounded: the order of summation, which differs between machines, cannot show.
    norms = np.sqrt(np.square(directions, dtype=np.float64).sum(axis=1)).astype(np.float32)
    W_dec = torch.from_numpy(directions / norms[:, None]).to(like.device)
    return SparseAutoencoder(
        metadata=dataclasses.replace(like.metadata, name=f"random_k{k}_seed{seed}_{like.metadata.name}", l0=float(k)),
        architecture="topk",
        W_enc=W_dec.T,
        W_dec=W_dec,
        b_enc=torch.zeros(like.d_sae, device=like.device),
        b_dec=like.b_dec,
        k=k,
        normalize_activations=like.normalize_activations,
        apply_b_dec_to_input=True,
    )
