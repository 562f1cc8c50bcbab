"""The written report: complete, self-contained, and with the data's text as text."""

import json
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from run_folders import HOSTILE, make_run_folder

from mosaic_sae import fsio
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import visible
from mosaic_sae.report.content import gather
from mosaic_sae.report.figures import describe_scores, plain, score_intervals
from mosaic_sae.report.markdown import escape_markdown
from mosaic_sae.report.write import write_report


class Page(HTMLParser):
    """Elements, attributes and text of a page; what stands in <script> and <style> is not text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.ids, self._inside = [], [], [], [], []
        self.feed(text)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self._inside):
            self.words.append(data)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    run = make_run_folder(tmp_path_factory.mktemp("plain"), 60)
    html, markdown = write_report(run)
    return run, html.read_text("utf-8"), markdown.read_text("utf-8")


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    run = make_run_folder(tmp_path_factory.mktemp("hostile"), 60, hostile=True)
    html, markdown = write_report(run)
    return run, html.read_text("utf-8"), markdown.read_text("utf-8")


def test_every_section_is_there(plain_run):
    _, html, markdown = plain_run
    page = Page(html)
    for heading in ("What came out", "How to read this", "Score by representation", "Latents that speak for each class", "Provenance"):
        assert heading in page.text
    for text in (page.text, markdown):
        assert "No clear winner, the mean hidden state a little higher" in text
        assert "Shuffled labels" in text
        assert "no latent fires in the last token of any text" in text
        assert "benign 652, harmful 1,162" in text
        assert "0.847" in text
        assert "Latent 2207" in text
        assert re.search(r"(Is the \w+ of|Does the \w+ of) latent 123", text)
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table")
    assert len([1 for tag, name, value in page.attributes if (tag, name, value) == ("div", "role", "img")]) == 3


def test_one_file_that_asks_for_nothing_else(plain_run):
    _, html, _ = plain_run
    page = Page(html)
    assert html.count("plotly.js v") == 1
    linked = [(tag, value) for tag, name, value in page.attributes if name in {"src", "href", "action"}]
    assert all(value.startswith("#") for _, value in linked)
    assert "link" not in page.tags
    assert "default-src 'none'" in html


def test_the_scores_in_the_report_are_those_of_the_table(plain_run):
    run, html, markdown = plain_run
    text = Page(html).text
    for section in gather(run).sections:
        for row in section.scores.to_dict("records"):
            assert f"{row['macro_f1']:.3f}[{row['macro_f1_low']:.3f}, {row['macro_f1_high']:.3f}]" in text
            assert f"| {row['macro_f1']:.3f} | [{row['macro_f1_low']:.3f}, {row['macro_f1_high']:.3f}] |" in markdown


def test_hostile_text_is_text_in_html(plain_run, hostile_run):
    calm, page = Page(plain_run[1]), Page(hostile_run[1])
    # No element and no handler comes from the data.
    assert page.tags.count("script") == calm.tags.count("script")
    assert set(page.tags) == set(calm.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not [value for _, name, value in page.attributes if name in {"href", "src"} and not value.startswith("#")]
    for text in HOSTILE[:5]:
        assert " ".join(visible(text, 40).split()) in page.text
    assert HOSTILE[5] in page.text
    assert "\u202e" not in page.text


def test_hostile_text_is_text_in_figures(hostile_run):
    section = gather(hostile_run[0]).sections[0]
    figure = score_intervals(section.scores.assign(label=HOSTILE[0], method=HOSTILE[1]))
    content = json.dumps(figure.to_plotly_json(), default=str, ensure_ascii=False)
    assert "<script" not in content
    assert "<img" not in content
    assert "</script" not in figure.to_html(full_html=False, include_plotlyjs=False).replace("</script>", "", 1).rpartition("</script>")[0]
    assert plain("<b>&") == "&lt;b&gt;&amp;"
    assert describe_scores(section.scores.iloc[:0]) == "No scores."


def test_hostile_text_is_text_in_markdown(hostile_run):
    markdown = hostile_run[2]
    assert not re.search(r"<(script|img|b)\b", markdown)
    rendered = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").render(markdown)
    page = Page(rendered)
    assert not {"script", "img", "b", "a"} & set(page.tags)
    assert "*star* [link](javascript:window.hacked=1)" in page.text
    # Pipes in the data open no new cell: every row of a table has as many cells as its head.
    width = None
    for line in markdown.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        width = None if cells is None else (width or cells)
        assert cells == width, line


def test_markdown_escapes_by_hand():
    assert escape_markdown("a|b `c` *d* _e_ <f> & g\nh") == r"a\|b \`c\` \*d\* \_e\_ &lt;f&gt; &amp; g⏎h"
    assert "http://" not in escape_markdown("see http://x.example or www.x.example or me@x.example")


def test_a_run_without_results_still_has_a_report(tmp_path):
    run = make_run_folder(tmp_path, 20, status="failed")
    html, markdown = write_report(run)
    for text in (Page(html.read_text("utf-8")).text, markdown.read_text("utf-8")):
        assert "There are no results: no point was finished." in text
    assert html.stat().st_size < 100_000  # no plot, so no plotting library


def test_missing_points_and_evidence_leave_words_not_gaps(tmp_path, caplog):
    run = make_run_folder(tmp_path, 60)
    for path in (tmp_path / "evidence").glob("*.json"):
        path.unlink()
    html, _ = write_report(run)
    assert "no evidence collected" in Page(html.read_text("utf-8")).text
    for path in tmp_path.rglob("point.json"):
        path.unlink()
    html, _ = write_report(run)
    assert "Latents that speak" not in Page(html.read_text("utf-8")).text
    assert "has no point.json" in caplog.text


def test_failed_splits_and_missing_facts_are_said(tmp_path):
    run = make_run_folder(tmp_path, 20)
    info = fsio.read_json(run / "run.json")
    info["datasets"][0]["splits"]["holdout"] = {"error": "no row has the value x"}
    info |= {"git": None, "models": [{"name": "m"}], "seconds": {}}
    del info["datasets"][1]["licence"]
    fsio.write_json(run / "run.json", info)
    text = Page(write_report(run)[0].read_text("utf-8")).text
    for words in ("failed: no row has the value x", "not in a git repository", "not stated"):
        assert words in text


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"is not a run folder: it has no run\.json"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        write_report(tmp_path)


def test_a_lone_surrogate_does_not_stop_the_report(tmp_path):
    run = make_run_folder(tmp_path, 20)
    info = fsio.read_json(run / "run.json")
    (run / "run.json").write_text(json.dumps(info | {"name": "odd \ud800"}))
    assert "odd" in Page(write_report(run)[0].read_text("utf-8")).text
