"""Which configuration is chosen, and what each table holds."""

import pandas as pd
import pytest
from run_folders import make_run_folder

from mosaic_sae.errors import StoreError
from mosaic_sae.report import names, tables
from mosaic_sae.report.content import gather, latent_lines, pooling_table


def row(fingerprint, representation="sae", classifier="logistic", cv=0.8, test=0.7, **more):
    known = dict.fromkeys(tables.COLUMNS)
    known |= {"fingerprint": fingerprint, "representation": representation, "classifier": classifier, "path": f"p/{fingerprint}"}
    known |= {"dataset": "d", "split": "s", "model": "m", "layer": 3, "site": "resid_post", "sae": "x", "d_sae": 64, "pooling": "sum"}
    known |= {"n_train": 300, "n_test": 100, "n_classes": 2, "n_nonzero": 10, "cv_macro_f1": cv, "cv_macro_f1_sd": 0.01, "chosen": False}
    known |= {"accuracy": test, "weighted_f1": test, "roc_auc": test}
    known |= {"macro_f1": test, "macro_f1_low": test - 0.05, "macro_f1_high": test + 0.05}
    return {**known, **more}


def frame(*rows):
    return tables.mark_chosen(pd.DataFrame(list(rows), columns=tables.COLUMNS))


def chosen(table):
    return set(table[table["chosen"]]["fingerprint"])


def test_the_cv_score_chooses_never_the_test_score():
    table = frame(row("a", cv=0.80, test=0.95), row("b", cv=0.85, test=0.60), row("c", cv=0.84, test=0.99))
    assert chosen(table) == {"b"}


def test_each_family_chooses_for_itself_and_layers_compete():
    table = frame(
        row("a", cv=0.9, layer=3),
        row("b", cv=0.8, layer=5),
        row("c", classifier="tree", cv=0.5),
        row("d", representation="random_sae", cv=0.4),
        row("e", cv=0.3, split="other"),
        row("f", cv=0.3, dataset="other"),
    )
    assert chosen(table) == {"a", "c", "d", "e", "f"}


def test_ties_go_to_fewer_latents_then_to_the_fingerprint_whatever_the_order():
    rows = [row("a", n_nonzero=20), row("b", n_nonzero=10), row("c", n_nonzero=10)]
    assert chosen(frame(*rows)) == chosen(frame(*rows[::-1])) == {"b"}


def test_a_family_without_cv_scores_still_has_a_choice():
    assert chosen(frame(row("b", representation="majority", cv=None), row("a", representation="majority", cv=None))) == {"a"}


def test_scores_are_ordered_by_role_then_test_score_and_named():
    table = frame(
        row("a", representation="majority", classifier="majority", cv=None, test=0.3, pooling=None, sae=None),
        row("b", representation="tfidf", test=0.9, pooling=None, sae=None),
        row("c", test=0.5, pooling="max", binarise=1.0),
        row("d", classifier="tree", test=0.6),
    )
    scores = tables.scores(table, "d", "s")
    assert scores["fingerprint"].tolist() == ["d", "c", "b", "a"]
    assert scores["method"].tolist() == ["SAE (tree)", "SAE (logistic)", "TF-IDF (logistic)", "Majority class"]
    assert scores["label"].tolist() == ["SAE (tree)", "SAE (logistic)", "TF-IDF", "Majority class"]
    assert scores["configuration"].tolist() == ["sum", "max, ≥ 1", "–", "–"]
    # A count of weights on words or of no features at all is not a count of latents.
    assert scores["latents_used"].notna().tolist() == [True, True, False, False]


def test_model_and_layer_are_named_where_there_are_several():
    known = {"classifier": "majority", "representation": "majority", "cv": None, "pooling": None, "sae": None, "model": None, "layer": None}
    one = [row("a", binarise=1.0), row("b", classifier="tree"), row("c", **known)]
    assert tables.scores(frame(*one), "d", "s")["configuration"].tolist() == ["sum, ≥ 1", "sum", "–"]
    layers = [*one, row("e", layer=7, cv=0.1)]
    assert tables.scores(frame(*layers), "d", "s")["configuration"].tolist() == ["layer 3, sum, ≥ 1", "layer 3, sum", "–"]
    models = [*one, row("e", model="owner/n", layer=7, representation="dense_mean", pooling=None)]
    assert tables.scores(frame(*models), "d", "s")["configuration"].tolist() == [
        "m, layer 3, sum, ≥ 1",
        "m, layer 3, sum",
        "n, layer 7",
        "–",
    ]


