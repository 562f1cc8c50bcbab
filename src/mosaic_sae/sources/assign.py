"""Deal units out to sides and folds: greedy, by a seeded hash, class by class as evenly as whole units allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mosaic_sae.sources.sampling import quotas, rank


@dataclass(frozen=True)
class Unit:
    """Rows that stay together: the key and how many rows of each class there are."""

    key: str
    counts: Counter[str] = field(hash=False)


def make_units(labels: Sequence[str], units: Sequence[str]) -> list[Unit]:
    """Count the classes of each unit; units are sorted by key."""
    counts: dict[str, Counter[str]] = {}
    for label, unit in zip(labels, units, strict=True):
        counts.setdefault(unit, Counter())[label] += 1
    return [Unit(key, counts[key]) for key in sorted(counts)]


def choose_test_units(units: list[Unit], test_size: float, seed: int) -> set[str]:
    """Choose the units of the test part.

    Every class has a wanted number of test rows: its share of ``test_size`` by largest remainders, at least one and not
    all. Units are visited in the order of their hash; one goes to test if that brings the class counts nearer to the
    wanted ones (smaller sum of squares). With units of one row this meets the wanted numbers exactly. A class that sits
    in one unit stays in train. Units are then moved, smallest first, if a class would otherwise be missing from a side.
    """
    rows, n_units = Counter[str](), Counter[str]()
    for unit in units:
        rows.update(unit.counts)
        n_units.update(unit.counts.keys())
    # A class that cannot be parted leaves its share of the test part to no other class: that would drain their train part.
    partable = {name: count for name, count in rows.items() if n_units[name] > 1}
    if not partable:
        return set()
    highest = {name: count - 1 for name, count in partable.items()}
    needed = quotas(partable, max(1, round(test_size * sum(partable.values()))), dict.fromkeys(partable, 1), highest)

    movable = sorted((unit for unit in units if all(n_units[name] > 1 for name in unit.counts)), key=_order(seed, "test"))
    chosen: dict[str, Unit] = {}
    for unit in movable:
        gain = sum(n * (2 * needed[name] - n) for name, n in unit.counts.items())
        if gain > 0:
            chosen[unit.key] = unit
            for name, n in unit.counts.items():
                needed[name] -= n
    _cover_classes(movable, chosen, rows, n_units, seed)
    return set(chosen)


def _cover_classes(movable: list[Unit], chosen: dict[str, Unit], rows: Counter[str], n_units: Counter[str], seed: int) -> None:
    """Move units between the sides until each class that has two units is on both, where that is possible."""
    smallest_first = sorted(movable, key=lambda unit: (sum(unit.counts.values()), _order(seed, "cover")(unit)))
    for name in sorted(rows, key=lambda name: (n_units[name], name)):
        if n_units[name] < 2:
            continue
        in_test = sum(unit.counts[name] > 0 for unit in chosen.values())
        if 0 < in_test < n_units[name]:
            continue
        to_test = in_test == 0
        candidates = [unit for unit in smallest_first if unit.counts[name] and (unit.key in chosen) != to_test]
        for unit in candidates:
            trial = {key: one for key, one in chosen.items() if key != unit.key} | ({unit.key: unit} if to_test else {})
            held = Counter(other for one in trial.values() for other in one.counts)
            # Only a move that strips no other class of its last unit on the side it leaves.
            if all(n_units[other] < 2 or 0 < held[other] < n_units[other] for other in unit.counts):
                chosen.clear()
                chosen.update(trial)
                break


def assign_folds(units: list[Unit], n_folds: int, seed: int) -> dict[str, int]:
    """Return the fold of each unit.

    Units are dealt out from the largest, equal sizes in the order of their hash, each to the fold that has the least of
    its classes, then the fewest rows. Units of one row so differ by at most one row per class between folds. The last
    unit of a class never joins the fold that holds all others of it, if another fold can take it.
    """
    totals, left = Counter[str](), Counter[str]()
    for unit in units:
        totals.update(unit.counts)
        left.update(unit.counts.keys())
    have: list[Counter[str]] = [Counter() for _ in range(n_folds)]
    sizes = [0] * n_folds
    fold_of: dict[str, int] = {}
    order = _order(seed, "fold")
    for unit in sorted(units, key=lambda unit: (-sum(unit.counts.values()), order(unit))):
        barred = set()
        for name in unit.counts:
            holders = [fold for fold in range(n_folds) if have[fold][name]]
            if left[name] == 1 and len(holders) == 1:
                barred.add(holders[0])
        open_folds = [fold for fold in range(n_folds) if fold not in barred] or list(range(n_folds))
        best = min(
            open_folds,
            key=lambda fold: (sum(n * have[fold][name] / totals[name] for name, n in sorted(unit.counts.items())), sizes[fold], fold),
        )
        fold_of[unit.key] = best
        have[best].update(unit.counts)
        sizes[best] += sum(unit.counts.values())
        left.subtract(unit.counts.keys())
    return fold_of


def _order(seed: int, purpose: str) -> Callable[[Unit], tuple[int, str]]:
    return lambda unit: (rank(seed, purpose, unit.key), unit.key)
