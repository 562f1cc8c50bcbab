"""Weights of a logistic probe on latents: which latents speak for which class, and for one example, how loudly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from mosaic_sae.probes.solver import LinearFit

N_TOP = 20
"""Latents listed per class."""


@dataclass(frozen=True)
class Coefficients:
    """The latents with a weight other than 0.

    A weight belongs to the latent divided by its largest value in the training part, so that weights compare across
    latents; weight / scale is the weight per unit of pooled value.
    """

    classes: list[str]
    latents: np.ndarray
    """int32 [m], ascending."""
    weights: np.ndarray
    """float64 [n_vectors, m]. Two classes: one vector, positive = the second class. More: one vector per class."""
    intercept: np.ndarray
    """float64 [n_vectors]."""
    scale: np.ndarray
    """float64 [m], all > 0."""

    @classmethod
    def of_fit(cls, fit: LinearFit, scale: np.ndarray, classes: list[str]) -> Coefficients:
        """Keep what is not 0."""
        latents = np.flatnonzero(fit.weights.any(axis=0)).astype(np.int32)
        return cls(classes, latents, fit.weights[:, latents], fit.intercept, scale[latents].astype(np.float64))

    def contributions(self, features: sp.csr_array) -> list[sp.csr_array]:
        """Return what each latent adds to the decision value of each row: one [n_rows, d_sae] per weight vector."""
        result = []
        for weights in self.weights:
            per_unit = np.zeros(features.shape[1])
            per_unit[self.latents] = weights / self.scale
            data = features.data * per_unit[features.indices]
            # Copies, because eliminate_zeros works in place.
            part = sp.csr_array((data, features.indices.copy(), features.indptr.copy()), shape=features.shape)
            part.eliminate_zeros()
            result.append(part)
        return result

    def decision(self, features: sp.csr_array) -> np.ndarray:
        """Return contributions + intercept: float64 [n_rows, n_vectors]."""
        totals = [part.sum(axis=1) for part in self.contributions(features)]
        return np.column_stack(totals) + self.intercept

    def top(self, n: int = N_TOP) -> list[dict[str, Any]]:
        """List up to ``n`` latents per class that speak for it, strongest first.

        With two classes there is one weight vector, and its signs are kept: the first class lists negative weights.
        """
        binary = len(self.weights) == 1
        listed = []
        for number, name in enumerate(self.classes):
            weights = self.weights[0 if binary else number]
            towards = -weights if binary and number == 0 else weights
            order = np.argsort(-towards, kind="stable")[:n]
            listed += [
                {"class": name, "latent": int(self.latents[i]), "weight": float(weights[i]), "scale": float(self.scale[i])}
                for i in order
                if towards[i] > 0
            ]
        return listed
