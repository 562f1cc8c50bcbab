"""The one way in: from a dataset entry of the configuration to examples."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from mosaic_sae.config.behaviour import Questions
from mosaic_sae.config.dataset_entry import DatasetEntry
from mosaic_sae.errors import SourceError, nearest
from mosaic_sae.sources.base import Examples, Table
from mosaic_sae.sources.hub import read_hub
from mosaic_sae.sources.image_folder import is_image_folder, read_image_folder
from mosaic_sae.sources.packaged import PREFIX, read_packaged
from mosaic_sae.sources.rows import make_examples
from mosaic_sae.sources.saved import is_saved_folder, read_saved
from mosaic_sae.sources.table import READERS, read_table


def load_examples(entry: DatasetEntry, seed: int) -> Examples:
    """Load, check and sample a labelled dataset.

    The name decides where from: "packaged/NAME" ships with MOSAIC; an existing path is read as a file, as a folder saved
    by ``datasets`` or as one of pictures; anything else is a name on the Hugging Face hub, unless it looks like a path.

    Args:
        entry: One dataset of the configuration.
        seed: Seed of the sample that ``max_rows`` takes.

    Raises:
        SourceError: the source or a column is missing, rows are bad and ``on_bad_rows`` is "error", or there is one class only.
    """
    return make_examples(read_source(entry), entry, seed)


def read_source(entry: DatasetEntry | Questions) -> Table:
    """Read the table that an entry names.

    Raises:
        SourceError: there is none, or it cannot be read.
    """
    if entry.name.startswith(PREFIX):
        _refuse(entry, "a packaged dataset", "config_name", "split", "revision")
        return read_packaged(entry.name.removeprefix(PREFIX))
    path = Path(entry.name).expanduser()
    if path.is_file():
        _refuse(entry, "a file", "config_name", "split", "revision")
        return read_table(path)
    if path.is_dir():
        if is_saved_folder(path):
            _refuse(entry, "a saved folder", "config_name", "revision")
            return read_saved(path, entry.split)
        if is_image_folder(path):
            _refuse(entry, "a folder of pictures", "config_name", "split", "revision")
            return read_image_folder(path)
        raise SourceError(
            f"dataset '{entry.name}' is a folder, but neither one saved by datasets (save_to_disk) nor one of pictures."
            f" Name a file in it ({', '.join(sorted(READERS))}), or run elsewhere if a dataset on the Hugging Face hub is meant."
        )
    if _looks_like_path(entry.name):
        raise SourceError(_no_such_file(entry.name, path))
    return read_hub(entry.name, entry.config_name or None, entry.split, entry.revision)


def _refuse(entry: DatasetEntry | Questions, what: str, *keys: str) -> None:
    for key in keys:
        if value := getattr(entry, key):
            hint = " To use a column that says train or test, name it as split_field." if key == "split" else ""
            raise SourceError(f"dataset '{entry.name}' is {what}, which has no {key} ('{value}'). Remove {key}.{hint}")


def _looks_like_path(name: str) -> bool:
    return Path(name).suffix.lower() in READERS or name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name


def _no_such_file(name: str, path: Path) -> str:
    message = f"dataset '{name}': no such file. Looked for {path.absolute()}."
    folder = path.parent
    if not folder.is_dir():
        return f"{message} The folder does not exist either."
    files = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in READERS or is_saved_folder(file))
    close = difflib.get_close_matches(path.name, files, n=1, cutoff=0.5)
    if close:
        return f"{message} Did you mean '{folder / close[0]}'?"
    return f"{message} Files there that could be read: {', '.join(files[:10]) or 'none'}."


def read_columns(name: str, wanted: dict[str, str | None]) -> Table:
    """Read a packaged dataset or a file as a raw table, and check that it has the columns wanted.

    Args:
        name: "packaged/NAME" or a path.
        wanted: by the key that names it, the column; None = not wanted.

    Raises:
        SourceError: there is no such table, a column is missing, or rows of a file cannot be read.
    """
    path = Path(name).expanduser()
    if not name.startswith(PREFIX) and not path.is_file():
        raise SourceError(_no_such_file(name, path))
    table = read_packaged(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else read_table(path)
    if table.malformed:
        raise SourceError(f"'{name}': {len(table.malformed):,} rows cannot be read; the first: {table.malformed[0].reason}. Mend the file.")
    problems = [
        f"{key} names '{column}', which is no column.{nearest(column, table.names)}"
        for key, column in wanted.items()
        if column is not None and column not in table.names
    ]
    if problems:
        raise SourceError(f"'{name}': {' '.join(problems)} Columns: {', '.join(table.names) or 'none'}.")
    return table
