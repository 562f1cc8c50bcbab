"""The transfer section between texts and images, from made-up cells: sentences word for word, cells that are not there, pictures."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mosaic_sae.report.content import Content
from mosaic_sae.report.facts import dataset_rows
from mosaic_sae.report.transfer import Transfer, read_transfer
from mosaic_sae.report.write import html_report, markdown_report


def cell(
    representation: str, train: str, test: str, score: float, gap: float = np.nan, classifier: str = "logistic", cv: float = 0.5
) -> dict:
    about = {"dataset": "d", "family": "modality", "by": "modality", "selection": "chosen", "split": f"modality {train}", "share": 1.0}
    names = {"representation": representation, "classifier": classifier, "train_domain": train, "test_domain": test, "n_train": 50}
    scores = {"macro_f1": score, "macro_f1_low": score - 0.1, "macro_f1_high": score + 0.1, "cv_macro_f1": cv, "n_test": 20}
    gaps = {"gap": gap, "gap_low": gap - 0.05, "gap_high": gap + 0.05}
    return about | names | {"model": "m", "layer": 9.0, "sae": "s", "pooling": "max", "path": "p"} | scores | gaps


CELLS = [
    cell("sae", "text", "text", 0.7, 0.0),
    cell("sae", "text", "image", 0.4, -0.2),
    cell("sae", "image", "image", 0.6, 0.0),
    cell("sae", "image", "text", 0.3, -0.4),
    cell("sae", "text", "image", 0.9, 0.3, classifier="tree", cv=0.4),
    cell("dense_mean", "text", "image", 0.35, -0.1),
    cell("dense_mean", "image", "image", 0.45, 0.0),
    cell("majority", "text", "image", 0.05, 0.0, classifier="majority"),
    cell("random_sae", "text", "image", 0.12, 0.0),
    cell("tfidf", "text", "text", 0.65, 0.0),
    cell("pixels", "image", "image", 0.5, 0.0),
    cell("vision_tower", "image", "image", 0.8, 0.0),
]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
SHIFT = {"dataset": "d", "family": "modality", "by": "modality", "train_domain": "text", "label": "a", "latent": 3, "weight": 1.0}
SHIFT |= {"kind": "shared", "high_class": 0.5, "high_rest": 0.1, "marks_class": True, "weight_here": 0.5}
SHIFTS = [
    SHIFT | {"domain": "text", "strongest_text": "koala", "strongest_picture": None},
    SHIFT | {"domain": "image", "strongest_text": None, "strongest_picture": PICTURE},
]


@pytest.fixture
def transfer(tmp_path: Path) -> Transfer:
    pd.DataFrame(CELLS).to_parquet(tmp_path / "transfer.parquet")
    pd.DataFrame(SHIFTS).to_parquet(tmp_path / "latent_shift.parquet")
    (found,) = read_transfer(tmp_path)
    return found


def test_each_direction_is_said_with_chance_ceiling_and_what_reads_pictures(transfer: Transfer) -> None:
    assert transfer.verdicts == [
        "Trained on texts, SAE features (logistic probe) reach 0.400 [0.300, 0.500] on images (the mean hidden state 0.350,"
        " chance (the majority class) 0.050, a random SAE 0.120). Trained on images themselves they reach 0.600 [0.500, 0.700]"
        " (gap −0.200 [−0.250, −0.150]); the mean hidden state 0.450, pixels 0.500, the vision tower 0.800.",
        "Trained on images, SAE features (logistic probe) reach 0.300 [0.200, 0.400] on texts."
        " Trained on texts themselves they reach 0.700 [0.600, 0.800] (gap −0.400 [−0.450, −0.350]); TF-IDF 0.650.",
    ]


def test_cells_that_a_baseline_cannot_have_are_dashes(transfer: Transfer) -> None:
    matrices = {matrix.method: matrix for matrix in transfer.matrices}
    assert all(matrix.test_domains == ["image", "text"] for matrix in matrices.values())
    (row,) = matrices["Pixels (logistic)"].rows
    assert row[0] == "image" and row[1][0].macro_f1 == 0.5 and row[1][1] is None
    (row,) = matrices["TF-IDF (logistic)"].rows
    assert row[0] == "text" and row[1][0] is None and row[1][1].own
    outcomes = {one.method: one for one in transfer.outcomes}
    assert outcomes["SAE (logistic)"].others == pytest.approx(0.35) and outcomes["SAE (logistic)"].gap == pytest.approx(-0.3)
    assert np.isnan(outcomes["Pixels (logistic)"].others) and outcomes["Pixels (logistic)"].n_pairs == 0


def test_pages_speak_of_texts_and_images_and_show_pictures(transfer: Transfer) -> None:
    content = Content({"name": "r", "status": "done", "points": {}}, [], [transfer], 4)
    page, markdown = html_report(content), markdown_report(content)
    section = page[page.index('<h2 id="transfer-1"') : page.index('<h2 id="data"')]
    for text in (section, markdown[markdown.index("## Transfer") : markdown.index("## Data")]):
        assert "anguage" not in text.replace("data heat languages", "")  # a class of the style sheet
    assert "Trained on texts or images, tested on both" in section and "Own modality" in section
    assert f'<img src="{PICTURE}"' in section and "koala" in section
    assert "TF-IDF reads texts only" in section and "TF-IDF reads texts only" in markdown
    assert "Pixels (logistic): 0.500 in the modality trained on." in page and "0.350 across modality, 0.650 in the modality" in page
    assert not re.search(r"\bnan\b", markdown + section, re.IGNORECASE)


def test_splits_of_modality_are_one_item_of_the_data_table() -> None:
    notes = {"share": 1.0, "by": "modality"}
    splits = {f"modality {one}": {"train": 40, "test": 20, "notes": notes | {"domain": one}} for one in ("image", "text")}
    assert dataset_rows({"datasets": [{"name": "d", "splits": splits}]})[0][3] == "2 modalities, each 40 / 20 of all"
