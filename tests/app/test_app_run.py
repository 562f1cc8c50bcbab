"""The page of a run as a job."""

import json
import os
import platform

import pytest
from page_reading import find, text_of
from run_folders import SCRIPT, make_run_folder
from test_app_server import post

from mosaic_sae import fsio
from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import create_app, route


def page_of(run, search=""):
    return route(Library([run.parent]), "/run", search)


def set_info(run, **changes):
    fsio.write_json(run / "run.json", fsio.read_json(run / "run.json") | changes)


@pytest.fixture
def running(tmp_path):
    run = make_run_folder(tmp_path, 20, status="running")
    set_info(run, process={"host": platform.node(), "pid": os.getpid()})
    return run


def test_a_finished_run_has_its_facts_config_log_and_fit(tmp_path):
    run = make_run_folder(tmp_path, 20)
    text = text_of(page_of(run))
    for words in (
        "It ended",
        "20 made, 0 found from before, 1 failed",
        "name: example",
        "explained variance 0.856",
        "Ask the doctor.",
        "0.847",
    ):
        assert words in text
    assert not find(page_of(run), "Progress")
    assert find(page_of(run), "Interval")[0].disabled


def test_a_running_run_shows_how_far_it_is_and_looks_again(running):
    page = page_of(running)
    bar = find(page, "Progress")[0]
    assert (bar.value, bar.max) == ("803", "1800")
    assert "76.8 texts/s, 13 s left" in text_of(page)
    assert not find(page, "Interval")[0].disabled
    client = create_app([running.parent]).server.test_client()
    with (running / "log.txt").open("a") as log:
        log.write("2026-11-24 09:14:00,000 INFO Classifying: 5/8 points (62 %), 2.0 points/s, 1 s left\n")

    def again():
        answer = post(client, ["run-live.children", "run-clock.disabled"], {"run-clock.n_intervals": 1}, {"run-shown.data": running.name})
        return json.dumps(answer["run-live"]["children"], ensure_ascii=False), answer["run-clock"]["disabled"]

    shown, ended = again()
    assert "Classifying: 5/8 points" in shown
    assert not ended
    set_info(running, status="done", finished="2026-11-24T09:15:00+00:00")
    shown, ended = again()
    assert "It ended" in shown
    assert ended


def test_a_killed_run_and_one_without_files_are_words(running):
    set_info(running, process={"host": platform.node(), "pid": 2**22 + 1})
    assert "it was killed" in text_of(page_of(running))
    for name in ("log.txt", "config.yaml"):
        (running / name).unlink()
    text = text_of(page_of(running))
    assert "has no log.txt" in text
    assert "has no config.yaml" in text


def test_a_run_that_has_counted_nothing_yet_says_so(running):
    (running / "log.txt").write_text("2026-11-24 09:14:00,000 INFO Loading\n")
    assert "It has not counted anything yet" in text_of(page_of(running))


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    run = make_run_folder(tmp_path, 20)
    (run / "log.txt").write_text("".join(f"line {number:06d} of the log\n" for number in range(50_000)))
    text = text_of(page_of(run))
    assert "line 049999" in text
    assert "line 049800" in text
    assert "line 049799" not in text


def test_a_failed_run_says_why_and_hostile_text_is_text(tmp_path):
    run = make_run_folder(tmp_path, 20, hostile=True)
    set_info(run, status="failed", error=f"the disk is full {SCRIPT}")
    text = text_of(page_of(run))
    assert f"The run stopped with an error: the disk is full {SCRIPT}" in text
    assert f"# {SCRIPT}" in text
    assert f"Extracting {SCRIPT}" in text
