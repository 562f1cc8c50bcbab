"""From a raw table to checked examples: pick the columns, look at pictures, refuse or skip bad rows, sample."""

from __future__ import annotations

import logging
import string
from collections import Counter, defaultdict
from typing import Any

from mosaic_sae.config.dataset_entry import DatasetEntry
from mosaic_sae.errors import SourceError, nearest
from mosaic_sae.sources.base import Examples, Skipped, Table, content_fingerprint, row_keys
from mosaic_sae.sources.cells import is_blank, is_valid_unicode, to_numbers, to_texts, whole_number_labels
from mosaic_sae.sources.images import Picture
from mosaic_sae.sources.picture_cells import to_pictures, unreadable
from mosaic_sae.sources.sampling import sample_rows

logger = logging.getLogger(__name__)

_LISTED = 5  # ids listed per problem in an error message


def make_examples(table: Table, entry: DatasetEntry, seed: int) -> Examples:
    """Turn the columns that ``entry`` names into examples, in the order of the table.

    Raises:
        SourceError: a named column is missing, rows are bad and ``on_bad_rows`` is "error", or fewer than two classes remain.
    """
    parts = _template_parts(entry)
    _check_columns(table, entry, [column for _, column in parts if column])

    columns: dict[str, list[str | None]] = {}

    def column(name: str) -> list[str | None]:
        if name not in columns:
            columns[name] = to_texts(table.load(name), f"dataset '{entry.name}': column '{name}'", table.class_names.get(name))
        return columns[name]

    def optional(name: str | None) -> list[str] | None:
        return None if name is None else [cell or "" for cell in column(name)]

    texts = fill_template(parts, table.n_rows, column) if parts else [""] * table.n_rows
    pictures: list[Picture | None] | None = None
    if entry.image_field:
        cells = table.load(entry.image_field)
        pictures = to_pictures(cells, table.folder, f"dataset '{entry.name}': column '{entry.image_field}'")
    labels = [None if label is None else label.strip() for label in column(entry.label_field)]
    if not table.typed:
        labels = whole_number_labels(labels)
    numbers = table.row_numbers or list(range(table.n_rows))
    row_names = [str(number) for number in numbers]
    ids = row_names if entry.id_field is None else [cell or "" for cell in column(entry.id_field)]

    broken = unreadable(pictures, entry.name) if pictures else {}
    numbers_of = {name: to_numbers(table.load(name)) for name in entry.numeric_fields}
    bad = _bad_rows(ids, texts, labels, numbers_of, pictures, broken, _empty(entry))
    if pictures:
        pictures = [None if row in broken else picture for row, picture in enumerate(pictures)]
    skipped = table.malformed + [Skipped(ids[row] or f"row {row_names[row]}", reason) for row, reason in bad.items()]
    if skipped and entry.on_bad_rows == "error":
        raise SourceError(_bad_rows_message(entry, skipped))
    good = [row for row in range(table.n_rows) if row not in bad]
    _check_classes(entry, [labels[row] for row in good])

    kept = good
    if entry.max_rows is not None and entry.max_rows < len(good):
        kept = sample_rows(good, row_keys(texts, pictures), labels, ids, entry.max_rows, seed, f"dataset '{entry.name}'")
    if skipped:
        logger.warning(f"{entry.name}: {len(skipped):,} of {table.n_rows + len(table.malformed):,} rows skipped ({_summary(skipped)})")

    def keep(cells: list[Any] | None) -> Any:
        return None if cells is None else [cells[row] for row in kept]

    field_names = sorted({split.field for split in entry.splits if split.field})
    content: dict[str, Any] = {
        "ids": keep(ids),
        "texts": keep(texts),
        "labels": keep(labels),
        "groups": keep(optional(entry.group_field)),
        "languages": keep(optional(entry.language_field)),
        "splits": keep(optional(entry.split_field)),
    }
    fields = {name: keep(optional(name)) for name in field_names}
    provenance = table.provenance | {
        "rows_read": table.n_rows + len(table.malformed),
        "rows_skipped": len(skipped),
        "rows_kept": len(kept),
        "max_rows": entry.max_rows,
    }
    hashed = content | {f"field:{name}": cells for name, cells in fields.items()}
    shown: list[Picture | None] | None = keep(pictures)
    if shown is not None:  # datasets of texts keep the fingerprints that they had before there were pictures
        hashed["pictures"] = ["" if picture is None else picture.sha256 for picture in shown]
    return Examples(
        entry.name,
        **content,
        fields=fields,
        fingerprint=content_fingerprint(hashed),
        skipped=skipped,
        provenance=provenance,
        pictures=shown,
        numbers={name: keep(cells) for name, cells in numbers_of.items()},
    )


def _template_parts(entry: DatasetEntry) -> list[tuple[str, str | None]]:
    """Return (text before, column) pairs; the column is None after the last one. Empty for a dataset of pictures alone."""
    if entry.text_field:
        return [("", entry.text_field)]
    if not entry.template:
        return []
    return template_parts(entry.template, f"dataset '{entry.name}'")


