"""Each verb: what it does, prints and refuses."""

from __future__ import annotations

import io
import json
import os
import re
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from mosaic_sae import fsio
from mosaic_sae.config.lines import parse
from mosaic_sae.config.presets import preset_path

BAD = "settings:\n  sede: 7\nmodels: []\n"
KEY = {"dataset": "safety_prompts", "split": "random", "model": "m", "layer": 15, "site": "resid_post", "sae": "s", "d_sae": 8}
KEY |= {"representation": "sae", "pooling": "sum", "binarise": 1.0, "classifier": "tree"}


def test_validate_knows_which_parts_ship(mosaic):
    ended = mosaic("validate", "default", "-s", "models.0.name=packaged/smollm", "-s", "models.0.sae.path=packaged/smollm2-l13")
    assert ended.code == 2
    assert "Unknown packaged model 'smollm'" in ended.err and "Unknown packaged SAE 'smollm2-l13'" in ended.err


def test_init_copies_a_preset_and_never_overwrites(mosaic, tmp_path):
    ended = mosaic("init")
    assert ended.code == 0
    # The copy is a run of its own: under the preset's name it would replace the preset's results.
    assert (tmp_path / "conf.yaml").read_text() == preset_path("default").read_text().replace("\nname: default ", "\nname: conf ")
    assert "mosaic validate conf.yaml" in ended.out
    (tmp_path / "conf.yaml").write_text("mine")
    refused = mosaic("init")
    assert refused.code == 2
    assert "conf.yaml exists" in refused.err
    assert (tmp_path / "conf.yaml").read_text() == "mine"
    assert mosaic("init", "default", "--to", "new/sub.yaml").code == 0
    assert (tmp_path / "new" / "sub.yaml").is_file()
    assert "Did you mean 'default'?" in mosaic("init", "defalt", "--to", "x.yaml").err


