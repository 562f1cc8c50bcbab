"""The translation job: the rows of a dataset, and translations of them as rows of languages of their own."""

from __future__ import annotations

import csv
import logging
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_sae.config.translation import Direction, TableTranslator, TranslationJob
from mosaic_sae.errors import SourceError, nearest
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.fsio import write_json, write_with
from mosaic_sae.log import Progress
from mosaic_sae.sources.base import Table
from mosaic_sae.sources.cells import is_blank, to_texts
from mosaic_sae.sources.load import read_columns
from mosaic_sae.sources.splits import SIDES
from mosaic_sae.transfer.memory import Memory
from mosaic_sae.transfer.translated import Translated, parse_language
from mosaic_sae.transfer.translators import make_translator
from mosaic_sae.transfer.translators.base import Item, Translator

logger = logging.getLogger(__name__)
ORIGINAL = "original"
"""Column of the output that is equal in a row and its translations: its id, or its number."""
_LISTED = 5


@dataclass(frozen=True)
class Outcome:
    """What a job came to."""

    out: Path
    n_rows: int
    n_translated: int
    """Rows that were added."""
    n_new: int
    """Texts that were translated now and not found in the memory."""
    missing: list[dict[str, Any]]
    """Rows without a translation: row, language, problem."""


@dataclass(frozen=True)
class _Wanted:
    """One row to translate."""

    row: int
    language: Translated
    item: Item
    key: str


def translate(job: TranslationJob) -> Outcome:
    """Translate what is missing and write the dataset.

    Raises:
        MosaicError: the data or a translator cannot be had, or (``on_missing: error``) rows have no translation. What was
            translated by then is kept, and the same job goes on from there.
    """
    match_field = job.translator.match_field if isinstance(job.translator, TableTranslator) else None
    fields = {key: getattr(job, key) for key in ("text_field", "language_field", "id_field", "split_field")}
    table = read_columns(job.data, fields | {"translator.match_field": match_field})
    cells = {name: _texts(table, job, name) for name in {*fields.values(), match_field} if name is not None}
    translator = make_translator(job.translator)
    wanted = _wanted(job, cells, match_field, translator.identity)
    memory = Memory(job.out.with_name(f"{job.out.name}.memory.jsonl"))
    missing_texts = {one.key: one for one in wanted if one.key not in memory}
    problems = _translate(list(missing_texts.values()), translator, memory)
    missing = [
        {"row": _name(one.row, job, cells), "language": str(one.language), "problem": problems[one.key]}
        for one in wanted
        if one.key not in memory
    ]
    if missing and job.on_missing == "error":
        raise SourceError(_missing_message(missing))
    added = [(one, text) for one in wanted if (text := memory.get(one.key)) is not None]
    _write(job, table, cells, added)
    counts = Counter(str(one.language) for one, _ in added)
    write_json(
        job.out.with_name(f"{job.out.name}.json"),
        {"job": job.model_dump(mode="json"), "translator": translator.identity, "translated": dict(counts), "missing": missing},
    )
    return Outcome(job.out, table.n_rows + len(added), len(added), len(missing_texts) - len(problems), missing)


def _texts(table: Table, job: TranslationJob, name: str) -> list[str]:
    return [cell or "" for cell in to_texts(table.load(name), f"'{job.data}': column '{name}'", table.class_names.get(name))]


def _wanted(job: TranslationJob, cells: dict[str, list[str]], match_field: str | None, identity: dict[str, Any]) -> list[_Wanted]:
    texts, languages = cells[job.text_field], [cell.strip() for cell in cells[job.language_field]]
    matches = cells[match_field] if match_field else [""] * len(texts)
    sides = _sides(job, cells[job.split_field]) if job.split_field else [""] * len(texts)
    found: dict[tuple[int, Translated], _Wanted] = {}
    for direction in job.directions:
        for target in direction.target:
            for row in _rows(direction, target, languages, sides):
                if is_blank(texts[row]):
                    continue
                language, item = Translated(target, languages[row]), Item(texts[row], matches[row])
                found[row, language] = _Wanted(row, language, item, fingerprint({"by": identity, "language": str(language), "item": item}))
    if not found:
        raise SourceError(f"'{job.data}': directions name nothing to translate. Languages: {', '.join(sorted(set(languages)))}.")
    return list(found.values())


