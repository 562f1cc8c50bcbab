"""Text tables: columns line up whatever stands in them."""

from __future__ import annotations

from mosaic_sae.cli.tables import aligned


def test_numbers_are_flush_right_and_text_flush_left():
    text = aligned(["name", "score", "note"], [["a", "0.5", "x"], ["longer", "12.25", "–"], ["b", "–", "yy"]])
    assert text.split("\n") == [
        "name    score  note",
        "a         0.5  x",
        "longer  12.25  –",
        "b           –  yy",
    ]


def test_wide_and_combining_letters_count_as_they_look():
    first, second, third, header = aligned(["", ""], [["日本", "x"], ["e\u0301e", "x"], ["abcd", "x"]]).split("\n")[::-1]
    assert header == ""
    assert (first, second, third) == ("abcd  x", "e\u0301e    x", "日本  x")


def test_no_rows_leave_the_header():
    assert aligned(["a", "b"], []) == "a  b"
