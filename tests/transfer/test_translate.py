"""The translation job: what is written, what survives, what is asked again, and what a translation gives in the transfer table."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from mosaic_sae.config.dataset_entry import DatasetEntry, SplitSpec
from mosaic_sae.config.load import load_translation
from mosaic_sae.errors import ConfigError, ModelError, SourceError
from mosaic_sae.sources.domains import domain_splits
from mosaic_sae.sources.load import load_examples
from mosaic_sae.transfer import translate as job_module
from mosaic_sae.transfer.translate import translate
from mosaic_sae.transfer.translated import Translated, parse_language, translation_modes
from mosaic_sae.transfer.translators.base import Translation

ROWS = [
    {"id": "1/en", "text": 'He said "no",\nthen left', "label": "a", "language": "en", "item": "1", "split": "train", "score": "1"},
    {"id": "1/de", "text": "Er sagte „nein“,\ndann ging er", "label": "a", "language": "de", "item": "1", "split": "train", "score": "2"},
    {"id": "2/en", "text": "a, b; c", "label": "b", "language": "en", "item": "2", "split": "test", "score": "3"},
    {"id": "2/de", "text": "ä, b; c", "label": "b", "language": "de", "item": "2", "split": "test", "score": ""},
]
JOB = """
data: data.csv
text_field: text
language_field: language
id_field: id
split_field: split
directions:
  - {source: [en], target: [de], only: train}
  - {source: [de], target: [en], only: test}
translator: {kind: table, table: data.csv, match_field: item, text_field: text, language_field: language}
out: out.parquet
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with Path("data.csv").open("w", newline="", encoding="utf-8") as handle:
        rows = csv.DictWriter(handle, ROWS[0], quoting=csv.QUOTE_ALL)
        rows.writeheader()
        rows.writerows(ROWS)
    Path("job.yaml").write_text(JOB)
    return tmp_path


SOME_TRANSLATOR = "translator={kind: local, model: any}"


class Shouting:
    """Turns texts into capitals, in portions of ``portion``; dies after ``lives`` portions; cannot do what holds "ß"."""

    def __init__(self, portion: int = 2, lives: int = 99) -> None:
        self.portion, self.lives = portion, lives
        self.asked: list[tuple[str, str, str]] = []

    @property
    def identity(self) -> dict:
        return {"kind": "shouting"}

    def translate(self, items, source, target):
        for start in range(0, len(items), self.portion):
            if self.lives == 0:
                raise KeyboardInterrupt
            self.lives -= 1
            part = items[start : start + self.portion]
            self.asked += [(item.text, source, target) for item in part]
            done = ["ß" not in item.text for item in part]
            yield [
                Translation(start + place, item.text.upper() if fine else None, "" if fine else "it holds an ß")
                for place, (item, fine) in enumerate(zip(part, done, strict=True))
            ]


@pytest.fixture
def shouting(monkeypatch: pytest.MonkeyPatch):
    def use(**options) -> Shouting:
        one = Shouting(**options)
        monkeypatch.setattr(job_module, "make_translator", lambda config: one)
        return one

    return use


def test_languages_of_translations_are_written_and_read_back() -> None:
    assert str(Translated("de", "en")) == "de←en" and parse_language("de←en") == ("de", "en")
    assert parse_language("de") is None and parse_language("←en") is None


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_gives_the_rows_and_every_column_survives(suffix: str) -> None:
    outcome = translate(load_translation("job.yaml", [f"out=out.{suffix}"]))
    assert (outcome.n_rows, outcome.n_translated, outcome.missing) == (6, 2, [])
    written = pd.read_csv("out.csv", dtype=str, keep_default_na=False) if suffix == "csv" else pd.read_parquet("out.parquet")
    rows = written.to_dict("records")
    assert [{name: row[name] for name in ROWS[0]} for row in rows[:4]] == ROWS and [row["original"] for row in rows[:4]] == [
        row["id"] for row in ROWS
    ]
    # English train rows in German, German test rows in English; line breaks, quotes and commas are as in the table.
    assert rows[4] == ROWS[0] | {"id": "1/en de←en", "text": ROWS[1]["text"], "language": "de←en", "original": "1/en"}
    assert rows[5] == ROWS[3] | {"id": "2/de en←de", "text": ROWS[2]["text"], "language": "en←de", "original": "2/de"}


def test_a_killed_job_goes_on_and_asks_for_what_is_missing_only(shouting) -> None:
    Path("data.csv").write_text("text,language\n" + "".join(f"word {number % 7},en\n" for number in range(10)) + "Wort,de\n")
    options = ["id_field=null", "split_field=null", SOME_TRANSLATOR, "directions=[{source: [en], target: [xx]}]"]
    first = shouting(lives=2)
    with pytest.raises(KeyboardInterrupt):
        translate(load_translation("job.yaml", options))
    assert not Path("out.parquet").exists() and len(first.asked) == 4
    with Path("out.parquet.memory.jsonl").open("a") as handle:
        handle.write('{"key": "cut o')  # the machine died in the middle of a line
    second = shouting()
    outcome = translate(load_translation("job.yaml", options))
    # Seven different texts, each asked once.
    assert sorted(text for text, *_ in first.asked + second.asked) == [f"word {number}" for number in range(7)]
    assert outcome.n_new == 3 and outcome.n_translated == 10
    table = pd.read_parquet("out.parquet")
    assert table["text"].tolist()[11:] == [f"WORD {number % 7}" for number in range(10)] and set(table["language"][11:]) == {"xx←en"}
    assert table["original"].tolist()[11:] == [str(number) for number in range(10)]
    third = shouting()
    assert translate(load_translation("job.yaml", options)).n_new == 0 and third.asked == []
    # A translation is no source, unless asked for; an empty list means all languages but the target.
    again = ["data=out.parquet", "out=more.parquet", *options[:3], "directions=[{target: [de]}]"]
    assert translate(load_translation("job.yaml", again)).n_translated == 10
    assert {(source, target) for _, source, target in third.asked} == {("en", "de")}