def _rows(direction: Direction, target: str, languages: list[str], sides: list[str]) -> list[int]:
    known = sorted({name for name in languages if name})
    for name in direction.source:
        if name not in known:
            raise SourceError(f"directions.source: no row is in language '{name}'.{nearest(name, known)} Languages: {', '.join(known)}.")
    sources = direction.source or [name for name in known if parse_language(name) is None]
    return [
        row for row, language in enumerate(languages) if language in sources and language != target and direction.only in {None, sides[row]}
    ]


def _sides(job: TranslationJob, cells: list[str]) -> list[str]:
    """Return train or test for each row."""
    sides = [SIDES.get(cell.strip().casefold(), "") for cell in cells]
    if "" in sides:
        row = sides.index("")
        raise SourceError(
            f"'{job.data}': split_field '{job.split_field}' must say train or test in every row; row {row} says '{cells[row]}'."
        )
    return sides


def _translate(wanted: list[_Wanted], translator: Translator, memory: Memory) -> dict[str, str]:
    """Translate and keep; return the problem of each key that has no translation."""
    by_language: dict[Translated, list[_Wanted]] = defaultdict(list)
    for one in wanted:
        by_language[one.language].append(one)
    problems: dict[str, str] = {}
    with Progress("Translating", len(wanted), "texts") as progress:
        for language, ones in by_language.items():
            for portion in translator.translate([one.item for one in ones], language.source, language.target):
                memory.add({ones[done.number].key: done.text for done in portion if done.text is not None})
                problems |= {ones[done.number].key: done.problem for done in portion if done.text is None}
                progress.add(len(portion), str(language))
    return problems


def _name(row: int, job: TranslationJob, cells: dict[str, list[str]]) -> str:
    return cells[job.id_field][row] if job.id_field else str(row)


def _missing_message(missing: list[dict[str, Any]]) -> str:
    kinds = Counter(one["problem"] for one in missing)
    shown = ", ".join(f"{one['row']} ({one['language']})" for one in missing[:_LISTED])
    rows = "1 row has" if len(missing) == 1 else f"{len(missing):,} rows have"
    return (
        f"{rows} no translation ({'; '.join(f'{kind}: {count:,}' for kind, count in kinds.items())}),"
        f" e.g. {shown}. All others are kept. Mend these, or set on_missing: skip to leave them out and count them."
    )


def _write(job: TranslationJob, table: Table, cells: dict[str, list[str]], added: list[tuple[_Wanted, str]]) -> None:
    """Write the input's rows, then the translated ones, with all columns of the row that they come from."""
    rows = [*range(table.n_rows), *(one.row for one, _ in added)]
    columns: dict[str, list[Any]] = {}
    for name in table.names:
        column = table.load(name) if name not in table.class_names else _texts(table, job, name)
        columns[name] = [column[row] for row in rows]
    first = table.n_rows
    columns[job.text_field][first:] = [text for _, text in added]
    columns[job.language_field][first:] = [str(one.language) for one, _ in added]
    if ORIGINAL not in columns:
        columns[ORIGINAL] = [_name(row, job, cells) for row in rows]
    if job.id_field:
        columns[job.id_field][first:] = [f"{cells[job.id_field][one.row]} {one.language}" for one, _ in added]
    if job.out.suffix == ".csv":
        write_with(
            job.out,
            lambda path: _write_csv(path, {name: to_texts(column, f"'{job.data}': column '{name}'") for name, column in columns.items()}),
        )
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = pa.table({name: pa.array(column, from_pandas=True) for name, column in columns.items()})
        write_with(job.out, lambda path: pq.write_table(content, path, compression="zstd"))


def _write_csv(path: Path, columns: dict[str, list[str | None]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
