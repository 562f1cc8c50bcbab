"""What every source becomes: a list of labelled texts, pictures or both, with a fingerprint of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.sources.images import Picture


@dataclass(frozen=True)
class Skipped:
    """A row that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Table:
    """Raw columns of a source, before anything is checked.

    Attributes:
        names: Column names, in the order of the source.
        n_rows: Rows that could be read.
        load: Returns the cells of a column in the order of the source; a missing cell is None or NaN.
        typed: False where every cell is the text as written in the file (csv, tsv).
        class_names: For columns of class numbers: the name of each number.
        row_numbers: Row number of each row in the file, counted from 0 and counting unreadable rows too.
        malformed: Rows that could not be read; each reason names the line.
        provenance: Where the table comes from, as JSON values.
        folder: Where paths of pictures start; None = where the program runs.
    """

    names: list[str]
    n_rows: int
    load: Callable[[str], list[Any]]
    typed: bool = True
    class_names: dict[str, list[str]] = field(default_factory=dict)
    row_numbers: list[int] | None = None
    malformed: list[Skipped] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class Examples:
    """Labelled texts and pictures, one entry per example in every list, in the order of the source.

    Attributes:
        name: Name of the dataset, for people.
        ids: Unique ids.
        texts: What the model reads; "" where there is a picture only, else never blank.
        labels: Label names; never blank.
        groups: Group of each example ("" = none), or None without a group column.
        languages: Language of each example ("" = unknown), or None without a language column.
        splits: Cells of the split column as written, or None without one.
        fields: Columns that holdout splits look at, "" where a cell is missing.
        fingerprint: Hash of all of the above except the name, in row order; the same for every file format.
        skipped: Rows left out by ``on_bad_rows: skip``.
        provenance: Kind of source, revision or SHA-256, licence, row counts.
        pictures: Picture of each example, None where it has a text only; None for a dataset of texts.
        numbers: Columns of numbers, float64 [n_rows] each; no text depends on them, so the fingerprint leaves them out.
    """

    name: str
    ids: list[str]
    texts: list[str]
    labels: list[str]
    groups: list[str] | None
    languages: list[str] | None
    splits: list[str] | None
    fields: dict[str, list[str]]
    fingerprint: str
    skipped: list[Skipped]
    provenance: dict[str, Any]
    pictures: list[Picture | None] | None = None
    numbers: dict[str, list[float]] = field(default_factory=dict)

    @property
    def modalities(self) -> list[str]:
        """Say of each example whether it is a "text" or an "image"; one that has both is an image."""
        return ["text"] * len(self) if self.pictures is None else ["text" if one is None else "image" for one in self.pictures]

    @property
    def keys(self) -> list[str]:
        """What each example is: its text, and the hash of its picture if it has one."""
        return row_keys(self.texts, self.pictures)

    @property
    def classes(self) -> list[str]:
        """Label names that occur, sorted."""
        return sorted(set(self.labels))

    def __len__(self) -> int:
        return len(self.ids)


def row_keys(texts: Sequence[str], pictures: Sequence[Picture | None] | None) -> list[str]:
    """Return one key per row: its text, and the hash of its picture if it has one."""
    if pictures is None:
        return list(texts)
    return [text if one is None else f"{text}\x1f{one.sha256}" for text, one in zip(texts, pictures, strict=True)]


def content_fingerprint(columns: dict[str, list[str] | None]) -> str:
    """Hash named columns of texts; a changed, added, removed or moved cell changes the result."""
    return fingerprint({name: None if cells is None else _digest(cells) for name, cells in columns.items()})


def _digest(cells: list[str]) -> str:
    digest = hashlib.sha256()
    for cell in cells:
        data = cell.encode("utf-8", "surrogatepass")
        # The length in front keeps ["ab", "c"] and ["a", "bc"] apart.
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
