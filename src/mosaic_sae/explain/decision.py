"""How a saved probe decides on one example, from the files beside ``point.json``: no classifier is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.probes.save import COEFFICIENTS, load_coefficients


class Features(NamedTuple):
    """One example as a probe reads it: pooled, binarised, without zeros."""

    latents: np.ndarray
    """int64 [m], ascending."""
    values: np.ndarray
    """float32 [m]."""

    def without(self, latents: Collection[int]) -> Features:
        """Return the features with these latents at 0."""
        keep = ~np.isin(self.latents, list(latents))
        return Features(self.latents[keep], self.values[keep])

    def of(self, latents: np.ndarray) -> np.ndarray:
        """Return the values of these latents, 0 where they are silent: float64."""
        place = np.searchsorted(self.latents, latents).clip(0, max(len(self.latents) - 1, 0))
        if not len(self.latents):
            return np.zeros(len(latents))
        return np.where(self.latents[place] == latents, self.values[place], 0.0).astype(np.float64)


@dataclass(frozen=True)
class LinearDecision:
    """A logistic probe. Its scaling is folded in: what a latent adds is weight / scale x pooled value, and the bias is the intercept."""

    coefficients: Coefficients
    link: str
    """From logits to probabilities: "sigmoid" (two classes), "softmax", or "one_vs_rest" (sigmoids divided by their sum)."""

    @property
    def classes(self) -> list[str]:
        """The classes it tells apart."""
        return self.coefficients.classes

    def contributions(self, features: Features) -> np.ndarray:
        """Return what each of ``coefficients.latents`` adds to each logit: float64 [n_classes, m].

        With two classes there is one logit; the first class's is its negative.
        """
        parts = self.coefficients.weights / self.coefficients.scale * features.of(self.coefficients.latents)
        return np.concatenate([-parts, parts]) if len(parts) == 1 else parts

    @property
    def bias(self) -> np.ndarray:
        """Logits of an example on which no latent fires: float64 [n_classes]."""
        intercept = self.coefficients.intercept
        return np.concatenate([-intercept, intercept]) if len(intercept) == 1 else intercept

    def logits(self, features: Features) -> np.ndarray:
        """Return contributions + bias: float64 [n_classes]."""
        return self.contributions(features).sum(axis=1) + self.bias

    def probabilities(self, features: Features) -> np.ndarray:
        """Return the probability of each class: float64 [n_classes]."""
        logits = self.logits(features)
        if self.link == "softmax":
            return softmax(logits)
        single = expit(logits)
        return single if self.link == "sigmoid" else single / single.sum()


@dataclass(frozen=True)
class TreeDecision:
    """A decision tree, from the nodes of ``point.json``."""

    classes: list[str]
    nodes: Mapping[int, Mapping[str, Any]]
    root: int

    def path(self, features: Features) -> list[int]:
        """Return the nodes that an example passes, from the root to a leaf."""
        path = [self.root]
        while (node := self.nodes[path[-1]])["latent"] is not None:
            value = features.of(np.array([node["latent"]]))[0]
            path.append(node["left"] if value <= node["threshold"] else node["right"])
        return path

    def shares(self, node: int) -> np.ndarray:
        """Return the share of each class among the training examples of a node, classes weighted equally: float64 [n_classes]."""
        counts = np.asarray(self.nodes[node]["counts"], dtype=np.float64)
        of_class = np.asarray(self.nodes[self.root]["counts"], dtype=np.float64)
        weighted = np.divide(counts, of_class, out=np.zeros(len(counts)), where=of_class > 0)
        return weighted / weighted.sum()

    def probabilities(self, features: Features) -> np.ndarray:
        """Return the probability of each class, the shares of its leaf: float64 [n_classes]."""
        return self.shares(self.path(features)[-1])


def load_decision(folder: Path, point: Mapping[str, Any]) -> LinearDecision | TreeDecision:
    """Read the probe of a point.

    Args:
        folder: of the point.
        point: content of its ``point.json``.

    Raises:
        ProbeError: the point keeps neither coefficients nor a tree.
    """
    if point.get("tree"):
        nodes = point["tree"]["nodes"]
        return TreeDecision(list(point["classes"]), {node["id"]: node for node in nodes}, nodes[0]["id"])
    if not (folder / COEFFICIENTS).is_file():
        raise ProbeError(f"{folder} holds neither {COEFFICIENTS} nor a tree; the decisions of this point cannot be explained.")
    coefficients = load_coefficients(folder / COEFFICIENTS)
    # probes.logistic fits several classes one against the rest with L1, together with L2.
    of_several = "one_vs_rest" if point["hyperparameters"].get("penalty") == "l1" else "softmax"
    return LinearDecision(coefficients, "sigmoid" if len(coefficients.weights) == 1 else of_several)
