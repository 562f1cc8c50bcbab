"""Datasets of the ``datasets`` library that are already in memory or in a folder written by ``save_to_disk``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaic_sae.errors import SourceError, nearest
from mosaic_sae.sources.base import Table


def is_saved_folder(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or ((folder / "state.json").is_file() and (folder / "dataset_info.json").is_file())


def read_saved(folder: Path, split: str | None) -> Table:
    """Read a saved Dataset, or one split of a saved DatasetDict.

    Raises:
        SourceError: damaged folder, unknown split, or several splits and none named.
    """
    import datasets
    import pyarrow as pa

    try:
        data = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise SourceError(f"{folder}: cannot be read as a saved dataset: {error}") from error
    if isinstance(data, datasets.DatasetDict):
        split = choose_split(str(folder), list(data), split)
        data = data[split]
    elif split is not None and str(data.split) != split:
        raise SourceError(f"{folder}: holds one dataset (split: {data.split}), not split '{split}'. Remove split.")
    return to_table(data, {"kind": "saved", "split": split})


def choose_split(name: str, splits: list[str], wanted: str | None) -> str:
    """Return the wanted split, or the only one.

    Raises:
        SourceError: it does not exist, or none is named and there are several.
    """
    if wanted is None:
        if len(splits) == 1:
            return splits[0]
        raise SourceError(f"dataset '{name}' has several splits: {', '.join(splits)}. Name one, e.g. split: {splits[0]}.")
    if wanted not in splits:
        raise SourceError(f"dataset '{name}' has no split '{wanted}'.{nearest(wanted, splits)} Splits: {', '.join(splits)}.")
    return wanted


def to_table(data: Any, provenance: dict[str, Any]) -> Table:
    """Wrap a ``datasets.Dataset``; columns are decoded only when asked for, so that images are not opened for nothing."""
    import datasets

    data = data.with_format(None)
    class_names = {name: feature.names for name, feature in data.features.items() if isinstance(feature, datasets.ClassLabel)}

    def load(name: str) -> list[Any]:
        column = data.select_columns([name])
        if isinstance(data.features[name], datasets.Image):
            column = column.cast_column(name, datasets.Image(decode=False))  # files as they are, {"bytes", "path"}
        return list(column[name])

    if data.info.license:
        provenance["licence"] = data.info.license
    return Table(list(data.column_names), len(data), load, class_names=class_names, provenance=provenance)
