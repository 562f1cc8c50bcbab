"""A folder of pictures: its sub-folders are the classes, or a table beside the pictures says more about each of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mosaic_sae.errors import SourceError
from mosaic_sae.sources.base import Table
from mosaic_sae.sources.table import read_table

logger = logging.getLogger(__name__)

SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"
"""Column of such a table that names the picture, relative to the table."""
SPLITS = ("train", "validation", "valid", "val", "dev", "test")
"""Folders of these names are sides of a split and not classes."""


def is_image_folder(folder: Path) -> bool:
    """Whether there is a picture somewhere in a folder, or a table of pictures."""
    return any((folder / name).is_file() for name in METADATA) or next(iter(_pictures(folder)), None) is not None


def read_image_folder(folder: Path) -> Table:
    """List the pictures of a folder, folder by folder.

    Columns: ``image`` (the path), ``file_name`` (relative to the folder), ``label`` (the name of the folder that the picture
    is in, if there are such folders), ``split`` (if the first folders are called train, test, ...), and those of a
    metadata.csv, metadata.jsonl or metadata.parquet in the folder, or in each folder of a split, as ``datasets`` reads
    them. With such a table its rows are the rows; pictures that it does not name are left out, and counted in the log.

    Raises:
        SourceError: a table lacks the column ``file_name``, or has a row that cannot be read.
    """
    files = list(_pictures(folder))
    tables = [path for start in (folder, *(folder / name for name in SPLITS)) for name in METADATA if (path := start / name).is_file()]
    records = [record for path in tables for record in _of_metadata(path, folder)] if tables else [{FILE_NAME: file} for file in files]
    if left_out := set(files) - {record[FILE_NAME] for record in records}:
        logger.warning(f"{folder}: {len(left_out):,} pictures are not named in {tables[0].name} and left out (first: {min(left_out)})")
    for record in records:
        side, label = _meaning(record[FILE_NAME])
        # What a table says comes before what folders say.
        record |= {"split": side, "label": label} | record | {"image": str(folder / record[FILE_NAME]) if record[FILE_NAME] else None}
    names = list(dict.fromkeys(name for record in records for name in record))
    # A column that says nothing is no column: whoever names it reads which there are.
    names = [name for name in names if name not in {"split", "label"} or any(record.get(name) for record in records)]

    def load(name: str) -> list[Any]:
        return [record.get(name) for record in records]

    typed = all(path.suffix != ".csv" for path in tables)
    return Table(names, len(records), load, typed=typed, provenance={"kind": "image_folder", "folder": folder.name, "pictures": len(files)})


def _pictures(folder: Path) -> Iterable[str]:
    """Paths of all pictures relative to ``folder``, sorted; hidden files and folders are none."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _meaning(file: str) -> tuple[str | None, str | None]:
    """Side of the split and class that the folders of a picture say."""
    folders = list(Path(file).parts[:-1])
    side = folders.pop(0) if folders and folders[0].lower() in SPLITS else None
    return side, folders[-1] if folders else None


def _of_metadata(path: Path, folder: Path) -> list[dict[str, Any]]:
    """Rows of one table, with file names relative to ``folder``."""
    table = read_table(path)
    if FILE_NAME not in table.names:
        raise SourceError(f"{path} lacks the column '{FILE_NAME}', which names the picture of each row. Columns: {', '.join(table.names)}.")
    if table.malformed:
        raise SourceError(f"{path}: {table.malformed[0].id}: {table.malformed[0].reason}. Mend it.")
    columns = {name: table.load(name) for name in table.names}
    start = path.parent.relative_to(folder)
    records = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return [record | {FILE_NAME: (start / name).as_posix() if (name := record[FILE_NAME]) else ""} for record in records]
