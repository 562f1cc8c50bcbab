"""Multiple choice: from log-probabilities to the choice that a model makes, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Choice:
    """What a model picks of one question."""

    predicted: int
    by_tokens: list[float]
    """Log-probability of each choice over its number of tokens."""
    by_bytes: list[float]
    """The same over its number of UTF-8 bytes."""
    confidence: float
    """Softmax of the scores that decide: the largest."""
    margin: float
    """The largest of them minus the second."""


def choose(log_probs: Sequence[float], n_tokens: Sequence[int], choices: Sequence[str], normalise: str) -> Choice:
    """Pick the choice with the largest score; of equal ones the first.

    A sum of log-probabilities favours short choices, its mean over tokens or bytes does so less ("acc" and "acc_norm" of
    the LM evaluation harness use none and bytes).

    Args:
        log_probs: log P(choice | question), natural logarithm.
        n_tokens: tokens of each choice.
        choices: their texts.
        normalise: "none", "tokens" or "bytes".
    """
    raw = np.asarray(log_probs, dtype=np.float64)
    by_tokens = raw / np.asarray(n_tokens)
    by_bytes = raw / np.array([len(choice.encode("utf-8")) for choice in choices])
    scores = {"none": raw, "tokens": by_tokens, "bytes": by_bytes}[normalise]
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    second, first = np.sort(shares)[-2:]
    return Choice(int(scores.argmax()), by_tokens.tolist(), by_bytes.tolist(), float(first), float(first - second))