def test_rows_without_a_translation_stop_or_are_listed(shouting) -> None:
    Path("data.csv").write_text("id,text,language,split\n1,Maß,de,train\n2,Haus,de,train\n")
    options = ["directions=[{target: [en]}]", SOME_TRANSLATOR]
    shouting()
    with pytest.raises(SourceError, match=r"1 row has no translation \(it holds an ß: 1\), e.g. 1 \(en←de\)"):
        translate(load_translation("job.yaml", options))
    outcome = translate(load_translation("job.yaml", [*options, "on_missing=skip"]))
    assert outcome.n_rows == 3 and outcome.missing == [{"row": "1", "language": "en←de", "problem": "it holds an ß"}]
    assert json.loads(Path("out.parquet.json").read_text())["missing"] == outcome.missing


def test_what_is_wrong_is_said_plainly() -> None:
    with pytest.raises(SourceError, match=r"no row is in language 'eng'\. Did you mean 'en'"):
        translate(load_translation("job.yaml", ["directions=[{source: [eng], target: [de]}]"]))
    with pytest.raises(SourceError, match=r"text_field names 'txt', which is no column\. Did you mean 'text'"):
        translate(load_translation("job.yaml", ["text_field=txt"]))
    with pytest.raises(SourceError, match=r"has no row in language 'fr'\. Languages: de, en"):
        translate(load_translation("job.yaml", ["directions=[{target: [fr]}]"]))
    with pytest.raises(ConfigError, match=r"must end in \.parquet or \.csv"):
        load_translation("job.yaml", ["out=out.xlsx"])
    with pytest.raises(ConfigError, match="kind"):
        load_translation("job.yaml", ["translator.kind=tabel"])
    with pytest.raises(ConfigError, match="only: needs split_field"):
        load_translation("job.yaml", ["split_field=null"])


def test_a_table_of_human_translations_makes_translate_train_the_native_classifier(tmp_path: Path) -> None:
    # The same texts in the same order: whatever is fitted on them is the same.
    translate(
        load_translation("job.yaml", ["data=packaged/emoji_names", "translator.table=packaged/emoji_names", "translator.match_field=emoji"])
    )
    fields = {"language_field": "language", "group_field": "family", "split_field": "split", "id_field": "id"}
    entry = DatasetEntry(name=str(tmp_path / "out.parquet"), text_field="text", label_field="label", **fields)
    examples = load_examples(entry, 42)
    spec = SplitSpec(kind="language", languages=["de", "de←en", "en"], min_train=1000)
    splits = {split.domain: split.rows for split in domain_splits(examples, spec, 0.2, 42)}
    texts = {name: sorted(examples.texts[row] for row in rows.train) for name, rows in splits.items()}
    assert texts["de←en"] == texts["de"] != texts["en"] and len(texts["de"]) > 1200
    # Rows that are only tested on take nothing from the others' training parts.
    assert splits["de"].notes["not_trained_on"]["en←de"].startswith("0 training rows")
    tested = {examples.languages[row] for row in splits["de"].test}
    assert "en←de" in tested and "de←en" not in tested


def test_modes_by_hand() -> None:
    def cell(train: str, test: str, score: float) -> dict:
        scores = {"macro_f1": score, "macro_f1_low": score, "macro_f1_high": score, "gap": 0.0, "gap_low": 0.0, "gap_high": 0.0}
        names = {"representation": "sae", "classifier": "logistic", "train_domain": train, "test_domain": test}
        return names | scores | {"n_train": 10, "n_test": 5}

    trained, tested = ["de", "en", "de←en"], ["de", "en", "en←de", "en←fr", "fr"]
    cells = [cell(train, test, 10 * row + column) for row, train in enumerate(trained) for column, test in enumerate(tested)]
    found = {(row["source"], row["language"], row["mode"]): row["macro_f1"] for row in translation_modes(pd.DataFrame(cells))}
    assert found == {
        ("en", "de", "native"): 0,
        ("en", "de", "transferred"): 10,
        ("en", "de", "translate-train"): 20,
        ("en", "de", "translate-test"): 12,
        ("en", "fr", "transferred"): 14,
        ("en", "fr", "translate-test"): 13,
    }
    assert translation_modes(pd.DataFrame(cells[:2])) == []


def test_a_local_model_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="is no folder"):
        translate(load_translation("job.yaml", ["translator={kind: local, model: ./nothing}"]))