def template_parts(template: str, where: str) -> list[tuple[str, str | None]]:
    """Take a template apart: (text before, column) pairs; the column is None after the last one.

    Raises:
        SourceError: a brace stands alone, a column has a format, or there is no column.
    """
    shown = f"{where}: template {template!r}"
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise SourceError(f"{shown}: {error}. Write a column as {{name}}, and a brace itself as {{{{ or }}}}.") from error
    if any(spec or conversion for _, _, spec, conversion in parsed) or any(name == "" for _, name, _, _ in parsed):
        raise SourceError(f"{shown}: write each column as {{name}}, without format or conversion.")
    if not any(name for _, name, _, _ in parsed):
        raise SourceError(f"{shown} names no column. Write a column as {{name}}.")
    return [(before, name) for before, name, _, _ in parsed]


def fill_template(parts: list[tuple[str, str | None]], n_rows: int, column: Any) -> list[str]:
    """Return the text of each row; ``column`` gives the cells of a named one."""
    filled: list[list[str]] = [[] for _ in range(n_rows)]
    blank = [True] * n_rows
    for before, name in parts:
        cells = column(name) if name else [None] * n_rows
        for row, cell in enumerate(cells):
            filled[row] += [before, cell or ""]
            blank[row] = blank[row] and is_blank(cell)
    # A template whose columns are all blank is a blank text, whatever stands between them.
    return ["" if blank[row] else "".join(filled[row]) for row in range(n_rows)]


def _check_columns(table: Table, entry: DatasetEntry, text_columns: list[str]) -> None:
    wanted = {
        "template" if entry.template else "text_field": text_columns,
        **{
            key: [getattr(entry, key)] for key in ("image_field", "label_field", "id_field", "group_field", "language_field", "split_field")
        },
        "splits.field": [split.field for split in entry.splits],
        "numeric_fields": [*entry.numeric_fields],
    }
    problems = [
        f"{key} names '{name}', which is no column.{nearest(name, table.names)}"
        for key, names in wanted.items()
        for name in dict.fromkeys(names)
        if name is not None and name not in table.names
    ]
    if problems:
        columns = ", ".join(table.names) or "none"
        raise SourceError(f"dataset '{entry.name}': {' '.join(problems)} Columns: {columns}.")


def _empty(entry: DatasetEntry) -> str:
    if not entry.image_field:
        return "empty text"
    return "neither text nor picture" if entry.text_field or entry.template else "no picture"


def _bad_rows(
    ids: list[str],
    texts: list[str],
    labels: list[str | None],
    numbers: dict[str, list[float | None]],
    pictures: list[Picture | None] | None,
    broken: dict[int, str],
    empty: str,
) -> dict[int, str]:
    """Return the reason for each bad row; of rows with one id the first good one is good.

    ``broken`` says why pictures cannot be read, ``empty`` what a row lacks that has nothing to read.
    """
    bad: dict[int, str] = {}
    seen: set[str] = set()
    for row, (name, text, label) in enumerate(zip(ids, texts, labels, strict=True)):
        if row in broken:
            bad[row] = f"unreadable picture ({broken[row]})"
        elif is_blank(text) and not (pictures and pictures[row]):
            bad[row] = empty
        elif is_blank(label):
            bad[row] = "missing label"
        elif is_blank(name):
            bad[row] = "missing id"
        elif not (is_valid_unicode(text) and is_valid_unicode(label or "") and is_valid_unicode(name)):
            bad[row] = "not valid Unicode"
        elif lacking := [column for column, cells in numbers.items() if cells[row] is None]:
            bad[row] = f"no number in '{lacking[0]}'"
        elif name in seen:
            bad[row] = "duplicate id"
        else:
            seen.add(name)
    return bad


def _kind(reason: str) -> str:
    return reason.partition(" (")[0]


def _summary(skipped: list[Skipped]) -> str:
    return ", ".join(f"{kind}: {count:,}" for kind, count in Counter(_kind(one.reason) for one in skipped).items())


def _bad_rows_message(entry: DatasetEntry, skipped: list[Skipped]) -> str:
    by_kind: dict[str, list[Skipped]] = defaultdict(list)
    for one in skipped:
        by_kind[_kind(one.reason)].append(one)
    problems = []
    for kind, rows in by_kind.items():
        details = [_detail(one) for one in rows[:_LISTED]]
        more = ", ..." if len(rows) > _LISTED else ""
        between = ", " if details[0] == rows[0].id else "; "
        problems.append(f"{kind}: {len(rows):,} ({between.join(details)}{more})")
    return (
        f"dataset '{entry.name}': {len(skipped):,} rows cannot be used. {'. '.join(problems)}."
        f" Mend them, or set on_bad_rows: skip to leave them out and count them."
    )


def _detail(one: Skipped) -> str:
    """What is said of one row among others of its kind: the reason's own words if it has some, else the id."""
    said = one.reason.partition(" (")[2].removesuffix(")")
    return f"{one.id}: {said}" if said and _kind(one.reason) == "unreadable picture" else said or one.id


def _check_classes(entry: DatasetEntry, labels: list[str | None]) -> None:
    counts = Counter(labels)
    if not labels:
        raise SourceError(f"dataset '{entry.name}': no usable row is left.")
    if len(counts) < 2:
        raise SourceError(
            f"dataset '{entry.name}': every one of {len(labels):,} rows has the label '{labels[0]}' (label_field: {entry.label_field});"
            f" a classifier needs at least two classes."
        )
