"""YAML text: values, lines, and what is wrong with the text itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_sae.config.lines import dump, parse

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from([
        "no",
        "on",
        "1e-3",
        "123e4567",
        "2024-01-01",
        "0x1f",
        "1_000",
        "~",
        "null",
        "True",
        "<<",
        "=",
        ".inf",
        "12:30",
        "-",
        "",
    ])
)
_KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_TREES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=12)


@settings(derandomize=True, deadline=None)
@given(_TREES)
def test_what_is_dumped_is_read_back_the_same(tree):
    document = parse(dump(tree))
    assert document.problems == []
    assert document.data == tree
    assert repr(document.data) == repr(tree)  # 1 is not 1.0, and not true


def test_scalars_follow_yaml_1_2():
    text = "a: 1e-3\nb: no\nc: 2024-01-01\nd: 010\ne: -1.\nf: ~\ng:\nh: 1_000\ni: TRUE\nj: '7'\nk: 0,1\nl: !!str 5"
    assert list(parse(text).data.values()) == [0.001, "no", "2024-01-01", 10, -1.0, None, None, "1_000", True, "7", "0,1", "5"]


def test_every_key_and_item_has_its_line():
    text = "# head\n\na: 1\nb:\n  - x\n  - y: 2\n    z: [3,\n        4]\n"
    lines = parse(text).lines
    assert lines[("a",)] == 3
    assert lines[("b",)] == 4
    assert lines[("b", 0)] == 5
    assert lines[("b", 1)] == 6
    assert lines[("b", 1, "y")] == 6
    assert lines[("b", 1, "z")] == 7
    assert lines[("b", 1, "z", 0)] == 7
    assert lines[("b", 1, "z", 1)] == 8


def test_merge_keys_give_way_to_the_blocks_own_keys():
    document = parse("base: &base {x: 1, y: 2}\nother: &other {y: 5, z: 6}\nmine:\n  <<: [*base, *other]\n  x: 9\n")
    assert document.data["mine"] == {"x": 9, "y": 2, "z": 6}
    assert document.problems == []


def test_duplicate_keys_are_reported_at_every_depth_and_the_first_value_is_kept():
    document = parse("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [(problem.path, problem.line) for problem in document.problems] == [(("b", "c"), 4), (("a",), 5)]
    assert "first in line 3" in document.problems[0].text
    assert document.unreadable == set()  # the values can be judged all the same


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb:\n\tc: 2", 3, "a tab character"),
        ("a: b: c", 1, "needs quotes"),
        ("a:\n  b: 1\n c: 2", 3, "indentation does not fit"),
        ("a: [1, 2\nb: 3", 2, "bracket is not closed"),
        ("a: [", 1, "bracket is not closed"),
        ("a: 'xx\nb: 2", 2, "a quote is not closed (it begins in line 1)"),
        ('a: "b" c', 1, "after a closing quote"),
        ("a: @x", 1, "'@' that cannot begin a value; put the value in quotes"),
        ("a: *x", 1, "undefined alias"),
        ("a: 1\n---\nb: 2", 2, "a second document begins here"),
        ("a: \x01", 1, "not allowed in YAML"),
        ("a: 1\nb: !!python/object:os.system x", 2, "the tag !!python/object:os.system is not allowed"),
        ("a: .inf", 1, "no key takes an infinite"),
        ("a: 1e999", 1, "no key takes an infinite"),
        ("a: !!int abc", 1, "'abc' is not a number"),
        ("a: &x [*x]", 1, "contains it"),
        ("? [1]\n: 2", 1, "cannot be a key"),
        ("<<: 3", 1, "<< takes a block"),
        ('a: "\\ud800"', 1, "half a character"),
    ],
)
def test_problems_of_the_text_are_told_in_words_with_their_line(text, line, words):
    problems = parse(text).problems
    assert len(problems) == 1
    assert problems[0].line == line
    assert words in problems[0].text
