"""Pooled values to zeros and ones."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp

from mosaic_sae.errors import ProbeError


def binarise(features: sp.csr_array, threshold: float | None) -> sp.csr_array:
    """Replace each pooled value by 1 where it is >= ``threshold``, else by 0.

    Args:
        features: float32 [n_rows, d_sae], not changed.
        threshold: compared in float32, the precision of the values, so that a stored 0.7 passes a threshold of 0.7;
            None keeps the values.

    Returns:
        float32 [n_rows, d_sae] without stored zeros.

    Raises:
        ProbeError: the threshold is not a positive number.
    """
    if threshold is None:
        return features
    if not (threshold > 0 and math.isfinite(threshold)):
        raise ProbeError(
            f"binarize_values: got the threshold {threshold}; allowed are numbers above 0, or null to keep the values. "
            "With a threshold of 0 or less every latent of every example would become 1, because silent latents are 0."
        )
    passes = (features.data >= np.float32(threshold)).astype(np.float32)
    binary = sp.csr_array((passes, features.indices.copy(), features.indptr.copy()), shape=features.shape)
    binary.eliminate_zeros()
    return binary
