"""Explanations as HTML: what is shown, and that text from the data stays text."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from mosaic_sae.explain.display import explanation_html
from mosaic_sae.explain.example import explain_example
from stored_point import make_point, write_cards


class Tags(HTMLParser):
    """Tags with their attributes, and the text outside them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_from_the_data_stays_text(tmp_path: Path) -> None:
    # Pieces, ids, labels and top tokens hold markup, a direction override, an emoji and right-to-left letters.
    stored = make_point(tmp_path)
    card = {"top_tokens": [{"piece": "<script>alert(1)</script>"}]}
    write_cards(stored.base, stored.stores, {str(i): card for i in range(24)})
    allowed = {"div", "p", "bdi", "strong", "span", "table", "caption", "thead", "tbody", "tr", "th", "td", "i", "ol", "li"}
    seen = ""
    for row in range(20):
        found = explain_example(stored.base, stored.folder, row)
        page = Tags(explanation_html(found))
        assert page.open == [] and {tag for tag, _ in page.tags} <= allowed
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert "\u202e" not in page.text
        assert f"Example e<{row}>: predicted {found.predicted} " in page.text
        assert "".join(token.piece.replace("\u202e", "[U+202E]").replace("\n", "⏎") for token in found.tokens) in page.text
        seen += page.text
    assert all(piece in seen for piece in ("<b>", " שלום", "👩", "⏎", "'<script>alert(1)</script>'"))


def test_shades_follow_the_sign_and_size_of_what_a_token_carries(tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    found = explain_example(stored.base, stored.folder, 0)
    page = Tags(explanation_html(found))
    shaded = [
        (attributes["class"], int(attributes["style"][4:]))
        for tag, attributes in page.tags
        if attributes.get("class") in ("for", "against")
    ]
    carried = [token.contribution for token in found.tokens if round(100 * (abs(token.contribution)) ** 0.5) and token.counts]
    assert [name for name, _ in shaded] == ["for" if value > 0 else "against" for value in carried]
    assert max(percent for _, percent in shaded) == 100
    strongest = max(range(len(carried)), key=lambda i: abs(carried[i]))
    assert shaded[strongest][1] == 100


def test_the_rows_of_the_table_sum_to_the_decision(tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    found = explain_example(stored.base, stored.folder, 1)
    text = Tags(explanation_html(found, shown=2)).text
    rest = found.decision - found.bias - sum(part.contribution for part in found.latents[:2])
    n = len(found.latents) + found.others["n"] - 2
    assert f"{n} more latents{rest:+.2f}".replace("-", "−") in text
    assert f"Sum: logit of {found.about}{found.decision:+.2f}" in text


def test_the_path_of_a_tree_is_told(tmp_path: Path) -> None:
    stored = make_point(tmp_path, "tree")
    found = explain_example(stored.base, stored.folder, 1)
    text = Tags(explanation_html(found)).text
    for step in found.path[:-1]:
        assert f"{step.question} {step.answer}" in text
    assert f"Decision: {100 * found.decision:.0f} % {found.about}" in text
    assert explain_example(stored.base, stored.folder, 1)._repr_html_().startswith("<style>")
