"""From results back to the features they were made from: where the stores of a point are, and one example of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.fsio import read_json, write_json

_FEW_IDS = 5


@dataclass(frozen=True)
class Stores:
    """What a point's features were made from."""

    latents: Path
    tokens: Path
    examples: Path


@dataclass(frozen=True)
class ExampleRow:
    """One example of a dataset."""

    row: int
    id: str
    text: str
    label: str
    language: str | None


def write_stores(base: Path, fingerprint: str, stores: Stores) -> None:
    """Write where the stores are, relative to the results, so that both can be moved together.

    Args:
        base: folder of results.
        fingerprint: of the latent store.
        stores: the folders.
    """
    places = {name: Path(os.path.relpath(path, base)).as_posix() for name, path in vars(stores).items()}
    path = _path(base, fingerprint)
    if not path.is_file() or read_json(path) != places:
        write_json(path, places)


def find_stores(base: Path, point: Mapping[str, Any]) -> Stores:
    """Find the stores of a point.

    Args:
        base: folder of results.
        point: content of ``point.json``.

    Raises:
        MosaicError: the point is not on SAE latents.
        StoreError: the results do not say where the stores are, or they are not there.
    """
    fingerprint = (point.get("provenance") or {}).get("latent_store")
    if not fingerprint:
        kind = point["key"]["representation"]
        raise MosaicError(f"The point {point['fingerprint']} ({kind}) keeps no latents. Explanations are of points on SAE latents.")
    path = _path(base, str(fingerprint))
    if not path.is_file():
        raise StoreError(
            f"{base} does not say where the latents of point {point['fingerprint']} are: {path.relative_to(base)} is missing. "
            "Run the experiment again; finished work is kept, and that file is written."
        )
    stores = Stores(**{name: base / place for name, place in read_json(path).items()})
    for name, place in vars(stores).items():
        if not place.exists():
            raise StoreError(
                f"The {name} of point {point['fingerprint']} were at {place}, and are not there now. "
                "Move them back, or run the experiment again."
            )
    return stores


def has_example(path: Path, example: str) -> bool:
    """Whether the parquet file of examples holds this id."""
    ids = _ids(path, path.stat().st_mtime_ns)
    return pc.index(ids, pa.scalar(example, ids.type)).as_py() >= 0


def _path(base: Path, fingerprint: str) -> Path:
    return base / "stores" / f"{fingerprint}.json"


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


@lru_cache(maxsize=4)
def _ids(path: Path, version: int) -> pa.ChunkedArray:  # noqa: ARG001
    return pq.read_table(path, columns=["id"]).column("id")
