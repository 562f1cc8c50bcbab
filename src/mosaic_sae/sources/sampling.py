"""Sampling and ranking by hash: what a row holds decides, never where it stands."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from mosaic_sae.errors import SourceError


def rank(seed: int, purpose: str, key: str) -> int:
    """Map a key to a number in [0, 2**128) that looks random; another seed or purpose gives another number."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{purpose}\x1f{key}".encode()).digest()[:16])


def quotas(counts: dict[str, int], total: int, lowest: dict[str, int], highest: dict[str, int]) -> dict[str, int]:
    """Share ``total`` out over classes in proportion to ``counts`` by largest remainders, within bounds.

    Where the bounds of all classes together allow ``total``, the quotas sum to it and are off their exact share by less
    than 1, except in classes that a bound moved. Equal remainders go by class name.
    """
    n_rows = sum(counts.values())
    exact = {name: total * count / n_rows for name, count in counts.items()}
    given = {name: min(max(int(exact[name]), lowest[name]), highest[name]) for name in counts}
    while sum(given.values()) < total:
        open_classes = [name for name in sorted(counts) if given[name] < highest[name]]
        if not open_classes:
            break
        given[max(open_classes, key=lambda name: exact[name] - given[name])] += 1
    while sum(given.values()) > total:
        open_classes = [name for name in sorted(counts) if given[name] > lowest[name]]
        if not open_classes:
            break
        given[max(open_classes, key=lambda name: given[name] - exact[name])] -= 1
    return given


def sample_rows(
    rows: list[int], texts: Sequence[str | None], labels: Sequence[str | None], ids: Sequence[str], max_rows: int, seed: int, what: str
) -> list[int]:
    """Choose ``max_rows`` of ``rows``, stratified by label, the same ones whatever order they come in.

    Inside a class, rows are ranked by a seeded hash of their text, so that row numbers used as ids do not matter; rows
    with one text go by id.

    Raises:
        SourceError: there are more classes than rows to keep.
    """
    by_label: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_label[labels[row] or ""].append(row)
    if max_rows < len(by_label):
        raise SourceError(f"{what}: max_rows is {max_rows}, but there are {len(by_label)} classes and each needs a row. Raise max_rows.")
    counts = {label: len(members) for label, members in by_label.items()}
    quota = quotas(counts, max_rows, dict.fromkeys(counts, 1), counts)
    chosen: list[int] = []
    for label, members in by_label.items():
        members.sort(key=lambda row: (rank(seed, "sample", texts[row] or ""), ids[row]))
        chosen += members[: quota[label]]
    return sorted(chosen)
