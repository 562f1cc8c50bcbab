"""Splits for transfer: train on one domain (a language, or texts or images), test on the same rows of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import ProbeError, nearest
from mosaic_sae.sources.assign import make_units
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.sampling import rank
from mosaic_sae.sources.splits import Split, column_sides, random_sides, shares_a_unit_with_test
from mosaic_sae.sources.units import duplicate_units

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DomainSplit:
    """The split that trains on a share of one domain."""

    domain: str
    share: float
    rows: Split


def row_domains(examples: Examples, by: str) -> list[str]:
    """Return the domain of each row: its language ("" = unknown), or "text" or "image"."""
    if by == "modality":
        return examples.modalities
    return [language.strip() for language in examples.languages or []]


def domain_splits(examples: Examples, spec: SplitSpec, test_size: float, seed: int) -> list[DomainSplit]:
    """Make one split for each domain to train on and each share of its training part.

    The sides are the dataset's own when it names a split column, else units are dealt out so that each class of each
    domain has ``test_size`` of its rows in the test part. A unit, so all translations of an item, or its text and its
    picture, is on one side. The test part of every split made here is the same: all test rows of all domains. Training
    parts of several domains and shares are nested and take the same units first, so that parallel data train on the same
    items.

    Args:
        examples: rows with their domains; those without one are on neither side, and counted.
        spec: of kind language or modality.
        test_size: share of test rows where the dataset does not say.
        seed: of the random sides and of the reduction to equal sizes.

    Raises:
        ProbeError: a single domain, a domain asked for that cannot be trained on, or none that can.
    """
    import numpy as np

    assert spec.by is not None
    where = f"dataset '{examples.name}', split '{spec.label}'"
    domains = row_domains(examples, spec.by)
    known = sorted(set(domains) - {""})
    if len(known) < 2:
        raise ProbeError(_one_domain(spec.by, known, where))
    units, notes = duplicate_units(examples), dict[str, Any]()
    if examples.splits is not None:
        in_test = column_sides(examples, notes)
        left_out = shares_a_unit_with_test(units, in_test)
    else:
        strata = [f"{domain}\x1f{label}" for domain, label in zip(domains, examples.labels, strict=True)]
        in_test, left_out = random_sides(examples, units, strata, test_size, seed), [False] * len(units)
    if unknown := domains.count(""):
        notes["rows_without_language"] = unknown
    if spec.by == "modality" and (both := sum(map(bool, examples.texts)) - domains.count("text")):
        notes["images_with_text"] = both
    test = np.array([row for row in range(len(units)) if in_test[row] and domains[row]], dtype=np.int64)
    parts: dict[str, list[int]] = {domain: [] for domain in known}
    for row, domain in enumerate(domains):
        if domain and not in_test[row] and not left_out[row]:
            parts[domain].append(row)
    if n_out := sum(left_out):
        notes["left_out_of_train"] = n_out
    unfit = {name: why for name, rows in parts.items() if (why := _unfit(rows, units, examples, spec.min_train))}
    chosen = _chosen(spec, known, unfit, where)
    if not_trained := {name: unfit.get(name, "not listed in languages") for name in known if name not in chosen}:
        notes["not_trained_on"] = not_trained
    if not len(test):
        raise ProbeError(f"{where}: test has no rows. Check the cells of split_field, or use another test_size.")
    smallest = min(len(parts[name]) for name in chosen)
    splits = []
    for domain in chosen:
        rows = parts[domain]
        order = _deal(rows, units, examples.labels, seed, spec.by)
        whole = smallest if spec.equal_sizes else len(rows)
        for share in sorted(spec.train_shares):
            train = _first(order, round(share * whole))
            about = notes | {"by": spec.by, "domain": domain, "share": share, "training_rows_there": len(rows)}
            splits.append(DomainSplit(domain, share, Split(split_name(spec, domain, share), train, test, about)))
    return splits


def _one_domain(by: str, known: list[str], where: str) -> str:
    if by == "modality":
        return f"{where}: needs text rows and image rows; there are {known[0] if known else 'no'} rows only."
    return f"{where}: needs rows in two languages or more; language_field holds {known[0] if known else 'nothing'} only."


def split_name(spec: SplitSpec, domain: str, share: float) -> str:
    """Name the split that trains on a share of one domain: "language de", "language de 25%"."""
    return f"{spec.label} {domain}" + (f" {100 * share:g}%" if share < 1 else "")


def _unfit(rows: list[int], units: Sequence[str], examples: Examples, min_train: int) -> str:
    """Why a domain cannot be trained on; empty when it can."""
    if len(rows) < min_train:
        return f"{len(rows):,} training rows, fewer than min_train ({min_train:,})"
    # Cross-validation needs a unit to fit on and one to score on.
    have = Counter(label for _, label in {(units[row], examples.labels[row]) for row in rows})
    for label in examples.classes:
        if have[label] < 2:
            return f"{have[label]} independent training examples of class '{label}', at least 2 are needed"
    return ""


def _chosen(spec: SplitSpec, known: list[str], unfit: dict[str, str], where: str) -> list[str]:
    for name in spec.languages:
        if name not in known:
            raise ProbeError(f"{where}: no row is in language '{name}'.{nearest(name, known)} Languages: {', '.join(known)}.")
        if name in unfit:
            raise ProbeError(
                f"{where}: language '{name}' cannot be trained on: {unfit[name]}. Leave it out of languages, or lower min_train."
            )
    chosen = [name for name in known if name not in unfit and (not spec.languages or name in spec.languages)]
    if not chosen:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(unfit.items())[:5])
        raise ProbeError(f"{where}: no {spec.by} can be trained on. {reasons}. Lower min_train, or use more data.")
    return chosen


def _deal(rows: Sequence[int], units: Sequence[str], labels: Sequence[str], seed: int, by: str) -> list[tuple[float, list[int]]]:
    """Put units, each with its place and its rows, into an order of which every beginning has about the classes' shares of the whole.

    Inside a class, units are ranked by a seeded hash of their key; the i-th of n stands at (i + 1/2) / n. The first two of
    each class stand at 0, so that no beginning lacks a class.
    """
    members: dict[str, list[int]] = {}
    for row in rows:
        members.setdefault(units[row], []).append(row)
    by_class: dict[str, list[str]] = {}
    for unit in make_units([labels[row] for row in rows], [units[row] for row in rows]):
        by_class.setdefault(max(sorted(unit.counts), key=lambda label: unit.counts[label]), []).append(unit.key)
    places = []
    for label, keys in by_class.items():
        keys.sort(key=lambda key: (rank(seed, by, key), key))
        places += [(0.0 if i < 2 else (i + 0.5) / len(keys), label, i, key) for i, key in enumerate(keys)]
    return [(place, members[key]) for place, *_, key in sorted(places)]


def _first(order: list[tuple[float, list[int]]], n_rows: int) -> np.ndarray:
    """Take whole units from the beginning while they fit into ``n_rows``; those at place 0 always."""
    import numpy as np

    taken: list[int] = []
    for place, unit in order:
        # No smaller unit is sought where one does not fit: that would take parts of different sizes out of one another.
        if place > 0 and len(taken) + len(unit) > n_rows:
            break
        taken += unit
    return np.array(sorted(taken), dtype=np.int64)
