"""Train and test: seeded, stratified, never parting a unit, and the same whatever order the rows come in.

Every decision ranks units by a seeded hash of their key, which is made of their texts (see ``units``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import ProbeError, nearest
from mosaic_sae.sources.assign import Unit, assign_folds, choose_test_units, make_units
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.units import duplicate_units

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Split", "cv_folds", "duplicate_units", "make_split"]

SIDES = {"train": "train", "test": "test", "validation": "train", "valid": "train", "val": "train", "dev": "train"}


@dataclass(frozen=True)
class Split:
    """Row numbers of the two sides of a split.

    Attributes:
        name: Name in tables and paths.
        train: Row numbers, ascending, int64 [n_train].
        test: Row numbers, ascending, int64 [n_test].
        notes: What a reader should know, with counts: rows left out of both sides, classes that only one side has.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)


def make_split(examples: Examples, spec: SplitSpec, test_size: float, seed: int) -> Split:
    """Part examples into train and test.

    random: whole units, class by class as near to ``test_size`` as the units allow. column: the dataset's own split;
    validation rows count as train, since everything that is chosen is chosen by cross-validation inside train. holdout:
    all rows whose field has one of the values are test. In the last two, train rows that share a unit with the test
    part are left out of both sides and counted in ``notes``.

    Args:
        examples: The rows to part.
        spec: Kind of split and its arguments.
        test_size: Share of rows in the test part of a random split.
        seed: Seed of a random split; the other kinds have no chance in them.

    Raises:
        ProbeError: unknown field, value or side; a side without rows; train without one of the classes.
    """
    units = duplicate_units(examples)
    if spec.kind == "random":
        in_test = random_sides(examples, units, examples.labels, test_size, seed)
        return _finish(examples, spec, in_test, [False] * len(in_test), {})
    notes: dict[str, Any] = {}
    in_test = column_sides(examples, notes) if spec.kind == "column" else _holdout_sides(examples, spec)
    return _finish(examples, spec, in_test, shares_a_unit_with_test(units, in_test), notes)


def shares_a_unit_with_test(units: Sequence[str], in_test: Sequence[bool]) -> list[bool]:
    """Say of each row whether it is a train row that shares a unit with the test part, and so belongs to neither side."""
    tested = {unit for unit, test in zip(units, in_test, strict=True) if test}
    return [unit in tested and not test for unit, test in zip(units, in_test, strict=True)]


