"""Names of poolings, and the integers that older configs use for them."""

from __future__ import annotations

import re

NAMED = ("sum", "mean", "max", "last")
_COUNT = re.compile(r"count_top_n\(\s*([1-9][0-9]*)\s*\)")
ALLOWED = "sum, mean, max, last, count_top_n(N) with N >= 1, or an integer: 0 = sum, N > 0 = count_top_n(N), -1 = last"


def canonical_pooling(value: int | str) -> str:
    """Return the one spelling of a pooling: "sum", "mean", "max", "last" or "count_top_n(20)".

    Raises:
        ValueError: the value names no pooling.
    """
    if isinstance(value, bool):
        raise ValueError(f"a pooling is one of: {ALLOWED}")
    if isinstance(value, int):
        if value < -1:
            raise ValueError(f"a pooling is one of: {ALLOWED}")
        return {0: "sum", -1: "last"}.get(value, f"count_top_n({value})")
    if value in NAMED:
        return value
    match = _COUNT.fullmatch(value)
    if not match:
        raise ValueError(f"a pooling is one of: {ALLOWED}")
    return f"count_top_n({match[1]})"


def top_n(pooling: str) -> int | None:
    """Return N for "count_top_n(N)", else None."""
    match = _COUNT.fullmatch(pooling)
    return int(match[1]) if match else None
