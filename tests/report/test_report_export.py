"""Tables and figures as files: the numbers of the report, cells that no spreadsheet runs, drawings that are XML."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from run_folders import HOSTILE, make_run_folder

from mosaic_sae.errors import MissingExtra
from mosaic_sae.report.content import gather
from mosaic_sae.report.export import csv_cell, write_figures, write_tables
from mosaic_sae.report.svg import matrix_svg, score_intervals_svg, share_curves_svg
from mosaic_sae.report.transfer import Matrix, MatrixCell, SharePoint
from stored_point import make_point, make_run

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(path: Path) -> list[dict[str, str]]:
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def test_cells_that_a_spreadsheet_would_run_are_text() -> None:
    for text in ("=1+1", "+1", "-1", "@x", "\t=1", "\r=1"):
        assert csv_cell(text) == f"'{text}"
    assert [csv_cell(value) for value in ("a=1", "", -0.5, 3, True, None, float("nan"), pd.NA)] == [
        "a=1",
        "",
        "-0.5",
        "3",
        "True",
        "",
        "",
        "",
    ]


def test_tables_hold_the_numbers_of_the_report(tmp_path: Path) -> None:
    run = make_run_folder(tmp_path, 60, hostile=True)
    content = gather(run)
    written = {path.stem: rows_of(path) for path in write_tables(content, run, tmp_path / "tables")}
    frame = pd.read_parquet(run / "results.parquet")
    assert [row["fingerprint"] for row in written["results"]] == frame["fingerprint"].tolist()
    assert [float(row["macro_f1"]) for row in written["results"]] == frame["macro_f1"].tolist()
    assert {row["layer"] for row in written["results"]} == {"", "15"}
    scores = pd.concat([section.scores for section in content.sections])
    pairs = list(zip(scores["fingerprint"], scores["method"], strict=True))
    assert [(row["fingerprint"], row["method"]) for row in written["scores"]] == pairs
    tables = [table for section in content.sections for table in section.pooling]
    cells = [cell for table in tables for _, line in table.rows for cell in line if cell is not None]
    assert [float(row["cv_macro_f1"]) for row in written["pooling"]] == [cell.cv for cell in cells]
    shown = [line for section in content.sections for lines in section.latents.values() for line in lines]
    assert [(int(row["latent"]), float(row["weight"])) for row in written["latents"]] == [(line.latent, line.weight) for line in shown]
    assert len(written["rules"]) == sum(len(section.rules) for section in content.sections)
    for row in (row for rows in written.values() for row in rows):
        assert not any(cell.startswith(("=", "@", "\t")) for cell in row.values())
    assert HOSTILE[0] in {row["dataset"] for row in written["results"]}


def test_the_parts_of_an_example_sum_to_the_decision(tmp_path: Path) -> None:
    run = make_run([make_point(tmp_path)])
    content = gather(run)
    rows = rows_of(next(path for path in write_tables(content, run, tmp_path / "tables") if path.stem == "examples"))
    examples = content.sections[0].examples
    for found in examples.right + examples.wrong:
        own = [row for row in rows if row["id"] == found.id]
        assert sum(float(row["contribution"]) for row in own) == pytest.approx(found.decision)
        assert {row["latent"] for row in own[-2:]} == {"others", "bias"}


def test_score_figures_are_drawn_to_scale(tmp_path: Path) -> None:
    run = make_run_folder(tmp_path, 60, hostile=True)
    section = gather(run).sections[0]
    root = ElementTree.fromstring(score_intervals_svg(section.scores))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    ticks = {element.text: float(element.get("x")) for element in root.iter(f"{SVG}text") if element.text in {"0", "1"}}
    probes = section.scores[section.scores["role"] == "sae"]
    # The first circle is that of the legend.
    circles = [float(element.get("cx")) for element in root.iter(f"{SVG}circle")][1:]
    span = ticks["1"] - ticks["0"]
    assert circles == pytest.approx([ticks["0"] + span * value for value in probes["macro_f1"]], abs=0.06)
    assert all(label in texts for label in section.scores["label"])


def test_transfer_figures() -> None:
    cell = MatrixCell(0.5, 0.4, 0.6, -0.1, -0.2, 0.0, 9, True, 1.0)
    root = ElementTree.fromstring(matrix_svg(Matrix(HOSTILE[0], ["<a>", "&b"], [("<a>", [cell, None])])))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert texts == [HOSTILE[0], "trained on (down), tested on (across)", "<a>", "&b", "<a>", "0.50", "–"]
    values = ((0.1, 10, 0.5, 0.25), (1.0, 1000, 1.0, float("nan")))
    curve = [SharePoint("<m>", "sae", *point) for point in values]
    root = ElementTree.fromstring(share_curves_svg(curve))
    own, others = (line.get("points").split() for line in root.iter(f"{SVG}polyline"))
    assert own == ["56.0,170.0", "536.0,20.0"] and others == ["56.0,245.0"]


def test_files_of_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = gather(make_run_folder(tmp_path, 60, hostile=True))
    written = write_figures(content, tmp_path / "figures", "svg")
    assert len(written) == len(set(written)) == len(content.sections)
    for path in written:
        ElementTree.fromstring(path.read_bytes())
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtra, match=r"Writing figures as PNG needs resvg-py.*mosaic-sae\[png\]"):
        write_figures(content, tmp_path / "png", "png")
    assert not (tmp_path / "png").exists()