def cv_folds(labels: Sequence[str], units: Sequence[str], n_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Part rows into folds for cross-validation, whole units at a time, each class spread evenly.

    Args:
        labels: Label of each row of the train part.
        units: Unit of each row, as ``duplicate_units`` gives it.
        n_folds: Number of folds, at least 2.
        seed: Seed of the order in which units are dealt out.

    Returns:
        For each fold the row numbers (of the lists given) to fit on and to score on, ascending int64; the second parts
        of all folds together are all rows, each once.

    Raises:
        ProbeError: fewer units than folds, or a class that would be missing from what one fold fits on.
    """
    import numpy as np

    members = make_units(labels, units)
    if len(members) < n_folds:
        raise ProbeError(
            f"cross-validation with {n_folds} folds needs {n_folds} independent units (distinct texts or groups) in the train part,"
            f" there are {len(members)}. Lower classification_params.cv_folds, or use more data."
        )
    fold_of = assign_folds(members, n_folds, seed)
    folds = np.array([fold_of[unit] for unit in units])
    names = np.array(labels)
    result = []
    for fold in range(n_folds):
        fit, score = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        missing = sorted(set(names) - set(names[fit]))
        if missing:
            raise ProbeError(
                f"cross-validation: all rows of class '{missing[0]}' share one text or group, so they cannot be both fitted on and scored."
                f" Leave the class out, or add rows of it."
            )
        result.append((fit, score))
    return result


def random_sides(examples: Examples, units: list[str], strata: Sequence[str], test_size: float, seed: int) -> list[bool]:
    """Say of each row whether it is in the test part: whole units, ``test_size`` of each stratum as nearly as they allow.

    Raises:
        ProbeError: the units cannot be parted.
    """
    members = make_units(strata, units)
    chosen = choose_test_units(members, test_size, seed)
    if not chosen or len(chosen) == len(members):
        raise ProbeError(_cannot_part(examples, members, test_size))
    return [unit in chosen for unit in units]


def _cannot_part(examples: Examples, members: list[Unit], test_size: float) -> str:
    largest = max(sum(unit.counts.values()) for unit in members)
    return (
        f"dataset '{examples.name}': {len(examples)} rows in {len(members)} units (rows with one text or group; the largest has {largest})"
        f" cannot be parted so that test has about {test_size:.0%} of them and train keeps every class."
        f" Use more data, another test_size, or a group_field with more and smaller groups."
    )


def column_sides(examples: Examples, notes: dict[str, Any]) -> list[bool]:
    """Say of each row whether the dataset's own split puts it in the test part; validation rows are counted in ``notes``.

    Raises:
        ProbeError: there is no such column, or a cell names no side.
    """
    if examples.splits is None:
        raise ProbeError(f"dataset '{examples.name}': a split of kind column needs split_field.")
    cells = [cell.strip().casefold() for cell in examples.splits]
    unknown = [(row, cell) for row, cell in enumerate(cells) if cell not in SIDES]
    if unknown:
        row, cell = unknown[0]
        shown = f"'{examples.splits[row]}'.{nearest(cell, SIDES)}" if cell else "nothing."
        raise ProbeError(
            f"dataset '{examples.name}': split_field must say train or test (or validation, which counts as train) in every row;"
            f" {len(unknown):,} rows do not: row with id '{examples.ids[row]}' says {shown}"
        )
    validation = sum(cell not in {"train", "test"} for cell in cells)
    if validation:
        notes["validation_rows_in_train"] = validation
    return [SIDES[cell] == "test" for cell in cells]


def _holdout_sides(examples: Examples, spec: SplitSpec) -> list[bool]:
    cells = examples.fields.get(spec.field or "")
    where = f"dataset '{examples.name}', split '{spec.label}'"
    if cells is None:
        loaded = ", ".join(sorted(examples.fields)) or "none"
        raise ProbeError(f"{where}: field '{spec.field}' was not loaded.{nearest(spec.field or '', examples.fields)} Loaded: {loaded}.")
    counts = Counter(cells)
    for value in spec.test_values:
        if value not in counts:
            most = ", ".join(f"'{name}' ({count:,})" for name, count in counts.most_common(10))
            raise ProbeError(f"{where}: no row has {spec.field} = '{value}'.{nearest(value, counts)} Most frequent: {most}.")
    wanted = set(spec.test_values)
    return [cell in wanted for cell in cells]


def _finish(examples: Examples, spec: SplitSpec, in_test: list[bool], left_out: list[bool], notes: dict[str, Any]) -> Split:
    import numpy as np

    test_mask, out_mask = np.array(in_test, dtype=bool), np.array(left_out, dtype=bool)
    train, test = np.flatnonzero(~test_mask & ~out_mask), np.flatnonzero(test_mask)
    where = f"dataset '{examples.name}', split '{spec.label}'"
    n_out = int(out_mask.sum())
    if n_out:
        notes["left_out_of_train"] = n_out
    shared = f" {n_out:,} rows were left out of train because they share a text or group with the test part." if n_out else ""
    for side, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise ProbeError(f"{where}: {side} has no rows.{shared} {_remedy(spec)}")
    train_classes = {examples.labels[row] for row in train}
    test_classes = {examples.labels[row] for row in test}
    missing = sorted(set(examples.classes) - train_classes)
    if missing:
        raise ProbeError(f"{where}: train has no row of class '{missing[0]}', so it cannot be learnt.{shared} {_remedy(spec)}")
    if len(test_classes) < len(examples.classes):
        notes["classes_not_in_test"] = sorted(set(examples.classes) - test_classes)
    return Split(spec.label, train, test, notes)


def _remedy(spec: SplitSpec) -> str:
    if spec.kind == "column":
        return "Check the cells of split_field, or use kind: random."
    if spec.kind == "holdout":
        return f"Hold out other values of '{spec.field}', or, if a group_field ties the two sides together, leave it out for this split."
    return "Use more data or another test_size."
