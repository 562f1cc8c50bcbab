"""The page of transfer."""

import pandas as pd
import pytest
from page_reading import find, links_of, text_of, walk, with_class
from run_folders import HOSTILE, add_transfer, make_run_folder

from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import route
from mosaic_sae.explain.cards import visible


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = make_run_folder(tmp_path_factory.mktemp("transfer"), 60)
    add_transfer(run)
    return run


@pytest.fixture(scope="module")
def cells(run):
    return pd.read_parquet(run / "transfer.parquet")


def page_of(run, search=""):
    return route(Library([run.parent]), "/transfer", search)


def of(cells, **where):
    for name, value in {"representation": "sae", "classifier": "logistic", "selection": "chosen", "share": 1.0, **where}.items():
        cells = cells[cells[name] == value]
    return cells


def matrix(page):
    rows = find(find(with_class(page, "languages")[0], "Tbody"), "Tr")
    return {text_of(find(row, "Th")): [text_of(cell) for cell in find(row, "Td")] for row in rows}


@pytest.mark.parametrize(("search", "where"), [
    ("", {}),
    ("?method=tfidf.logistic&share=0.5", {"representation": "tfidf", "share": 0.5}),
    ("?layer=packaged/smollm2-135m-instruct~9", {"selection": "layer", "layer": 9.0}),
])  # fmt: skip
def test_the_heat_map_shows_what_was_chosen(run, cells, search, where):
    shown, part = matrix(page_of(run, search)), of(cells, **where)
    assert list(shown) == ["de", "en", "ja"]
    for train, row in shown.items():
        own = part[part["train_domain"] == train].sort_values("test_domain")
        assert row == [f"{value:.2f}" for value in own["macro_f1"]]


def test_gaps_have_signs_and_stars(run, cells):
    shown, part = matrix(page_of(run, "?show=gap")), of(cells)
    row = part[(part["train_domain"] == "de") & (part["test_domain"] == "ja")].iloc[0]
    star = "*" if row["gap_low"] > 0 or row["gap_high"] < 0 else ""
    assert shown["de"][2] == f"{row['gap']:+.2f}{star}".replace("-", "−")
    assert shown["de"][3] == "–"  # nothing was trained on sw


def test_a_chosen_cell_shows_all_methods(run, cells):
    page = page_of(run, "?train=de&test=ja")
    assert "From de to ja" in text_of(page)
    panel = next(part for part in walk(page) if getattr(part, "id", None) == "cell")
    scores, gaps = with_class(panel, "intervals")
    for _, row in (
        cells[(cells["selection"] == "chosen") & (cells["share"] == 1)].query("train_domain == 'de' and test_domain == 'ja'").iterrows()
    ):
        assert f"{row['macro_f1']:.3f} [{row['macro_f1_low']:.3f}, {row['macro_f1_high']:.3f}]" in text_of(scores)
        assert f"{row['gap']:+.3f}".replace("-", "−") in text_of(gaps)
    assert all("/point/" in link for link in links_of(scores))
    cell = next(cell for cell in find(with_class(page, "languages")[0], "Td") if "chosen" in cell.className)
    assert links_of(cell) == ["/transfer?train=de&test=ja"]


def test_a_row_has_gaps_to_the_domains_that_were_trained_on(run):
    panel = next(part for part in walk(page_of(run, "?train=ja")) if getattr(part, "id", None) == "row")
    scores, gaps = with_class(panel, "intervals")
    assert len(find(scores, "Tr")) == 1 + 4
    assert [text_of(find(row, "Th")) for row in find(gaps, "Tr")[1:]] == ["de", "en"]


def test_the_curve_is_drawn_over_shares(run):
    figure = find(page_of(run), "Graph")[0].figure
    assert sorted(figure.data[0].x) == [500, 1000]


def test_latents_of_a_class_with_evidence_and_texts(run):
    page = page_of(run, "?train=en&label=harmful&kind=shared")
    text = text_of(page)
    assert "Latents that carry over from en" in text
    table = with_class(page, "shift")[0]
    rows = find(find(table, "Tbody"), "Tr")
    assert [text_of(find(row, "Th")) for row in rows] == ["123"]
    assert text_of(rows[0]).count("25 % / 5 %") == 4
    assert [text_of(head) for head in find(find(table, "Thead"), "Th")][3:] == ["en", "de", "ja", "sw"]
    assert "a text in sw" in text
    assert "fires on:" in text
    assert len(with_class(page_of(run, "?train=en&label=harmful"), "latent")) == 3


def test_hostile_names_stay_text(tmp_path):
    run = make_run_folder(tmp_path, 60, hostile=True)
    add_transfer(run, hostile=True)
    page = page_of(run)
    assert visible(HOSTILE[0], 16) in text_of(page)
    assert HOSTILE[1] in text_of(page)
    assert all(link.startswith("/") for link in links_of(page))
    follow = next(link for link in links_of(with_class(page, "languages")[0]) if "test=" in link)
    assert "From" in text_of(page_of(run, follow.partition("?")[2]))


def test_other_tables_are_shown_as_they_are(tmp_path):
    run = make_run_folder(tmp_path, 20)
    pd.DataFrame({"mode": ["native", None], "macro_f1": [0.51234, 0.4]}).to_parquet(run / "translation_modes.parquet")
    text = text_of(page_of(run))
    assert "Translated training and test texts" in text
    assert "native 0.5123" in text


def test_missing_old_and_damaged_tables_are_words(tmp_path):
    run = make_run_folder(tmp_path, 20)
    assert "No transfer in this run" in text_of(page_of(run))
    add_transfer(run).rename(columns={"train_domain": "train_language"}).to_parquet(run / "transfer.parquet")
    assert "lacks the columns train_domain: another version wrote it" in text_of(page_of(run))
    (run / "transfer.parquet").write_bytes(b"x")
    assert "cannot be read" in text_of(page_of(run))
