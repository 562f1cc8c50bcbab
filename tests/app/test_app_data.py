"""Runs, points and evidence as the pages read them."""

import os
import shutil

import pandas as pd
import pytest
from run_folders import make_run_folder

from mosaic_sae import fsio
from mosaic_sae.app.data import Library
from mosaic_sae.errors import StoreError


def first(run, **where):
    frame = pd.read_parquet(run / "results.parquet")
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return frame.iloc[0]


def test_runs_are_found_below_a_folder_and_as_folders_latest_first(tmp_path):
    old = make_run_folder(tmp_path, 20, name="old")
    new = make_run_folder(tmp_path, 20, name="new", status="running")
    info = fsio.read_json(new / "run.json")
    fsio.write_json(new / "run.json", info | {"started": "2026-12-01T00:00:00+00:00"})
    assert [(run.id, run.status) for run in Library([tmp_path]).runs()] == [("new", "running"), ("old", "done")]
    assert [run.id for run in Library([old]).runs()] == ["old"]
    assert [run.id for run in Library([old, tmp_path, new]).runs()] == ["new", "old"]
    assert Library([tmp_path]).run(None).id == "new"
    assert Library([tmp_path]).run("nothing") is None


def test_no_folder_no_runs(tmp_path):
    assert Library([tmp_path / "missing"]).runs() == []
    assert Library([tmp_path]).run(None) is None
    assert Library([tmp_path]).find_point("0" * 16) is None


def test_folders_with_one_name_get_ids_of_their_own(tmp_path):
    for part in ("a", "b"):
        make_run_folder(tmp_path / part, 20, name="same")
    assert {run.id for run in Library([tmp_path / "a", tmp_path / "b"]).runs()} == {"same", "same~2"}


def test_a_damaged_run_is_listed_with_its_problem(tmp_path):
    run = make_run_folder(tmp_path, 20)
    (run / "run.json").write_text("{")
    found = Library([tmp_path]).runs()[0]
    assert (found.status, found.name, found.failed) == ("unreadable", "safety-and-sentiment", [])
    assert found.problem


def test_files_are_read_again_only_when_they_change(tmp_path):
    run = make_run_folder(tmp_path, 20)
    library = Library([tmp_path])
    before = library.results(library.run(None))
    assert library.results(library.run(None)) is before
    frame = pd.read_parquet(run / "results.parquet").iloc[:5]
    frame.to_parquet(run / "results.parquet")
    os.utime(run / "results.parquet", ns=(1, 1))
    assert len(library.results(library.run(None))) == 5


def test_a_point_is_found_with_its_run_row_and_evidence(tmp_path):
    row = first(make_run_folder(tmp_path, 60), representation="sae", classifier="logistic", chosen=True)
    library = Library([tmp_path])
    found = library.find_point(row["fingerprint"])
    assert (found.run.id, found.row["path"], found.point["fingerprint"]) == ("safety-and-sentiment", row["path"], row["fingerprint"])
    assert "2207" in library.evidence(found.base, found.point)["latents"]
    assert library.find_point(row["fingerprint"], "other run").run is None


def test_a_point_of_a_run_without_table_is_found_on_disk(tmp_path):
    run = make_run_folder(tmp_path, 20)
    row = first(run)
    (run / "results.parquet").unlink()
    found = Library([tmp_path]).find_point(row["fingerprint"])
    assert (found.run, found.row, found.point["fingerprint"]) == (None, None, row["fingerprint"])


@pytest.mark.parametrize("name", ["", "..", "0" * 15, "0" * 17, "*" * 16, "../../../etc/pas", "ABCDEFABCDEFABCD"])
def test_only_fingerprints_are_looked_up(tmp_path, name):
    make_run_folder(tmp_path, 20)
    assert Library([tmp_path]).find_point(name) is None


def test_a_path_that_leaves_the_folder_is_not_read(tmp_path):
    run = make_run_folder(tmp_path / "results", 20)
    frame = pd.read_parquet(run / "results.parquet")
    fingerprint, path = frame.iloc[0]["fingerprint"], frame.iloc[0]["path"]
    shutil.move(tmp_path / "results" / path, tmp_path / "outside")
    frame.loc[0, "path"] = "../outside"
    frame.to_parquet(run / "results.parquet")
    assert Library([tmp_path / "results"]).find_point(fingerprint) is None


def test_a_damaged_table_raises_in_words(tmp_path):
    run = make_run_folder(tmp_path, 20)
    (run / "results.parquet").write_bytes(b"x")
    library = Library([tmp_path])
    with pytest.raises(StoreError, match="cannot be read"):
        library.results(library.run(None))