def test_validate_lists_every_problem_and_exits_2(mosaic, tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    ended = mosaic("validate", "bad.yaml", "-s", "tokens.bos=no")
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert lines[0] == "Error: 4 problems in the configuration bad.yaml"
    assert [line.split(": ")[0] for line in lines[1:]] == ["bad.yaml:1", "bad.yaml:2", "bad.yaml:3", "-s tokens.bos"]
    assert mosaic("validate").err.startswith("Error: 'conf.yaml' is neither a file nor a preset.")


def test_validate_says_what_a_valid_config_asks_for(mosaic):
    ended = mosaic("validate", "default", "--set", "datasets.1.max_rows=1000")
    assert ended.code == 0
    assert "packaged/vader_sentiment, at most 1,000 rows, splits random" in ended.out
    assert "splits random, look-alike" in ended.out
    assert "sum; sum, ≥ 1; max; max, ≥ 1" in ended.out.replace(", values", "")
    printed = mosaic("validate", "default", "--print", "-s", "settings.seed=7").out
    assert parse(printed).data["settings"]["seed"] == 7
    assert parse(printed).data["tokens"]["bos"] == "exclude"


def test_validate_finds_models_without_an_sae(mosaic):
    ended = mosaic("validate", "default", "-s", "models=[{name: a/b, layers: [1]}, {name: c/d, layers: [2, 3]}]")
    assert ended.code == 2
    assert "a/b" in ended.err and "c/d" in ended.err and "sae:" in ended.err


def test_plan_lists_points_with_their_reason(mosaic, stand_in):
    seen = []
    points = [
        SimpleNamespace(key=KEY, action="run", reason="no result yet"),
        SimpleNamespace(key={**KEY, "representation": "tfidf", "pooling": None, "binarise": None}, action="skip", reason="result is there"),
    ]
    stand_in("mosaic_sae.pipeline.plan", make_plan=lambda loaded: seen.append(loaded.experiment.settings.seed) or points)
    ended = mosaic("plan", "default", "-s", "settings.seed=7")
    header, first, second, _, last = ended.out.splitlines()
    assert seen == [7]
    assert " ".join(header.split()) == "dataset split model layer site sae representation pooling binarise classifier because"
    assert " ".join(first.split()) == "run safety_prompts random m 15 resid_post s sae sum ≥ 1 tree no result yet"
    assert " ".join(second.split()) == "skip safety_prompts random m 15 resid_post s tfidf – – tree result is there"
    assert last == "1 of 2 points to run, 1 to skip."
    listed = json.loads(mosaic("plan", "default", "--json").out)
    assert listed[0] == {"action": "run", "reason": "no result yet", "key": KEY}


@pytest.mark.parametrize(
    ("options", "steps"),
    [([], (True, True)), (["--extract-only"], (True, False)), (["--classify-only"], (False, True))],
)
def test_run_calls_the_pipeline_and_shows_the_scores(options, steps, mosaic, stand_in, run_folder):
    calls = []

    def record(loaded, extract, classify):
        calls.append((loaded.name, loaded.experiment.settings.seed, extract, classify))
        return SimpleNamespace(failed=[], run_folder=run_folder)

    stand_in("mosaic_sae.pipeline.run", run=record)
    ended = mosaic("run", "default", "-s", "settings.seed=9", *options)
    assert ended.code == 0
    assert calls == [("default", 9, *steps)]
    assert ("TF-IDF" in ended.out) == steps[1]
    assert (f"Report: {run_folder / 'report.html'}" in ended.out) == steps[1]
    assert ("--classify-only" in ended.out) == (not steps[1])


def test_failed_points_make_exit_code_1_and_the_rest_is_shown(mosaic, stand_in, run_folder):
    stand_in("mosaic_sae.pipeline.run", run=lambda *_, **__: SimpleNamespace(failed=["a", "b"], run_folder=run_folder))
    ended = mosaic("run", "default")
    assert ended.code == 1
    assert "2 points failed" in ended.err
    assert "no latent fires in the last token of any text" in " ".join(ended.out.split())
    assert "TF-IDF" in ended.out


def test_run_refuses_to_do_only_this_and_only_that(mosaic):
    ended = mosaic("run", "default", "--extract-only", "--classify-only")
    assert ended.code == 2
    assert "exclude each other" in ended.err


def test_show_run_is_the_summary_and_with_all_every_point(mosaic, run_folder):
    import pandas as pd

    frame = pd.read_parquet(run_folder / "results.parquet")
    for name in ("safety", str(run_folder)):
        out = mosaic("show", name).out
        assert out.startswith("Run safety: done. 40 points computed, 0 there already, 1 failed. Started ")
        assert "TF-IDF" in out
    every = mosaic("show", "safety", "--all").out.splitlines()
    assert len(every) == 2 + len(frame)
    for row in frame.to_dict("records"):
        line = next(line for line in every if f" {row['fingerprint'][:8]} " in line)
        assert line.startswith("*") == row["chosen"]
        assert f"  {row['macro_f1']:.3f}  [{row['macro_f1_low']:.3f}, {row['macro_f1_high']:.3f}]  " in line
        assert f"{row['dataset']}, {row['split']}  " in line
    assert json.loads(mosaic("show", "safety", "--json").out)["name"] == "safety"


def test_show_run_without_results_yet(mosaic, run_folder):
    (run_folder / "results.parquet").unlink()
    ended = mosaic("show", "safety")
    assert ended.code == 0
    assert "TF-IDF" not in ended.out


def test_show_point_by_fingerprint_and_by_folder(mosaic, run_folder):
    files = {file: fsio.read_json(file) for file in sorted((run_folder.parent / "points").rglob("point.json"))}
    file, point = next((f, p) for f, p in files.items() if p["key"]["representation"] == "sae" and p["key"]["classifier"] == "logistic")
    for name in (point["fingerprint"], point["fingerprint"][:10], str(file.parent), str(file)):
        out = mosaic("show", name).out
        assert out.startswith(f"Point {point['fingerprint']}: {point['key']['dataset']}, split {point['key']['split']}")
    assert f"test macro F1 {point['test']['macro_f1']:.3f} [" in out
    first = point["test"]["confusion"][0]
    row = next(line for line in out.split("what was predicted")[1].splitlines() if line.startswith(point["classes"][0]))
    assert row.split() == [point["classes"][0], *(str(count) for count in first)]
    strongest = max(point["top_latents"], key=lambda entry: abs(entry["weight"]))
    line = next(
        line
        for line in out.split(f"Latents that speak for {strongest['class']}")[1].splitlines()
        if line.split()[:1] == [str(strongest["latent"])]
    )
    assert f"{abs(strongest['weight']):.3f}" in line
    assert line.split()[1][0] == ("+" if strongest["weight"] > 0 else "−")
    assert "fires on: '" in line
    tree = next(p for p in files.values() if p["key"]["representation"] == "sae" and p["key"]["classifier"] == "tree")
    assert "Is the" in mosaic("show", tree["fingerprint"]).out or "Does the" in mosaic("show", tree["fingerprint"]).out
    assert json.loads(mosaic("show", point["fingerprint"], "--json").out) == point


def test_show_says_what_there_is(mosaic, run_folder, tmp_path):
    ended = mosaic("show", "saftey")
    assert ended.code == 2
    assert "There is no run or point 'saftey'. Runs in output/classifications: safety. Did you mean 'safety'?" in ended.err
    assert "holds no runs yet. Make one: mosaic run default" in mosaic("show", "x", "--results", str(tmp_path / "none")).err
    for letter in "ab":
        fsio.write_json(run_folder.parent / "points" / f"sum-none-tree-abcd{letter}" / "point.json", {})
    assert "2 points begin with abcd; give more digits: abcda, abcdb" in mosaic("show", "abcd").err


def test_ls(mosaic, run_folder):
    out = mosaic("ls").out
    assert re.search(r"  default +Harmful requests and sentiment", out) and re.search(r"  two-models +The default job", out)
    assert "safety  done  40 points, 1 failed" in out
    assert "packaged/smollm2-135m-instruct" in out
    assert "packaged/safety_prompts" in out and "packaged/vader_sentiment" in out
    only = mosaic("ls", "runs").out
    assert "safety" in only and "Presets" not in only
    assert mosaic("ls", "runs", "--results", "nowhere").out.splitlines()[1].strip() == "none"
    assert mosaic("ls", "rnus").code == 2


def test_ls_runs_is_in_order_of_time(mosaic, run_folder):
    other = run_folder.parent / "later"
    fsio.write_json(other / "run.json", fsio.read_json(run_folder / "run.json"))
    os.utime(run_folder / "run.json", (1, 1))
    names = [line.split()[0] for line in mosaic("ls", "runs").out.splitlines()[1:]]
    assert names == ["safety", "later"]
    os.utime(other / "run.json", (0, 0))
    assert [line.split()[0] for line in mosaic("ls", "runs").out.splitlines()[1:]] == ["later", "safety"]


@pytest.fixture
def served(stand_in):
    """What the app was asked to show, and where."""
    calls = []

    def create_app(folders, live):
        return SimpleNamespace(run=lambda host, port, debug: calls.append((folders, host, port, debug)))

    stand_in("mosaic_sae.app.factory", create_app=create_app)
    return calls


def test_app_opens_all_runs_or_those_named(mosaic, run_folder, served):
    assert mosaic("app", "--port", "18051").code == 0
    ended = mosaic("app", "safety", str(run_folder), "--host", "127.0.0.1", "--port", "18052")
    base = Path("output/classifications")
    assert served == [([base], "127.0.0.1", 18051, False), ([base / "safety", run_folder], "127.0.0.1", 18052, False)]
    assert "http://127.0.0.1:18052" in ended.err


def test_app_says_what_is_missing(mosaic, run_folder, served):
    assert "There is no run 'other'. Runs in output/classifications: safety." in mosaic("app", "other").err
    empty = mosaic("app", "--results", "none")
    assert (empty.code, served) == (2, [])
    assert "There are no runs in none yet. Make one: mosaic run default." in empty.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = mosaic("app", "--port", str(port))
    assert (ended.code, served) == (2, [])
    assert f"cannot listen on 127.0.0.1:{port}" in ended.err and f"--port {port + 1}" in ended.err


def test_name_shows_what_it_takes_and_sends_nothing_without_a_yes(mosaic, run_folder, stand_in, monkeypatch):
    asked = []
    cost = SimpleNamespace(requests=6, tokens_in=4200, tokens_out=150)
    name = {"text": "words\u202e of harm", "source": "m at localhost", "url": None, "score": 0.875}

    def name_latents(jobs, base, endpoint, judge):
        asked.append((jobs, base, endpoint.host, endpoint.model, judge))
        return {"sae": {7: name, 9: {**name, "score": None}}}

    stand_in(
        "mosaic_sae.pipeline.ask_names",
        answers_folder=lambda base: base / "names/answers",
        jobs_of=lambda folder, most, sae: ["job"] * most,
        total_cost=lambda jobs, endpoint, judge: cost,
        name_latents=name_latents,
    )
    words = ("name", "safety", "--base-url", "http://localhost:1/v1", "--model", "m", "--most", "3")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = mosaic(*words)
    assert refused.code == 1 and asked == []
    assert "3 latents to name with m at localhost: 6 requests, about 4,200 tokens in and 150 out" in refused.out
    done = mosaic(*words, "--no-score", "--yes")
    assert done.code == 0 and asked == [(["job"] * 3, Path("output/classifications"), "localhost", "m", False)]
    assert "7   0.88  words[U+202E] of harm" in done.out and "9    –    words" in done.out
    assert mosaic("name", "other", *words[2:]).code == 2
