"""Tables in files: csv, tsv, jsonl, json, parquet. One reader per suffix."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mosaic_sae.errors import SourceError
from mosaic_sae.fsio import sha256_file
from mosaic_sae.sources.base import Skipped, Table

_BOM = b"\xef\xbb\xbf"
_LARGEST_CELL = 2**31 - 1
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_table(path: Path) -> Table:
    """Read a file with the reader of its suffix.

    Raises:
        SourceError: no reader for the suffix, an undecodable or damaged file, repeated column names.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SourceError(f"{path}: no reader for files ending in '{path.suffix}'. Readable: {', '.join(sorted(READERS))}.")
    table = reader(path)
    repeated = sorted({name for name in table.names if table.names.count(name) > 1})
    if repeated:
        raise SourceError(f"{path}: column '{repeated[0]}' occurs more than once in the header. Rename one of the two.")
    table.provenance.update(kind=path.suffix.lower().lstrip("."), file=path.name, sha256=sha256_file(path), bytes=path.stat().st_size)
    return replace(table, folder=path.parent)


def _decode(path: Path) -> str:
    data = path.read_bytes()
    start = len(_BOM) if data.startswith(_BOM) else 0
    try:
        return data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        position = start + error.start
        line = data.count(b"\n", 0, position) + 1
        raise SourceError(
            f"{path}: not UTF-8: byte 0x{data[position]:02x} at position {position} (line {line}) cannot be decoded."
            f" Save the file as UTF-8, e.g. with: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}"
        ) from error


def _read_delimited(path: Path, delimiter: str) -> Table:
    # strict: a stray quote is an error and not a guess. newline="" keeps line ends inside quotes as they are.
    handle = io.StringIO(_decode(path), newline="")
    previous_limit = csv.field_size_limit(_LARGEST_CELL)
    try:
        reader = csv.reader(handle, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        rows: list[list[str]] = []
        row_numbers: list[int] = []
        malformed: list[Skipped] = []
        number = 0
        while True:
            first_line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise SourceError(f"{path}: the row that starts in line {first_line} opens a quote that is never closed.") from error
                if header is None:
                    raise SourceError(f"{path}: the header cannot be read: {error}.") from error
                malformed.append(Skipped(f"row {number}", f"malformed row (line {first_line}: {error})"))
                number += 1
                continue
            if not row:
                continue  # an empty line
            if header is None:
                header = row
                continue
            if len(row) == len(header):
                rows.append(row)
                row_numbers.append(number)
            else:
                reason = f"malformed row (line {first_line}: {len(row)} cells, the header has {len(header)})"
                malformed.append(Skipped(f"row {number}", reason))
            number += 1
    finally:
        csv.field_size_limit(previous_limit)
    if header is None:
        raise SourceError(f"{path}: the file is empty; expected a header line and rows.")
    other = next((mark for mark in _DELIMITERS if len(header) == 1 and mark != delimiter and mark in header[0]), None)
    if other is not None:
        raise SourceError(
            f"{path}: the header is one column, {header[0]!r}, and seems to be separated by {_DELIMITERS[other]},"
            f" not by {_DELIMITERS[delimiter]} as '{path.suffix}' says."
            " Separate the cells by commas in a .csv file and by tabs in a .tsv file."
        )
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return Table(header, len(rows), columns.__getitem__, typed=False, row_numbers=row_numbers, malformed=malformed)


def _read_csv(path: Path) -> Table:
    return _read_delimited(path, ",")


def _read_tsv(path: Path) -> Table:
    return _read_delimited(path, "\t")


def _read_jsonl(path: Path) -> Table:
    return _from_lines(_decode(path))


def _from_lines(text: str) -> Table:
    records: list[dict[str, Any]] = []
    row_numbers: list[int] = []
    malformed: list[Skipped] = []
    number = 0
    # Not splitlines(): it also cuts at characters such as U+2028, which JSON allows inside a text.
    for line_number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            problem = None if isinstance(record, dict) else f"a JSON {type(record).__name__}, expected an object"
        except json.JSONDecodeError as error:
            problem = f"not JSON: {error.msg} at column {error.colno}"
        except (RecursionError, ValueError) as error:  # nested a thousand times, or a number of thousands of digits
            problem = f"JSON that Python does not read: {error}"
        if problem:
            malformed.append(Skipped(f"row {number}", f"malformed row (line {line_number}: {problem})"))
        else:
            records.append(record)
            row_numbers.append(number)
        number += 1
    return _from_records(records, row_numbers, malformed)


def _read_json(path: Path) -> Table:
    text = _decode(path)
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _from_lines(text)  # JSON lines under the name .json are common
        raise SourceError(f"{path}: not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from error
    if not isinstance(records, list):
        raise SourceError(f"{path}: expected a list of objects (or one object per line), got a JSON {type(records).__name__}.")
    good = [(number, record) for number, record in enumerate(records) if isinstance(record, dict)]
    malformed = [
        Skipped(f"row {number}", f"malformed row (item {number}: a JSON {type(record).__name__}, expected an object)")
        for number, record in enumerate(records)
        if not isinstance(record, dict)
    ]
    return _from_records([record for _, record in good], [number for number, _ in good], malformed)


def _from_records(records: list[dict[str, Any]], row_numbers: list[int], malformed: list[Skipped]) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record))

    def load(name: str) -> list[Any]:
        return [record.get(name) for record in records]

    return Table(names, len(records), load, row_numbers=row_numbers, malformed=malformed)


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)  # a folder named a=b adds no column
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: cannot be read as parquet: {error}") from error
    class_names = _class_names((table.schema.metadata or {}).get(b"huggingface"))
    return Table(table.column_names, table.num_rows, lambda name: table.column(name).to_pylist(), class_names=class_names)


def _class_names(metadata: bytes | None) -> dict[str, list[str]]:
    # Files that ``datasets`` writes carry the names of class numbers in their schema.
    if not metadata:
        return {}
    features = json.loads(metadata).get("info", {}).get("features", {})
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
