"""How well an SAE explains activations: fraction of variance unexplained, L0, dead latents, density; batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.base import SparseAutoencoder
from mosaic_sae.sae.latents import SparseLatents


@dataclass(frozen=True)
class Quality:
    """Figures over the tokens seen."""

    fvu: float | None
    """sum ||x - x_hat||^2 / sum ||x - mean x||^2; 0 = perfect, 1 = no better than the mean. Of a transcoder, x is the target;
    None = targets were not given, or there are fewer than two different tokens."""
    explained_variance: float | None
    """1 - fvu."""
    l0: float
    """Mean number of active latents per token."""
    dead_share: float
    """Share of latents active on none of the ``n_tokens`` tokens; few tokens make rare latents look dead."""
    n_tokens: int
    """Tokens that all figures are over."""


class QualityMeter:
    """Accumulate quality over batches; the result does not depend on how tokens are batched.

    Args:
        sae: the SAE to measure.
        with_fit: whether reconstructions are compared; without, no targets are needed and ``fvu`` is None.
    """

    def __init__(self, sae: SparseAutoencoder, with_fit: bool = True) -> None:
        self._sae, self._with_fit = sae, with_fit
        self._n_tokens = 0
        self._n_active = 0
        self._error = 0.0
        self._mean = np.zeros(sae.d_out, dtype=np.float64)
        self._variation = 0.0  # sum ||x - mean||^2 so far
        self._counts = np.zeros(sae.d_sae, dtype=np.int64)

    @torch.no_grad()
    def add(self, acts: torch.Tensor, latents: SparseLatents | None = None, target: torch.Tensor | None = None) -> None:
        """Take in some tokens.

        Args:
            acts: activations [n d_model] that the SAE reads.
            latents: theirs; None = encoded here.
            target: activations [n d_out] at the output hook point; for transcoders, and only for them, when the fit is measured.

        Raises:
            SaeError: a transcoder without target, a target of another shape, or a target for an SAE.
        """
        if not len(acts):
            return
        latents = self._sae.encode(acts) if latents is None else latents
        if self._with_fit:
            exact = self._reconstructed(acts, target).cpu().double()  # some accelerators have no float64
            self._error += float((exact - self._sae.decode(latents, acts).cpu().double()).square().sum())
            self._add_variation(exact)
        self._n_tokens += len(acts)
        self._n_active += len(latents.indices)
        self._counts += np.bincount(latents.indices, minlength=self._sae.d_sae)

    def _reconstructed(self, acts: torch.Tensor, target: torch.Tensor | None) -> torch.Tensor:
        sae = self._sae
        if not sae.is_transcoder:
            if target is not None:
                raise SaeError(f"SAE '{sae.metadata.name}' reconstructs what it reads; it has no other target.")
            return acts
        if target is None or target.shape != (len(acts), sae.d_out):
            raise SaeError(
                f"Transcoder '{sae.metadata.name}' predicts activations at {sae.metadata.output_hook_name or 'another hook point'}; "
                f"its quality needs them, of shape [{len(acts)}, {sae.d_out}], got {'none' if target is None else list(target.shape)}."
            )
        return target

    def _add_variation(self, exact: torch.Tensor) -> None:
        # Means are merged as by Chan, Golub and LeVeque (1979); sum x^2 - (sum x)^2 / n would cancel.
        n_new = len(exact)
        mean = exact.mean(dim=0)
        variation = float((exact - mean).square().sum())
        shift = mean.numpy() - self._mean
        n_all = self._n_tokens + n_new
        self._variation += variation + float(shift @ shift) * self._n_tokens * n_new / n_all
        self._mean += shift * n_new / n_all

    @property
    def density(self) -> np.ndarray:
        """Share of tokens on which each latent is active, float64 [d_sae]."""
        return self._counts / max(self._n_tokens, 1)

    def result(self) -> Quality:
        """Return the figures over all tokens so far."""
        fvu = self._error / self._variation if self._variation else None
        return Quality(
            fvu=fvu,
            explained_variance=None if fvu is None else 1 - fvu,
            l0=self._n_active / max(self._n_tokens, 1),
            dead_share=float(np.mean(self._counts == 0)),
            n_tokens=self._n_tokens,
        )
