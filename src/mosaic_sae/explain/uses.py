"""Which latents a point uses, for which class, and how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mosaic_sae.probes.coefficients import Coefficients


@dataclass(frozen=True)
class LatentUse:
    """One latent in one point."""

    latent: int
    label: str
    """The class it speaks for; of a tree, the class that a value above its threshold makes more likely."""
    weight: float
    """Logistic: weight of the scaled value; negative = speaks for the first of two classes, or against ``label``. Tree: its importance."""
    rank: int
    """1 = the largest of its label in this point."""


def uses_of(point: Mapping[str, Any], coefficients: Coefficients | None = None) -> list[LatentUse]:
    """List the latents of a point.

    Args:
        point: content of a ``point.json``.
        coefficients: all weights of a logistic probe; without them, the latents that ``point.json`` lists.

    Returns:
        One entry per latent, by rank.
    """
    if point["tree"]:
        return _ranked(tree_uses(point["tree"]["nodes"], point["classes"]))
    if coefficients is not None:
        return _ranked(_weights(coefficients))
    strongest: dict[int, tuple[int, str, float]] = {}
    for top in sorted(point["top_latents"], key=lambda top: -abs(top["weight"])):
        strongest.setdefault(top["latent"], (top["latent"], top["class"], top["weight"]))
    return _ranked(strongest.values())


def tree_uses(nodes: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[tuple[int, str, float]]:
    """Return (latent, class, importance) of a tree's latents; importances sum to 1.

    The importance of a latent is the sum, over the nodes that ask for it, of the impurity that the node takes away, weighted by the
    share of training rows that reach it, classes weighted equally (Breiman et al. 1984, section 5.3.4; ``feature_importances_`` of
    scikit-learn).
    """
    counts = np.array([node["counts"] for node in nodes], dtype=np.float64)
    balanced = counts / np.maximum(counts[0], 1)
    weight = balanced.sum(axis=1)
    gains: dict[int, list[tuple[float, int]]] = {}
    for number, node in enumerate(nodes):
        if node["latent"] is not None:
            left, right = node["left"], node["right"]
            after = sum(weight[child] * nodes[child]["impurity"] for child in (left, right))
            shares = balanced[right] / weight[right] - balanced[left] / weight[left]
            gains.setdefault(node["latent"], []).append((weight[number] * node["impurity"] - after, int(shares.argmax())))
    total = sum(gain for found in gains.values() for gain, _ in found) or 1.0
    return [(latent, classes[max(found)[1]], sum(gain for gain, _ in found) / total) for latent, found in gains.items()]


def _weights(coefficients: Coefficients) -> Iterable[tuple[int, str, float]]:
    weights = coefficients.weights
    if len(weights) == 1:
        label = (weights[0] > 0).astype(int)
        value = weights[0]
    else:
        # A latent that speaks against every class belongs to the one it speaks against most.
        label = np.where(weights.max(axis=0) > 0, weights.argmax(axis=0), weights.argmin(axis=0))
        value = weights[label, np.arange(weights.shape[1])]
    names = [coefficients.classes[number] for number in label]
    return zip(coefficients.latents.tolist(), names, value.tolist(), strict=True)


def _ranked(found: Iterable[tuple[int, str, float]]) -> list[LatentUse]:
    rank: dict[str, int] = {}
    ranked = []
    for latent, label, weight in sorted(found, key=lambda use: (-abs(use[2]), use[0])):
        rank[label] = rank.get(label, 0) + 1
        ranked.append(LatentUse(latent, label, weight, rank[label]))
    return ranked
