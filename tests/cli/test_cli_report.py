"""``mosaic report``: which files it writes, and where."""

from __future__ import annotations

from pathlib import Path


def test_the_report_alone_and_with_everything(mosaic, run_folder: Path, tmp_path: Path) -> None:
    ended = mosaic("report", "safety")
    assert (ended.code, ended.out.split()) == (0, ["output/classifications/safety/report.html", "output/classifications/safety/report.md"])
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    ended = mosaic("report", "safety", "--out", "there", "--format", "html", "--tables", "csv", "--figures", "svg")
    assert ended.code == 0
    written = sorted(path for path in Path("there").rglob("*") if path.is_file())
    assert sorted(map(Path, ended.out.split())) == written
    assert {path.suffix for path in written} == {".html", ".csv", ".svg"}
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == before
    assert (Path("there/report.html")).read_bytes() == (run_folder / "report.html").read_bytes()


def test_no_such_run(mosaic, run_folder: Path) -> None:
    ended = mosaic("report", "safty")
    assert ended.code == 2 and "There is no run 'safty'." in ended.err and "Did you mean 'safety'?" in ended.err
