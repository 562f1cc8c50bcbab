"""The examples of a store as cards need them: codes of classes and languages as arrays, texts one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mosaic_sae.errors import MosaicError

_FEW_IDS = 5


@dataclass(frozen=True)
class Groups:
    """What each row belongs to, of one kind: its class, or its language."""

    names: list[str]
    """Ascending."""
    of_row: np.ndarray
    """int64 [n_rows]: place in ``names``."""
    sizes: np.ndarray
    """int64 [n_names]: rows of each."""

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Groups:
        """Number the values of a column."""
        encoded = column.combine_chunks().dictionary_encode()
        found = encoded.dictionary.to_pylist()
        names = sorted(found)
        number = np.array([names.index(name) for name in found], dtype=np.int64)
        of_row = number[encoded.indices.to_numpy(zero_copy_only=False)]
        return cls(names, of_row, np.bincount(of_row, minlength=len(names)))


class ExampleRows:
    """Ids, texts, classes and languages in row order, from the ``examples-<fp>.parquet`` beside the stores."""

    def __init__(self, path: Path) -> None:
        """Read the file; texts stay in arrow's memory."""
        self._table = pq.read_table(path)
        self.classes = Groups.of(self._table["label"])
        self.languages = Groups.of(self._table["language"]) if "language" in self._table.column_names else None

    def __len__(self) -> int:
        return self._table.num_rows

    def id(self, row: int) -> str:
        """Id of a row."""
        return self._table["id"][row].as_py()

    def text(self, row: int) -> str:
        """Text of a row."""
        return self._table["text"][row].as_py()

    def content(self, row: int) -> tuple[str, str | None]:
        """Text of a row and its picture in small; rows that show the same are equal here."""
        return self.text(row), self.picture(row)

    def picture(self, row: int) -> str | None:
        """Picture of a row in small, as a data address; None where it has none."""
        return self._table["picture"][row].as_py() if "picture" in self._table.column_names else None

    def label(self, row: int) -> str:
        """Class of a row."""
        return self.classes.names[self.classes.of_row[row]]

    def language(self, row: int) -> str | None:
        """Language of a row; None where the data names none."""
        return self.languages.names[self.languages.of_row[row]] if self.languages else None


@dataclass(frozen=True)
class ExampleRow:
    """One example of a dataset."""

    row: int
    id: str
    text: str
    label: str
    language: str | None


def read_example(path: Path, example: str | int) -> ExampleRow:
    """Read one example.

    Args:
        path: the parquet file of examples, in row order.
        example: its id, or the number of its row.

    Raises:
        MosaicError: there is no such example.
    """
    ids = _ids(path, path.stat().st_mtime_ns)
    row = example if isinstance(example, int) else pc.index(ids, pa.scalar(example, ids.type)).as_py()
    if not 0 <= row < len(ids):
        few = ", ".join(f"'{name}'" for name in ids.slice(0, _FEW_IDS).to_pylist())
        what = f"row {example}" if isinstance(example, int) else f"example '{example}'"
        raise MosaicError(f"There is no {what} in this dataset of {len(ids):,}. Rows are 0 to {len(ids) - 1}; the first ids are {few}.")
    file = pq.ParquetFile(path)
    columns = [name for name in ("text", "label", "language") if name in file.schema_arrow.names]
    group, local = 0, row
    while local >= (size := file.metadata.row_group(group).num_rows):
        group, local = group + 1, local - size
    cells = file.read_row_group(group, columns=columns).slice(local, 1).to_pylist()[0]
    return ExampleRow(row, ids[row].as_py(), cells["text"], cells["label"], cells.get("language"))


def has_example(path: Path, example: str) -> bool:
    """Whether the parquet file of examples holds this id."""
    ids = _ids(path, path.stat().st_mtime_ns)
    return pc.index(ids, pa.scalar(example, ids.type)).as_py() >= 0


@lru_cache(maxsize=4)
def _ids(path: Path, version: int) -> pa.ChunkedArray:  # noqa: ARG001
    return pq.read_table(path, columns=["id"]).column("id")
