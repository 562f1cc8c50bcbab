import math
import random
from collections import Counter

import pytest

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import SourceError

ROWS = [
    {"id": "a1", "text": "one, two", "label": "x", "where": "web", "year": 2001},
    {"id": "a2", "text": 'three "four"', "label": "y", "where": "book", "year": 2002},
    {"id": "a3", "text": "fünf\nsechs", "label": "x", "where": "web", "year": 2003},
]
KEYS = {"id_field": "id", "group_field": "where", "splits": [SplitSpec(kind="holdout", field="year", test_values=["2003"])]}


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_fingerprint_is_of_the_content_not_of_the_file(write, load, name):
    csv = load(write("other name.csv", ROWS), **KEYS)
    other = load(write(name, ROWS), **KEYS)
    assert other.fingerprint == csv.fingerprint
    assert (other.texts, other.fields) == (["one, two", 'three "four"', "fünf\nsechs"], {"year": ["2001", "2002", "2003"]})
    assert other.provenance["sha256"] != csv.provenance["sha256"]


@pytest.mark.parametrize(("column", "value"), [("id", "a9"), ("text", "one, two "), ("label", "y"), ("where", "book"), ("year", 1999)])
def test_any_changed_cell_changes_the_fingerprint(write, load, column, value):
    before = load(write("a.csv", ROWS), **KEYS).fingerprint
    assert load(write("b.csv", [ROWS[0] | {column: value}, *ROWS[1:]]), **KEYS).fingerprint != before


def test_fingerprint_tells_row_order_but_not_unused_columns_or_where_cells_end(write, load):
    before = load(write("a.csv", ROWS), **KEYS).fingerprint
    assert load(write("b.csv", [ROWS[1], ROWS[0], ROWS[2]]), **KEYS).fingerprint != before
    assert load(write("c.csv", [row | {"more": 1} for row in ROWS]), **KEYS).fingerprint == before
    one = load(write("d.csv", [{"text": "ab", "label": "x"}, {"text": "c", "label": "y"}]))
    other = load(write("e.csv", [{"text": "a", "label": "x"}, {"text": "bc", "label": "y"}]))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_numeric_labels_lose_their_point_zero_in_every_format(write, load, name):
    assert load(write(name, [{"text": "a", "label": 1.0}, {"text": "b", "label": 0.0}])).labels == ["1", "0"]


def test_labels_that_only_look_like_numbers_stay(write, load):
    assert load(write("a.csv", "text,label\na,3.0\nb,3.1\n")).labels == ["3.0", "3.1"]
    assert load(write("b.csv", "text,label\na,01\nb,1.0\n")).labels == ["01", "1.0"]
    assert load(write("c.jsonl", [{"text": "a", "label": True}, {"text": "b", "label": False}])).labels == ["True", "False"]


def test_numeric_ids_and_gaps_that_made_them_floating_point(write, load):
    rows = [{"id": 1.0, "text": "a", "label": "x"}, {"id": None, "text": "b", "label": "y"}, {"id": 3.0, "text": "c", "label": "y"}]
    examples = load(write("a.parquet", rows), id_field="id", on_bad_rows="skip")
    assert examples.ids == ["1", "3"]
    assert [(one.id, one.reason) for one in examples.skipped] == [("row 1", "missing id")]


def test_template_joins_columns(write, load):
    rows = [
        {"title": "T{1}", "body": "B", "label": "x"},
        {"title": None, "body": "C", "label": "y"},
        {"title": "", "body": " ", "label": "y"},
    ]
    examples = load(write("a.jsonl", rows), template="{{{title}}}\n{body}.", on_bad_rows="skip")
    assert examples.texts == ["{T{1}}\nB.", "{}\nC."]
    assert [(one.id, one.reason) for one in examples.skipped] == [("2", "empty text")]  # all columns blank, whatever is around them


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{tite}", r"template names 'tite', which is no column\. Did you mean 'title'\? Columns: title, label"),
        ("no columns", "names no column"),
        ("{title", "expected '}'"),
        ("{title!r}", "without format or conversion"),
        ("{}", r"write each column as \{name\}"),
    ],
)
def test_wrong_template(write, load, template, message):
    with pytest.raises(SourceError, match=message):
        load(write("a.csv", "title,label\na,x\nb,y\n"), template=template)


def test_all_missing_columns_are_named_at_once(write, load):
    with pytest.raises(SourceError) as caught:
        load(write("a.csv", "text,label,lang\na,x,en\n"), text_field="Text", id_field="uid", language_field="language")
    message = str(caught.value)
    assert "text_field names 'Text', which is no column. Did you mean 'text'?" in message
    assert "id_field names 'uid'" in message
    assert "language_field names 'language', which is no column. Did you mean 'lang'?" in message
    assert "Columns: text, label, lang" in message