def test_the_pooling_grid_stays_with_the_chosen_layer():
    table = frame(
        row("a", cv=0.9, pooling="sum"),
        row("b", cv=0.8, pooling="max", binarise=1.0),
        row("c", cv=0.85, pooling="max", layer=5),
        row("d", cv=0.7, pooling="max"),
    )
    assert set(tables.pooling_grid(table, "d", "s", "logistic")["fingerprint"]) == {"a", "b", "d"}
    grid = pooling_table(table, "d", "s", "logistic")
    assert grid.thresholds == [None, 1.0]
    by_pooling = dict(grid.rows)
    assert [cell.cv if cell else None for cell in by_pooling["max"]] == [0.7, 0.8]
    assert by_pooling["sum"][0].chosen
    assert by_pooling["sum"][1] is None
    assert [cell.shade for cell in by_pooling["max"]] == [0.0, pytest.approx(0.5)]
    assert pooling_table(table, "d", "s", "tree") is None


def test_a_file_that_is_no_table_or_lacks_columns_is_named(tmp_path):
    path = tmp_path / "results.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(StoreError, match=r"results\.parquet cannot be read"):
        tables.read_results(path)
    pd.DataFrame({"fingerprint": ["a"]}).to_parquet(path)
    with pytest.raises(StoreError, match="lacks the columns dataset, split"):
        tables.read_results(path)


def test_nullable_integers_read_like_floats(tmp_path):
    table = frame(row("a"), row("b", representation="tfidf", layer=None, d_sae=None, sae=None, pooling=None))
    table.astype({"layer": "Int64", "d_sae": "Int64"}).to_parquet(tmp_path / "results.parquet")
    read = tables.read_results(tmp_path / "results.parquet")
    assert read["layer"].tolist()[0] == 3
    assert not names.present(read["layer"].tolist()[1])
    assert names.whole(read["layer"].tolist()[1]) == "–"


def test_latents_stand_under_the_class_they_speak_for_strongest_first():
    point = {
        "classes": ["no", "yes"],
        "top_latents": [
            {"class": "yes", "latent": 1, "weight": 0.5, "scale": 1.0},
            {"class": "no", "latent": 2, "weight": -2.0, "scale": 1.0},
            {"class": "yes", "latent": 3, "weight": 1.0, "scale": 1.0},
        ],
    }
    lines = latent_lines(point, None, most=5)
    assert list(lines) == ["no", "yes"]
    assert [(line.latent, line.share) for line in lines["yes"]] == [(3, 0.5), (1, 0.25)]
    assert (lines["no"][0].weight, lines["no"][0].share) == (-2.0, 1.0)
    assert len(latent_lines(point, None, most=1)["yes"]) == 1
    assert latent_lines({"classes": [], "top_latents": []}, None, 5) == {}


def test_gather_joins_points_and_evidence(tmp_path):
    content = gather(make_run_folder(tmp_path, 60))
    assert [(section.dataset, section.split) for section in content.sections] == [
        ("safety_prompts", "holdout"),
        ("safety_prompts", "random"),
        ("vader_sentiment", "random"),
    ]
    section = content.sections[0]
    assert section.latents["harmful"][0].card["examples"]
    assert section.rules[0].question.startswith("Is the ") or section.rules[0].question.startswith("Does the ")
    assert section.probe["key"]["split"] == "holdout"


def test_times_counts_and_weights_in_words():
    assert names.moment("2026-11-24T10:14:41+01:00") == "2026-11-24 09:14 UTC"
    assert names.moment("2026-11-24T10:14:41") == "2026-11-24 10:14"
    assert (names.moment(None), names.moment("soon")) == ("–", "soon")
    assert (names.signed(-0.97123), names.signed(0.5)) == ("−0.971", "+0.500")
    assert (names.whole(4608.0), names.percent(0.0312), names.number(float("nan"))) == ("4,608", "3.1 %", "–")
