import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mosaic_sae.errors import SourceError


def test_csv_with_quotes_newlines_commas_and_both_line_ends(write, load):
    raw = '\ufefftext,label\r\n"a, ""quoted"" text\nof two lines",x\r\nplain,y\r\n'
    examples = load(write("a.csv", raw))
    assert examples.texts == ['a, "quoted" text\nof two lines', "plain"]
    assert examples.labels == ["x", "y"]
    assert load(write("b.csv", raw.lstrip("\ufeff").replace("\r\n", "\n"))).fingerprint == examples.fingerprint


def test_line_ends_inside_quotes_are_kept(write, load):
    assert load(write("a.csv", b'text,label\r\n"a\r\nb\nc",x\r\nd,y\r\n')).texts == ["a\r\nb\nc", "d"]


def test_csv_text_that_looks_like_a_missing_value_or_a_number_stays_text(write, load):
    raw = "id,text,label\n007,NA,NA\n008,null,None\n009,1.0,nan\n"
    examples = load(write("a.csv", raw), id_field="id")
    assert (examples.ids, examples.texts, examples.labels) == (["007", "008", "009"], ["NA", "null", "1.0"], ["NA", "None", "nan"])


def test_tsv_keeps_commas(write, load):
    assert load(write("a.tsv", "label\ttext\nx\ta, b\ny\tc\n")).texts == ["a, b", "c"]


def test_very_long_cell(write, load):
    assert len(load(write("a.csv", f"text,label\n{'w ' * 100_000},x\nb,y\n")).texts[0]) == 200_000


def test_empty_lines_are_no_rows(write, load):
    assert load(write("a.csv", "text,label\n\na,x\n\n\nb,y\n")).ids == ["0", "1"]


def test_wrong_number_of_cells_names_the_line_and_is_an_error_by_default(write, load):
    # Row 0 spans lines 2 and 3, so the row with one cell is row 1 and starts in line 4.
    path = write("a.csv", 'text,label\n"a\nb",x\nonly\nc,y\nd,y,z\n')
    with pytest.raises(SourceError, match=r"malformed row: 2 \(line 4: 1 cells, the header has 2; line 6: 3 cells"):
        load(path)
    examples = load(path, on_bad_rows="skip")
    assert examples.texts == ["a\nb", "c"]
    assert examples.ids == ["0", "2"]  # row numbers of the file, not of what is left
    assert [one.id for one in examples.skipped] == ["row 1", "row 3"]
    assert "line 4" in examples.skipped[0].reason


def test_stray_quote_names_the_line_and_the_rest_is_read(write, load):
    path = write("a.csv", 'text,label\na,x\n"b"oops,y\nc,y\n')
    with pytest.raises(SourceError, match="line 3"):
        load(path)
    assert load(path, on_bad_rows="skip").texts == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("a.csv", "text;label\na;x\n", "semicolons, not by commas"), ("a.tsv", "text,label\na,x\n", "commas, not by tabs")],
)
def test_header_with_another_delimiter_is_named(write, load, name: str, content: str, said: str):
    with pytest.raises(SourceError, match=said):
        load(write(name, content))


def test_quote_that_is_never_closed_is_an_error_even_when_skipping(write, load):
    # It swallows all that follows; skipping "one row" would lose the rest of the file quietly.
    path = write("a.csv", 'text,label\na,x\n"b,y\nc,y\nd,x\n')
    with pytest.raises(SourceError, match="starts in line 3 opens a quote that is never closed"):
        load(path, on_bad_rows="skip")


@pytest.mark.parametrize("raw", ["", "\n\n", "\ufeff"])
def test_empty_file(write, load, raw):
    with pytest.raises(SourceError, match=r"a\.csv: the file is empty"):
        load(write("a.csv", raw))


def test_header_without_rows(write, load):
    with pytest.raises(SourceError, match="no usable row"):
        load(write("a.csv", "text,label\n"))


def test_repeated_column(write, load):
    with pytest.raises(SourceError, match="column 'text' occurs more than once"):
        load(write("a.csv", "text,label,text\na,x,b\n"))


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_undecodable_file_says_where(write, load, bom):
    raw = bom + b"text,label\ncaf\xe9,x\n"
    with pytest.raises(SourceError, match="byte 0xe9 at position " + str(raw.index(b"\xe9")) + r" \(line 2\).*UTF-8"):
        load(write("a.csv", raw))


def test_utf16_is_refused_with_advice(write, load):
    with pytest.raises(SourceError, match="not UTF-8: byte 0xff at position 0"):
        load(write("a.csv", "text,label\na,x\n".encode("utf-16")))


def test_jsonl_missing_keys_are_missing_cells_and_line_separators_inside_texts_are_kept(write, load):
    raw = '{"text": "a\u2028b", "label": "x", "more": 1}\r\n\n{"label": "y", "text": "c"}\n'
    examples = load(write("a.jsonl", raw), language_field="more")
    assert examples.texts == ["a\u2028b", "c"]
    assert examples.languages == ["1", ""]


def test_jsonl_bad_lines_are_named(write, load):
    path = write("a.jsonl", '{"text": "a", "label": "x"}\n\n{"text": "b", "label"\n[1]\n{"text": "c", "label": "y"}\n')
    with pytest.raises(SourceError, match=r"malformed row: 2 \(line 3: not JSON: .*; line 4: a JSON list, expected an object"):
        load(path)
    examples = load(path, on_bad_rows="skip")
    assert (examples.ids, examples.texts) == (["0", "3"], ["a", "c"])


def test_json_list_and_json_lines_under_the_name_json(write, load):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    as_list = load(write("a.json", json.dumps(rows)))
    as_lines = load(write("b.json", "\n".join(json.dumps(row) for row in rows)))
    assert as_list.fingerprint == as_lines.fingerprint
    with pytest.raises(SourceError, match="expected a list of objects"):
        load(write("c.json", '{"data": []}'))
    with pytest.raises(SourceError, match=r"not JSON: .* line 1"):
        load(write("d.json", "[{]"))


def test_parquet_written_by_datasets_keeps_class_names(tmp_path: Path, load):
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
    table = pa.table({"text": ["a", "b", "c"], "label": pa.array([1, 0, -1], pa.int64())})
    # The folder's name looks like a partition; it must not become a column.
    folder = tmp_path / "lang=7"
    folder.mkdir()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), folder / "a.parquet")
    examples = load(str(folder / "a.parquet"), on_bad_rows="skip")
    assert examples.labels == ["yes", "no"]
    assert [one.reason for one in examples.skipped] == ["missing label"]  # -1 has no name
    with pytest.raises(SourceError, match=r"language_field names 'lang', which is no column\. Columns: text, label"):
        load(str(folder / "a.parquet"), language_field="lang")


def test_damaged_parquet(write, load):
    with pytest.raises(SourceError, match="cannot be read as parquet"):
        load(write("a.parquet", b"PAR1 this is not parquet"))


def test_unknown_suffix_lists_what_is_readable(write, load):
    with pytest.raises(SourceError, match=r"no reader for files ending in '\.xlsx'. Readable: .*\.csv"):
        load(write("a.xlsx", "x"))