BAD = [
    {"id": "1", "text": " \t", "label": "x"},
    {"id": "2", "text": "b", "label": None},
    {"id": "3", "text": "c", "label": "x"},
    {"id": "4", "text": None, "label": "x"},
    {"id": "3", "text": "again", "label": "y"},
    {"id": "1", "text": "first good one with this id", "label": "y"},
    {"id": "7", "text": "d", "label": " "},
]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_bad_rows_are_an_error_with_counts_and_ids(write, load, name):
    with pytest.raises(SourceError) as caught:
        load(write(name, BAD), id_field="id")
    assert "5 rows cannot be used. empty text: 2 (1, 4). missing label: 2 (2, 7). duplicate id: 1 (3). Mend them, or" in str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_bad_rows_are_skipped_and_listed_on_request(write, load, name):
    examples = load(write(name, BAD), id_field="id", on_bad_rows="skip")
    assert (examples.ids, examples.texts) == (["3", "1"], ["c", "first good one with this id"])
    assert Counter(one.reason for one in examples.skipped) == {"empty text": 2, "missing label": 2, "duplicate id": 1}
    assert {key: examples.provenance[key] for key in ("rows_read", "rows_skipped", "rows_kept")} == {
        "rows_read": 7,
        "rows_skipped": 5,
        "rows_kept": 2,
    }


def test_long_lists_of_bad_rows_are_cut(write, load):
    with pytest.raises(SourceError, match=r"empty text: 9 \(0, 1, 2, 3, 4, \.\.\.\)"):
        load(write("a.jsonl", [{"text": "", "label": "x"}] * 9 + [{"text": "a", "label": "y"}]))


def test_missing_numbers_are_missing_labels(write, load):
    rows = [{"text": "a", "label": 1.0}, {"text": "b", "label": math.nan}, {"text": "c", "label": 2.0}]
    for name in ("a.jsonl", "a.parquet"):
        assert load(write(name, rows), on_bad_rows="skip").labels == ["1", "2"]


def test_half_a_character_is_a_bad_row(write, load):
    path = write("a.jsonl", '{"text": "a\\ud800", "label": "x"}\n{"text": "b", "label": "x"}\n{"text": "c", "label": "y"}\n')
    assert [one.reason for one in load(path, on_bad_rows="skip").skipped] == ["not valid Unicode"]


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_single_class_is_always_an_error(write, load, policy):
    with pytest.raises(SourceError, match="every one of 2 rows has the label 'x'"):
        load(write("a.csv", "text,label\na,x\nb,x\n"), on_bad_rows=policy)


def test_columns_of_lists_are_refused(write, load):
    with pytest.raises(SourceError, match=r"column 'text' holds list values.*\['a'\]"):
        load(write("a.jsonl", [{"text": ["a"], "label": "x"}, {"text": ["b"], "label": "y"}]))


def test_empty_optional_cells(write, load):
    examples = load(write("a.csv", "text,label,doc,part\na,x,,train\nb,y,d,\n"), group_field="doc", split_field="part")
    assert (examples.groups, examples.splits, examples.languages) == (["", "d"], ["train", ""], None)


def many() -> list[dict[str, str]]:
    labels = ["a"] * 6 + ["b", "c", "c"]
    return [{"id": f"i{row}", "text": f"text {row}", "label": labels[row % 9]} for row in range(90)]


def test_max_rows_is_stratified_seeded_and_in_file_order(write, load):
    path = write("a.csv", many())  # a: 60, b: 10, c: 20
    examples = load(path, id_field="id", max_rows=27)
    assert Counter(examples.labels) == {"a": 18, "b": 3, "c": 6}
    numbers = [int(name[1:]) for name in examples.ids]
    assert numbers == sorted(numbers)
    assert load(path, id_field="id", max_rows=27).ids == examples.ids
    assert load(path, seed=1, id_field="id", max_rows=27).ids != examples.ids
    assert load(path, id_field="id", max_rows=1000).ids == load(path, id_field="id").ids


@pytest.mark.parametrize("id_field", ["id", None])
def test_max_rows_does_not_depend_on_row_order(write, load, id_field):
    rows = many()
    shuffled = random.Random(5).sample(rows, len(rows))
    one = load(write("a.csv", rows), id_field=id_field, max_rows=30)
    other = load(write("b.csv", shuffled), id_field=id_field, max_rows=30)
    assert set(one.texts) == set(other.texts)


def test_max_rows_keeps_every_class(write, load):
    rows = [{"text": f"t{row}", "label": "often"} for row in range(98)] + [{"text": f"r{row}", "label": f"rare{row}"} for row in range(2)]
    assert Counter(load(write("a.csv", rows), max_rows=10).labels) == {"often": 8, "rare0": 1, "rare1": 1}
    with pytest.raises(SourceError, match="max_rows is 2, but there are 3 classes"):
        load(write("b.csv", rows), max_rows=2)
