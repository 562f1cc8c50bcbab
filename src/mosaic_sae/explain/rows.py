"""The examples of a store as cards need them: codes of classes and languages as arrays, texts one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


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

    def content(self, row: int) -> tuple[str, str | None]:
        """Text of a row, and the SHA-256 of its picture, None where it has a text only; equal rows show the same."""
        return self._table["text"][row].as_py(), self.picture(row)

    def picture(self, row: int) -> str | None:
        """SHA-256 of a row's picture; None where it has a text only."""
        return self._table["picture"][row].as_py() if "picture" in self._table.column_names else None

    def label(self, row: int) -> str:
        """Class of a row."""
        return self.classes.names[self.classes.of_row[row]]

    def language(self, row: int) -> str | None:
        """Language of a row; None where the data names none."""
        return self.languages.names[self.languages.of_row[row]] if self.languages else None
