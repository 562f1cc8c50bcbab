"""Parts of a latent's card: tokens, shares of groups, shaded texts, the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import HIDDEN, said
from mosaic_sae.explain.cards import Card, Name, Window, named, quoted
from mosaic_sae.report import names
from mosaic_sae.report.shading import runs_of_tokens


def name_line(name: Name | None) -> Component:
    """The name of a latent with its source, or that it has none."""
    if name is None:
        return html.P("It has no name; see docs/evidence.md for where names come from.", className="muted small")
    link = html.A("Neuronpedia", href=name["url"], rel="noreferrer") if (name["url"] or "").startswith("https://") else None
    return html.P([said(named(name), 260), " ", link])


def token_chips(card: Card) -> Component:
    """The tokens a latent fires on most, with counts and mean activation."""
    chips = [
        html.Li(
            [html.Bdi(quoted(token["piece"])), html.Span(f" ×{token['count']:,}, mean {token['mean']:.3g}", className="count")],
            className="chip",
        )
        for token in card["top_tokens"]
    ]
    return html.Ul(chips, className="chips")


def share_bars(caption: str, shares: Mapping[str, float]) -> Component:
    """A bar for each group's share, on a scale from 0 to 1.

    Args:
        caption: what the shares are of.
        shares: share by group.
    """
    rows = [
        html.Tr([
            html.Th(said(label, 60), scope="row"),
            html.Td(html.Span(html.I(style={"--a": round(100 * share, 1)}), className="bar"), **HIDDEN),
            html.Td(names.percent(share), className="num"),
        ])
        for label, share in shares.items()
    ]
    return html.Table([html.Caption(caption, className="sr-only"), html.Tbody(rows)], className="by-class")


def texts(windows: Sequence[Window], largest: float) -> Component:
    """Texts with the tokens on which a latent fires shaded.

    Args:
        windows: ``examples`` or ``random_examples`` of a card.
        largest: the card's ``max``.
    """
    return html.Ul([_text(window, largest) for window in windows], className="texts")


def weight_of(classifier: str, weight: float) -> str:
    """A use's weight: of a probe with its sign, of a tree as a share of its gain."""
    return names.percent(weight) if classifier == "tree" else names.signed(weight)


def _text(example: Mapping[str, Any], largest: float) -> Component:
    picture = [html.Img(src=example["picture"], alt="", className="thumbnail")] if example.get("picture") else []
    language: list[Any] = [", ", said(example["language"], 30)] if example.get("language") else []
    about = [said(example["label"], 60), *language, f", strongest {example['value']:.3g}, id ", said(example["id"], 60)]
    return html.Li([
        *picture,
        html.Span(shaded(example, largest), className="text", dir="auto"),
        html.Span(about, className="muted small"),
    ])


def shaded(example: Mapping[str, Any], largest: float) -> list[Any]:
    """The tokens of a text, those on which the latent fires shaded by strength, the strongest underlined."""
    parts: list[Any] = []
    for stretch in runs_of_tokens(example, largest):
        if not stretch.percent:
            parts.append(stretch.text)
            continue
        class_name = "fire peak" if stretch.peak else "fire"
        parts.append(html.Span(stretch.text, className=class_name, style={"--a": stretch.percent}, title=f"{stretch.value:.3g}"))
    return parts
