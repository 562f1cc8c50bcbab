"""The transfer section from made-up cells: numbers by hand, sentences word for word, hostile names shown as text."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mosaic_sae.report.content import Content
from mosaic_sae.report.facts import dataset_rows, domain_splits
from mosaic_sae.report.transfer import read_transfer
from mosaic_sae.report.write import html_report, markdown_report

HOSTILE = "<script>alert(1)</script>|x"


def cell(representation: str, train: str, test: str, score: float, gap: float = np.nan, classifier: str = "logistic", **more) -> dict:
    about = {
        "dataset": "d",
        "family": "language",
        "by": "language",
        "selection": "chosen",
        "split": f"language {train}",
        "share": 1.0,
        "n_train": 50,
    }
    scores = {"macro_f1": score, "macro_f1_low": score - 0.1, "macro_f1_high": score + 0.1, "cv_macro_f1": 0.5, "n_test": 20}
    gaps = {"gap": gap, "gap_low": gap - 0.05, "gap_high": gap + 0.05}
    names = {"representation": representation, "classifier": classifier, "train_domain": train, "test_domain": test}
    return about | names | {"model": "m", "layer": 9.0, "sae": "s", "pooling": "max", "path": "p"} | scores | gaps | more


CELLS = [
    cell("tfidf", "de", "de", 0.6, 0.0),
    cell("tfidf", "de", "en", 0.2, -0.5),
    cell("sae", "de", "de", 0.7, 0.0),
    cell("sae", "de", "en", 0.4, -0.2),
    cell("sae", "de", "fr", 0.3),
    cell("sae", "en", "de", 0.5, -0.02),
    cell("sae", "en", "en", 0.6, 0.0),
    cell("sae", "en", "fr", 0.2),
    cell("majority", "de", "en", 0.1, 0.0, classifier="majority"),
]


@pytest.fixture
def folder(tmp_path: Path):
    def write(cells: list[dict], shift: list[dict] | None = None) -> Path:
        pd.DataFrame(cells).to_parquet(tmp_path / "transfer.parquet")
        if shift:
            pd.DataFrame(shift).to_parquet(tmp_path / "latent_shift.parquet")
        return tmp_path

    return write


def test_a_run_without_domain_splits_has_no_transfer(tmp_path: Path) -> None:
    assert read_transfer(tmp_path) == []


def test_means_heat_map_and_words_by_hand(folder) -> None:
    (transfer,) = read_transfer(folder(CELLS))
    assert [(one.method, one.role) for one in transfer.outcomes] == [
        ("SAE (logistic)", "sae"),
        ("TF-IDF (logistic)", "baseline"),
        ("Majority class", "control"),
    ]
    sae = transfer.outcomes[0]
    assert (sae.own, sae.others) == pytest.approx((0.65, (0.4 + 0.3 + 0.5 + 0.2) / 4))
    # fr has no classifier of its own; of the two gaps one has an interval below 0.
    assert sae.gap == pytest.approx(-0.11) and (sae.n_clear, sae.n_pairs) == (1, 2)
    assert [matrix.method for matrix in transfer.matrices] == ["SAE (logistic)", "TF-IDF (logistic)"]  # controls have none
    matrix = transfer.matrices[0]
    assert matrix.test_domains == ["de", "en", "fr"] and [language for language, _ in matrix.rows] == ["de", "en"]
    shades = [[one.shade for one in cells] for _, cells in matrix.rows]
    assert shades == [pytest.approx([1, 0.4, 0.2]), pytest.approx([0.6, 0.8, 0])]  # one scale, 0.2 to 0.7, for both heat-maps
    assert [[one.own for one in cells] for _, cells in matrix.rows] == [[True, False, False], [False, True, False]]
    assert transfer.verdicts[0] == (
        "Trained on de, SAE features (logistic probe) reach 0.350 on average on 2 other languages (TF-IDF 0.200)."
        " In en 0.400 [0.300, 0.500] (TF-IDF 0.200), gap to its own probe −0.200 [−0.250, −0.150]."
        " In fr 0.300 [0.200, 0.400], which has no probe of its own."
    )


def test_every_pair_has_its_gap_as_a_bar_and_a_verdict(folder) -> None:
    page = html_report(Content({"name": "r"}, [], read_transfer(folder(CELLS)), 0))
    of_sae = page.partition('aria-label="Gaps of SAE (logistic)"')[2].partition("</table>")[0]
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in of_sae.split("<tr>")[2:]]
    # fr has no classifier of its own to be compared with.
    assert [" ".join(row) for row in rows] == [
        "de , en 0.400 −0.200 [−0.250, −0.150] clear loss",
        "en , de 0.500 −0.020 [−0.070, 0.030] no clear difference",
    ]
    assert re.findall(r'class="bar( negative)?" style="width: 8rem"><i style="--a:(\d+)"', of_sae) == [
        (" negative", "20"),
        (" negative", "2"),
    ]


def test_many_languages_are_summed_up_and_the_better_classifier_by_cv_speaks(folder) -> None:
    cells = [cell("sae", "a", name, 0.1 * place, -0.1 * place, cv_macro_f1=0.5) for place, name in enumerate("bcdef", start=1)]
    cells += [cell("sae", "a", name, 0.9, 0, classifier="tree", cv_macro_f1=0.4) for name in "bcdef"]
    (words,) = read_transfer(folder(cells))[0].verdicts
    assert words.startswith("Trained on a, SAE features (logistic probe) reach 0.300 on average on 5 other languages.")
    assert "is −0.300 on average, clear in 5 of 5. Best in f 0.500" in words and "least in b 0.100" in words


def test_shares_make_a_curve_and_only_the_whole_part_a_heat_map(folder) -> None:
    # c is not trained on: no classifier of its own to compare with, so it is in neither mean.
    scores = {("a", "a"): 0.8, ("a", "b"): 0.4, ("a", "c"): 0.0, ("b", "a"): 0.2, ("b", "b"): 0.6, ("b", "c"): 0.0}
    cells = [
        cell("sae", *pair, score * share, 0.0, share=share, n_train=int(100 * share))
        for share in (0.5, 1.0)
        for pair, score in scores.items()
    ]
    (transfer,) = read_transfer(folder(cells))
    assert [(one.share, one.n_train, one.own, one.others) for one in transfer.curve] == [
        (0.5, 50, pytest.approx(0.35), pytest.approx(0.15)),
        (1.0, 100, pytest.approx(0.7), pytest.approx(0.3)),
    ]
    assert transfer.matrices[0].rows[0][1][0].macro_f1 == 0.8 and transfer.n_train == "100"
    assert transfer.curve_words == [
        "SAE (logistic): 100 training rows of another language give 0.300 on average; as much as 50 or fewer rows of the language itself."
    ]
    shares = (0.25, 0.5, 1.0)
    cells = [
        cell("sae", *pair, score * share, 0.0, share=share, n_train=int(100 * share)) for share in shares for pair, score in scores.items()
    ]
    (words,) = read_transfer(folder(cells))[0].curve_words
    assert words.endswith("as much as 25 to 50 rows of the language itself.")


def test_translations_have_a_table_and_are_in_no_mean(folder) -> None:
    translated = [
        cell("sae", "de←en", "de", 0.65),
        cell("sae", "de←en", "en", 0.9),
        cell("sae", "en", "en←de", 0.45),
        cell("sae", "de←en", "en←de", 0.99),
    ]
    (plain,), (both,) = read_transfer(folder(CELLS)), read_transfer(folder(CELLS + translated))
    assert plain.modes == [] and both.outcomes == plain.outcomes and both.verdicts == plain.verdicts
    line = next(line for line in both.modes if (line.source, line.language) == ("en", "de") and line.method == "SAE (logistic)")
    assert {mode: score[0] for mode, score in line.scores.items()} == {
        "native": 0.7, "transferred": 0.5, "translate-train": 0.65, "translate-test": 0.45
    }  # fmt: skip
    assert [name for name, _ in both.matrices[0].rows] == ["de", "de←en", "en"]
    content = Content({"name": "r", "status": "done", "points": {}}, [], [both], 4)
    row = "| en | de | SAE (logistic) | 0.700 [0.600, 0.800] | 0.500 [0.400, 0.600] | 0.650 [0.550, 0.750] | 0.450 [0.350, 0.550] |"
    assert row in markdown_report(content) and "Translate-train" in html_report(content)


def test_hostile_names_are_shown_as_text(folder) -> None:
    line = {
        "dataset": "d",
        "family": "language",
        "by": "language",
        "train_domain": HOSTILE,
        "label": HOSTILE,
        "latent": 3,
        "weight": 1.0,
        "kind": "shared",
    }
    line |= {"domain": HOSTILE, "high_class": 0.5, "high_rest": 0.1, "marks_class": True, "weight_here": 0.25, "strongest_text": HOSTILE}
    cells = [cell("sae", one, two, 0.5, -0.3, share=share) for one in ("a", HOSTILE) for two in ("a", HOSTILE) for share in (0.5, 1.0)]
    silent = line | {
        "domain": "a",
        "high_class": np.nan,
        "high_rest": 0.0,
        "marks_class": False,
        "weight_here": np.nan,
        "strongest_text": None,
    }
    content = Content({"name": "r", "status": "done", "points": {}}, [], read_transfer(folder(cells, [line, silent])), 4)
    page, markdown = html_report(content), markdown_report(content)
    assert content.transfers[0].latents[0].texts == {HOSTILE: HOSTILE}
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;|x" in page
    rows = [row for row in markdown.splitlines() if row.startswith("| a |")]
    assert "<script>" not in markdown and rows and all(row.count(" |") == 3 for row in rows if "(" in row)


def test_domain_splits_are_one_item_of_the_data_table() -> None:
    notes = {"share": 1.0, "by": "language"}
    splits = {
        "random": {"train": 80, "test": 20, "notes": {}},
        "language de": {"train": 1200, "test": 900, "notes": notes | {"domain": "de"}},
        "language en": {"train": 1150, "test": 900, "notes": notes | {"domain": "en"}},
        "language en 10%": {"train": 115, "test": 900, "notes": {"share": 0.1, "by": "language", "domain": "en"}},
    }
    run = {"datasets": [{"name": "d", "splits": splits}]}
    assert domain_splits(run) == {("d", name) for name in splits if name != "random"}
    assert dataset_rows(run)[0][3] == "random 80 / 20; 2 languages, each 1,150 to 1,200 / 900 of all"
