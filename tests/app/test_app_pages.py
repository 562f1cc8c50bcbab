"""What the pages say, without a browser."""

import pandas as pd
import pytest
from page_reading import find, links_of, text_of, walk, with_class
from run_folders import HOSTILE, make_run_folder

from mosaic_sae import fsio
from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import route
from mosaic_sae.app.grid import grid_rows
from mosaic_sae.explain.cards import visible
from mosaic_sae.report.tables import read_results


def chosen(run, representation="sae", classifier="logistic", **where):
    frame = pd.read_parquet(run / "results.parquet")
    frame = frame[(frame["representation"] == representation) & (frame["classifier"] == classifier)]
    for name, value in {"chosen": True, **where}.items():
        frame = frame[frame[name] == value]
    return frame.iloc[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run_folder(tmp_path_factory.mktemp("calm"), 60)


@pytest.fixture(scope="module")
def library(run):
    return Library([run.parent])


def test_the_overview_has_outcomes_scores_links_and_facts(run, library):
    page = route(library, "/", "")
    text = text_of(page)
    for words in (
        "Best of each dataset",
        "No clear winner",
        "All points",
        "Failed points (1)",
        "How well the SAE fits",
        "Data, fit and provenance",
    ):
        assert words in text
    row = chosen(run, split="holdout")
    assert f"{row['macro_f1']:.3f}" in text
    assert f"[{row['macro_f1_low']:.3f}, {row['macro_f1_high']:.3f}]" in text
    assert f"/point/{row['fingerprint']}?run=safety-and-sentiment" in links_of(page)
    # The points themselves come after the page.
    assert not find(page, "AgGrid")
    tables = find(page, "Table")
    assert tables
    assert all(find(table, "Caption") for table in tables)


def test_an_interval_is_drawn_where_it_lies(run, library):
    row = chosen(run, split="holdout")
    page = route(library, "/", "")
    table = next(table for table in with_class(page, "intervals") if row["fingerprint"] in "".join(links_of(table)))
    line = next(line for line in find(table, "Tr") if row["fingerprint"] in "".join(links_of(line)))
    whisker, dot = with_class(line, "whisker")[0].style, with_class(line, "dot")[0].style
    assert float(whisker["left"].rstrip("%")) == pytest.approx(100 * row["macro_f1_low"], abs=0.01)
    assert float(whisker["width"].rstrip("%")) == pytest.approx(100 * (row["macro_f1_high"] - row["macro_f1_low"]), abs=0.01)
    assert float(dot["left"].rstrip("%")) == pytest.approx(100 * row["macro_f1"], abs=0.01)


def test_grid_rows_hold_every_key_chosen_first(run):
    frame = read_results(run / "results.parquet")
    rows = grid_rows(frame)
    assert len(rows) == len(frame) == 60
    marks = [row["chosen"] for row in rows]
    assert marks == sorted(marks, reverse=True)
    assert marks.count("chosen") == int(frame["chosen"].sum())
    keys = {"dataset", "split", "model", "layer", "site", "sae", "d_sae", "representation", "pooling", "binarise", "classifier"}
    assert keys <= set(rows[0])
    by_fingerprint = {row["fingerprint"]: row for row in rows}
    for record in frame.to_dict("records"):
        shown = by_fingerprint[record["fingerprint"]]
        assert shown["macro_f1"] == pytest.approx(record["macro_f1"], abs=1e-5)
        assert (shown["layer"] is None) == bool(pd.isna(record["layer"]))
        assert (shown["latents_used"] is None) == (record["sae"] is None or pd.isna(record["sae"]))


def test_a_logistic_point(run, library):
    row = chosen(run, split="holdout")
    page = route(library, f"/point/{row['fingerprint']}", "?run=safety-and-sentiment")
    text = text_of(page)
    for words in (
        "CV choice",
        "SAE probe on safety_prompts, split holdout",
        "Confusion matrix",
        "For harmful",
        "Latent 2207",
        "Seed 42",
        "vaccines",
    ):
        assert words in text
    assert f"{row['macro_f1']:.3f}" in text
    latents = with_class(page, "latent")
    assert len(latents) == 8
    assert [bool(getattr(part, "open", False)) for part in latents] == [True, False, False, False] * 2
    # Evidence of a folded latent comes when it is opened: a page of thousands of parts would be slow.
    assert [bool(with_class(part, "fire")) for part in latents] == [True, False, False, False] * 2
    assert sum(1 for _ in walk(page)) < 1500
    assert "fires on: ' kill'" in text
    fires = with_class(latents[0], "fire")
    assert max(part.style["--a"] for part in fires) == 100
    assert sum("peak" in part.className for part in fires) == 4
    assert "Fold a rule" not in text


def test_signs_stand_on_their_side(run, library):
    page = route(library, f"/point/{chosen(run)['fingerprint']}", "")
    for column in with_class(page, "columns")[1].children:
        heading, numbers = text_of(find(column, "H3")), [text_of(part) for part in with_class(column, "num") if "small" in part.className]
        signs = {number[0] for number in numbers if number[0] in "+−"}
        assert signs == ({"−"} if "benign" in heading or "negative" in heading else {"+"})


def test_a_tree_point_is_drawn_as_rules_with_the_evidence_of_its_latents(run, library):
    page = route(library, f"/point/{chosen(run, classifier='tree')['fingerprint']}", "")
    text = text_of(page)
    assert "of latent 123" in text
    assert "→ benign" in text
    assert "Latents it asks about" in text
    rules = with_class(page, "rules")[0]
    # Nine nodes, five of them leaves; the root holds all others.
    assert len(find(rules, "Li")) == 9
    assert len(with_class(rules, "leaf")) == 5
    assert len(find(rules, "Details")) == 4
    root = find(rules, "Li")[0]
    assert len(find(root, "Li")) == 9


def test_a_point_that_was_not_chosen_says_so_and_links_to_the_choice(run, library):
    other, best = chosen(run, chosen=False, split="holdout"), chosen(run, split="holdout")
    page = route(library, f"/point/{other['fingerprint']}", "")
    assert "Cross-validation did not choose this configuration" in text_of(page)
    assert f"/point/{best['fingerprint']}?run=safety-and-sentiment" in links_of(page)


def test_a_baseline_has_no_latents(run, library):
    text = text_of(route(library, f"/point/{chosen(run, 'tfidf')['fingerprint']}", ""))
    assert "Baseline on" in text
    assert "not a probe on latents" in text
    assert "Latents that decide" not in text


def test_many_classes_are_shown_one_at_a_time_by_address(tmp_path):
    run = make_run_folder(tmp_path, 60)
    row = chosen(run)
    path = tmp_path / row["path"] / "point.json"
    point = fsio.read_json(path)
    classes = [f"class {number}" for number in range(40)]
    point["classes"] = classes
    point["top_latents"] = [{"class": name, "latent": 123, "weight": 0.5, "scale": 1.0} for name in classes]
    point["test"]["confusion"] = [[int(i == j) for j in range(40)] for i in range(40)]
    fsio.write_json(path, point)
    page = route(Library([tmp_path]), f"/point/{row['fingerprint']}", "?class=class+7")
    assert [text_of(part) for part in find(page, "H3") if text_of(part).startswith("For")] == ["For class 7"]
    # Forty classes are too many for a matrix; here no mistake was made.
    assert "The most frequent of 0 kinds of mistakes among 40 classes" in text_of(page)
    assert sum("class=class+" in link for link in links_of(page)) == 40
    fallback = route(Library([tmp_path]), f"/point/{row['fingerprint']}", "?class=none")
    assert "For class 0" in text_of(fallback)


def test_the_most_frequent_mistakes_of_many_classes(tmp_path):
    run = make_run_folder(tmp_path, 60)
    row = chosen(run)
    path = tmp_path / row["path"] / "point.json"
    point = fsio.read_json(path)
    point["classes"] = [f"c{number}" for number in range(21)]
    point["top_latents"] = []
    point["test"]["confusion"] = [[10 * (i == j) for j in range(21)] for i in range(21)]
    point["test"]["confusion"][3][5] = 10
    point["test"]["confusion"][4][6] = 2
    fsio.write_json(path, point)
    page = route(Library([tmp_path]), f"/point/{row['fingerprint']}", "")
    body = next(table for table in find(page, "Table") if "kinds of mistakes" in text_of(table))
    assert [[text_of(cell) for cell in line.children] for line in find(find(body, "Tbody"), "Tr")] == [
        ["c3", "c5", "10", "50 %"],
        ["c4", "c6", "2", "17 %"],
    ]


def test_many_datasets_are_one_table(tmp_path):
    run = make_run_folder(tmp_path, 60)
    frame = pd.read_parquet(run / "results.parquet")
    parts = [frame.assign(dataset=frame["dataset"] + str(number)) for number in range(20)]
    pd.concat(parts, ignore_index=True).to_parquet(run / "results.parquet")
    page = route(Library([tmp_path]), "/", "")
    assert "60 datasets and splits" in text_of(page)
    assert not with_class(page, "intervals")
    assert chosen(run, split="holdout")["fingerprint"] in " ".join(links_of(page))
    assert sum(1 for _ in walk(page)) < 3000


def test_empty_and_error_states_are_words(tmp_path, library):
    assert "No runs yet" in text_of(route(Library([tmp_path / "gone"]), "/", ""))
    assert "does not exist" in text_of(route(Library([tmp_path / "gone"]), "/", ""))
    assert "No such run" in text_of(route(library, "/", "?run=other"))
    assert "No such page" in text_of(route(library, "/points/all", ""))
    unknown = text_of(route(library, f"/point/{'0' * 16}", ""))
    assert "No such point" in unknown
    assert "0" * 16 in unknown


@pytest.mark.parametrize(("status", "words"), [
    ("running", "This run is still going: 20 points done, 1 failed so far."),
    ("interrupted", "finished points are kept"),
    ("failed", "no point was finished"),
])  # fmt: skip
def test_runs_without_a_table_are_words(tmp_path, status, words):
    make_run_folder(tmp_path, 20, status=status)
    assert words in text_of(route(Library([tmp_path]), "/", ""))


def test_damaged_files_are_words(tmp_path):
    run = make_run_folder(tmp_path, 20)
    (run / "results.parquet").write_bytes(b"x")
    assert "results.parquet cannot be read" in text_of(route(Library([tmp_path]), "/", ""))
    info = fsio.read_json(run / "run.json")
    fsio.write_json(run / "run.json", info | {"status": "failed", "error": "the disk is full"})
    assert "The run stopped with an error: the disk is full" in text_of(route(Library([tmp_path]), "/", ""))
    (run / "run.json").write_text("{")
    assert "run.json of this run cannot be read" in text_of(route(Library([tmp_path]), "/", ""))


def test_missing_evidence_is_words(tmp_path):
    run = make_run_folder(tmp_path, 60)
    for path in (tmp_path / "evidence").iterdir():
        path.unlink()
    text = text_of(route(Library([tmp_path]), f"/point/{chosen(run)['fingerprint']}", ""))
    assert "No evidence was collected for this latent." in text


def test_several_runs_are_listed_and_linked(tmp_path):
    make_run_folder(tmp_path, 20, name="one")
    make_run_folder(tmp_path, 20, name="two & three")
    page = route(Library([tmp_path]), "/", "?run=one")
    assert "Runs (2)" in text_of(page)
    assert "/?run=two+%26+three" in links_of(page)
    assert "two & three" in text_of(route(Library([tmp_path]), "/", "?run=two+%26+three"))


def test_hostile_text_is_children_and_nothing_else(tmp_path):
    run = make_run_folder(tmp_path, 60, hostile=True)
    library = Library([tmp_path])
    pages = [
        route(library, "/", ""),
        *(route(library, f"/point/{chosen(run, classifier=name)['fingerprint']}", "") for name in ("logistic", "tree")),
    ]
    text = " ".join(text_of(page) for page in pages)
    for words in HOSTILE[:4]:
        assert " ".join(visible(words, 40).split()) in text
    assert "\u202e" not in text
    for page in pages:
        kinds = {type(part).__name__ for part in walk(page) if not isinstance(part, str)}
        assert not kinds & {"Markdown", "DangerouslySetInnerHTML", "Iframe", "Script", "Img"}
        assert all(link.startswith(("/", "#")) for link in links_of(page))
    rows = grid_rows(read_results(run / "results.parquet"))
    assert HOSTILE[0] in {row["dataset"] for row in rows}
