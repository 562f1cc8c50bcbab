"""Planted data: sparse features in which known latents carry the label and all others are noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from mosaic_sae.config.schema import ClassificationParams
from mosaic_sae.sources.splits import Split


@dataclass
class Planted:
    features: sp.csr_array
    labels: list[str]
    units: list[str]
    keys: list[str]
    split: Split

    def but(self, **changes: Any) -> Planted:
        return Planted(**{**self.__dict__, **changes})


def make_split(n: int, seed: int, share: float = 0.3) -> Split:
    order = np.random.default_rng(seed).permutation(n)
    cut = int(n * share)
    return Split("random", np.sort(order[cut:]), np.sort(order[:cut]))


@pytest.fixture
def make_planted() -> Callable[..., Planted]:
    """Class c of "a", "b", ... makes latent 7 + 10 c fire; d_sae latents fire at random besides."""

    def make(n: int = 160, d_sae: int = 60, n_classes: int = 2, signal: float = 3.0, seed: int = 0) -> Planted:
        rng = np.random.default_rng(seed)
        noise = rng.gamma(1.0, 1.0, (n, d_sae)) * (rng.random((n, d_sae)) < 0.2)
        classes = rng.permutation(np.arange(n) % n_classes)
        # Each latent has its own scale, as SAE latents have.
        values = noise * rng.uniform(0.5, 20.0, d_sae)
        if signal:
            values[np.arange(n), 7 + 10 * classes] += signal * 20 * rng.uniform(0.5, 1.0, n)
        labels = ["abcdefgh"[c] for c in classes]
        return Planted(
            sp.csr_array(values.astype(np.float32)),
            labels,
            [f"u{i}" for i in range(n)],
            [f"text {i}" for i in range(n)],
            make_split(n, seed),
        )

    return make


@pytest.fixture
def params() -> ClassificationParams:
    return ClassificationParams(cv_folds=3, n_bootstrap=200)
