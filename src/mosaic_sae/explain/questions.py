"""The questions of a decision tree in words."""

from __future__ import annotations


def question(latent: int, pooling: str, threshold: float | None, cut: float) -> str:
    """Say what a node asks; ``threshold`` is that of binarised features, ``cut`` that of the node."""
    if threshold is not None:
        return f"Does the {pooling} of latent {latent} reach {threshold:g}?"
    return f"Is the {pooling} of latent {latent} above {cut:.4g}?"


def short_question(latent: int, threshold: float | None, cut: float) -> str:
    """Say the same in a few letters, for a drawing."""
    return f"latent {latent} ≥ {threshold:g}?" if threshold is not None else f"latent {latent} > {cut:.4g}?"


def answers(threshold: float | None, cut: float) -> tuple[str, str]:
    """Return the answers that lead to the left and to the right."""
    return ("no", "yes") if threshold is not None else (f"no (≤ {cut:.4g})", f"yes (> {cut:.4g})")
