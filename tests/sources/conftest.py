import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mosaic_sae.config.dataset_entry import DatasetEntry
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.load import load_examples


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """write("a.csv", rows) -> path; rows are dicts with the same keys, or the raw text of the file."""

    def write_file(name: str, content: list[dict[str, Any]] | str | bytes) -> str:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_bytes(content.encode("utf-8"))
        elif path.suffix in {".csv", ".tsv"}:
            with path.open("w", encoding="utf-8", newline="") as handle:
                writer = csv.DictWriter(handle, list(content[0]), delimiter="," if path.suffix == ".csv" else "\t")
                writer.writeheader()
                writer.writerows(content)
        elif path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        elif path.suffix == ".json":
            path.write_text(json.dumps(content), encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(content), path)
        return str(path)

    return write_file


@pytest.fixture
def load() -> Callable[..., Examples]:
    """load(path, **entry keys) -> Examples, reading the columns "text" and "label" unless told otherwise."""

    def load_with(name: str, seed: int = 0, **keys: Any) -> Examples:
        if "template" not in keys:
            keys = {"text_field": "text"} | keys
        return load_examples(DatasetEntry(**{"name": name, "label_field": "label"} | keys), seed)

    return load_with
