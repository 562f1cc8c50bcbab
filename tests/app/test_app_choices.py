"""Addresses, choices as links, the bar, and intervals on a scale."""

import math

import pytest
from page_reading import find, links_of, text_of, with_class
from run_folders import HOSTILE, make_run_folder

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.data import Library
from mosaic_sae.app.intervals import Interval, intervals, symmetric
from mosaic_sae.app.page import Address
from mosaic_sae.app.pages import PAGES
from mosaic_sae.app.shell import bar


def test_an_address_is_read_as_it_is_written():
    address = Address("point", ("ab/c", "d?e"), {"run": "two & three", "class": HOSTILE[2]})
    path, _, search = address.link().partition("?")
    assert Address.read(path, f"?{search}") == address
    assert address.link(run=None, **{"class": None}) == "/point/ab%2Fc/d%3Fe"
    assert Address.read("/", "").link() == "/"
    assert Address("study").link(split="a", n=3) == "/study?split=a&n=3"


def test_choices_are_links_that_change_one_thing():
    address = Address("study", query={"run": "r", "split": "random"})
    assert choices(address, "split", "Split", [("random", "random")], "random") is None
    few = choices(address, "split", "Split", [("random", "random"), ("other", HOSTILE[0])], "other")
    assert links_of(few) == ["/study?run=r&split=random", "/study?run=r&split=other"]
    assert [getattr(link, "aria-current", None) for link in find(few, "A")] == [None, "true"]
    assert not find(few, "Details")
    many = choices(address, "split", "Split", [(str(number), f"split {number}") for number in range(30)], "7")
    assert len(links_of(many)) == 30
    assert text_of(find(many, "Summary")) == "split 7"


@pytest.mark.parametrize(("asked", "found"), [("b", "b"), ("nothing", "a"), (None, "a")])
def test_a_choice_that_is_not_there_is_the_first(asked, found):
    assert picked(Address(query={"x": asked} if asked else {}), "x", ["a", "b"]) == found


def test_the_bar_leads_to_all_pages_of_the_same_run_and_marks_the_current_one(tmp_path):
    for name in ("one", "two"):
        make_run_folder(tmp_path, 20, name=name)
    library = Library([tmp_path])
    address = Address("study", query={"run": "one", "split": "random"})
    parts = bar(PAGES, address, library.runs(), library.run("one"))
    links = find(find(parts, "Nav"), "A")
    assert [text_of(link) for link in links] == ["Overview", "Compare", "Latents", "Examples", "Study", "Transfer", "Run"]
    assert [text_of(link) for link in links if getattr(link, "aria-current", None) == "page"] == ["Study"]
    assert all(link.href.endswith("?run=one") for link in links)
    menu = with_class(parts, "run-menu")[0]
    assert sorted(links_of(menu)) == ["/study?run=one", "/study?run=two"]
    # A point belongs to its run: from there the menu leads to the first page.
    elsewhere = bar(PAGES, Address("point", ("0" * 16,)), library.runs(), library.run(None))
    assert sorted(links_of(with_class(elsewhere, "run-menu")[0])) == ["/?run=one", "/?run=two"]
    assert bar(PAGES, Address(), [], None)


def test_pages_have_names_of_their_own():
    assert len({(page.name, page.n_parts) for page in PAGES}) == len(PAGES)


def test_a_signed_interval_lies_where_it_should():
    lines = [Interval("a", -0.1, -0.2, 0.05, is_signed=True), Interval("b", math.nan, math.nan, math.nan)]
    assert symmetric(lines) == (-0.25, 0.25)
    drawn = intervals("c", ("x", "y"), lines, symmetric(lines))
    assert with_class(drawn, "zero")[0].style == {"left": "50.00%"}
    assert with_class(drawn, "dot")[0].style == {"left": "30.00%"}
    assert with_class(drawn, "whisker")[0].style == {"left": "10.00%", "width": "50.00%"}
    assert len(with_class(drawn, "dot")) == len(with_class(drawn, "whisker")) == 1
    assert "−0.100 [−0.200, 0.050]" in text_of(drawn)
    assert "–" in text_of(drawn)
