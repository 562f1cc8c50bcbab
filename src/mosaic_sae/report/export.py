"""The report's tables as CSV and its figures as SVG or PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae import fsio
from mosaic_sae.errors import MissingExtra
from mosaic_sae.report import facts, tables
from mosaic_sae.report.content import Content, Section
from mosaic_sae.report.names import present
from mosaic_sae.report.svg import matrix_svg, score_intervals_svg, share_curves_svg

# A spreadsheet runs a cell that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PNG_ZOOM = 2.0


def write_tables(content: Content, run_folder: Path, folder: Path) -> list[Path]:
    """Write every table of the report as CSV, one row per thing, so that each can be filtered by dataset and split.

    Args:
        content: of the report.
        run_folder: its ``results.parquet`` and the tables of transfer are written whole.
        folder: where to.

    Returns:
        The files.
    """
    written = []
    for name, header, rows in _tables(content):
        written.append(_write(folder / f"{name}.csv", header, rows))
    for name in ("results", "transfer", "latent_shift"):
        path = run_folder / f"{name}.parquet"
        if path.is_file():
            frame = _whole(tables.read_results(path)) if name == "results" else pd.read_parquet(path)
            written.append(_write(folder / f"{name}.csv", list(frame.columns), frame.itertuples(index=False)))
    return written


def write_figures(content: Content, folder: Path, kind: str) -> list[Path]:
    """Write every figure of the report.

    Args:
        content: of the report.
        folder: where to.
        kind: "svg" or "png".

    Returns:
        The files.

    Raises:
        MissingExtra: PNG is asked for, and the library that draws it is not installed.
    """
    written = []
    for name, svg in _figures(content):
        path = folder / f"{fsio.slug(name)}.{kind}"
        fsio.write_bytes(path, _png(svg) if kind == "png" else svg.encode("utf-8", "replace"))
        written.append(path)
    return written


def csv_cell(value: Any) -> str:
    """Write a value as a CSV cell: nothing for a missing one; text that a spreadsheet would run gets an apostrophe in front."""
    if not present(value) or value is pd.NA:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return str(value)


def _write(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    # Spreadsheets take a file without the mark for the encoding of the country.
    fsio.write_bytes(path, b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "replace"))
    return path


def _tables(content: Content) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    sections = content.sections
    if sections:
        score = [*tables.COLUMNS, "method", "role", "configuration"]
        yield "scores", score, [[row[name] for name in score] for section in sections for row in _records(section.scores)]
        alone = [(model, row) for section in sections for model, scores in section.by_model for row in _records(scores)]
        if alone:
            yield "scores_by_model", ["alone", *score], [[model, *(row[name] for name in score)] for model, row in alone]
        yield "pooling", ["dataset", "split", "classifier", "pooling", "binarise", "cv_macro_f1", "macro_f1", "chosen"], _pooling(sections)
        latents = ["dataset", "split", "point", "class", "latent", "weight", "fires_on"]
        yield "latents", latents, [[*_where(section, section.probe), *row] for section in sections for row in _latents(section)]
        rules = ["dataset", "split", "point", "node", "depth", "came", "question", "fires_on", "n", "class"]
        yield "rules", rules, [[*_where(section, section.tree), *row] for section in sections for row in _rules(section)]
        parts = ["dataset", "split", "point", "id", "label", "predicted", "about", "latent", "value", "contribution", "without", "fires_on"]
        yield "examples", parts, [[section.dataset, section.split, *row] for section in sections for row in _examples(section)]
    for name, head, rows in (
        ("data", facts.DATA_HEAD, facts.dataset_rows(content.run)),
        ("sae_fit", facts.FIT_HEAD, facts.fit_rows(content.run)),
    ):
        yield name, [title for title, _ in head], [list(row) for row in rows]
    yield "failed", ["point", "error"], [[failure.key, failure.error] for failure in facts.failed_points(content.run)]


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    """Give counts and layers back as whole numbers; the report reads them as floats, for the missing ones."""
    return frame.astype(dict.fromkeys(("layer", "d_sae", "n_nonzero"), "Int64"))


def _records(scores: pd.DataFrame) -> list[dict[str, Any]]:
    return tables.records(_whole(scores))


def _where(section: Section, point: Any) -> list[Any]:
    return [section.dataset, section.split, point["fingerprint"] if point else None]


def _pooling(sections: Sequence[Section]) -> list[list[Any]]:
    return [
        [section.dataset, section.split, table.classifier, pooling, threshold, cell.cv, cell.test, cell.chosen]
        for section in sections
        for table in section.pooling
        for pooling, cells in table.rows
        for threshold, cell in zip(table.thresholds, cells, strict=True)
        if cell is not None
    ]


def _latents(section: Section) -> list[list[Any]]:
    return [[label, line.latent, line.weight, line.summary] for label, lines in section.latents.items() for line in lines]


def _rules(section: Section) -> list[list[Any]]:
    return [[rule.node, rule.depth, rule.came, rule.question, rule.fires_on, rule.n, rule.label] for rule in section.rules]


def _examples(section: Section) -> list[list[Any]]:
    shown = section.examples.right + section.examples.wrong if section.examples else []
    rows = []
    for found in shown:
        about = [found.point, found.id, found.label, found.predicted, found.about]
        rows += [[*about, part.latent, part.value, part.contribution, part.without[found.about], part.words] for part in found.latents]
        rows.append([*about, "others", None, found.others["contribution"], None, f"{found.others['n']} latents"])
        rows.append([*about, "bias", None, found.bias, None, ""])
    return rows


def _figures(content: Content) -> Iterator[tuple[str, str]]:
    """Numbers as in the report keep names apart that differ only in what a file name cannot hold."""
    for number, section in enumerate(content.sections, 1):
        yield f"scores-{number}-{section.dataset}-{section.split}", score_intervals_svg(section.scores)
    for number, transfer in enumerate(content.transfers, 1):
        name = f"{number}-{transfer.dataset}-{transfer.family}"
        for matrix in transfer.matrices:
            yield f"transfer-{name}-{matrix.method}", matrix_svg(matrix)
        if transfer.curve:
            yield f"curve-{name}", share_curves_svg(transfer.curve)


def _png(svg: str) -> bytes:
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtra("resvg-py", "png", "Writing figures as PNG") from error
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=_PNG_ZOOM))
