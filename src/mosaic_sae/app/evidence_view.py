"""Latents of a probe with what they fire on: tokens, classes and shaded texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dash import MATCH, Dash, Input, Output, State, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from mosaic_sae.app.components import HIDDEN, said
from mosaic_sae.app.data import Library
from mosaic_sae.explain.cards import Card, Name, Nearest, card_of, named, quoted, summary
from mosaic_sae.report import names
from mosaic_sae.report.shading import runs_of_tokens

POINT_ID = "point-at"
"""Store on a point's page: ``{"fingerprint", "run"}``."""
_HEAD, _BODY = "latent-head", "latent-body"


def latent_details(
    latent: int, share: float, figure: str, card: Card | None, copy: str = "", negative: bool = False, is_open: bool = False
) -> Component:
    """One latent: folded to a line with its weight, unfolded to its evidence.

    Args:
        latent: index in the SAE.
        share: length of its bar, 0..1.
        figure: what the bar stands for, in words or digits.
        card: its evidence, if any was collected.
        copy: tells apart the places of a page that show the same latent.
        negative: whether the weight is below zero, which the bar's pattern repeats.
        is_open: whether it starts unfolded.
    """
    bar = html.Span(html.I(style={"--a": round(100 * share)}), className="bar negative" if negative else "bar", **HIDDEN)
    head = html.Span(
        [
            html.Span(f"Latent {latent}", className="id"),
            bar,
            html.Span(figure, className="num small"),
            html.Span(said(summary(card), 200), className="what muted small"),
        ],
        className="latent-head",
    )
    if is_open or card is None:
        return html.Details([html.Summary(head), card_view(card)], className="latent", open=is_open)
    # A page with the evidence of forty latents is heavy for the browser; it comes when the latent is opened.
    where = {"latent": latent, "copy": copy}
    body = html.Div(html.P("Loading …", className="muted"), id={"part": _BODY, **where})
    return html.Details([html.Summary(head, id={"part": _HEAD, **where}), body], className="latent")


def register(app: Dash, library: Library) -> None:
    """Add the callback that fetches the evidence of a latent when it is opened."""

    @app.callback(
        Output({"part": _BODY, "latent": MATCH, "copy": MATCH}, "children"),
        Input({"part": _HEAD, "latent": MATCH, "copy": MATCH}, "n_clicks"),
        State({"part": _HEAD, "latent": MATCH, "copy": MATCH}, "id"),
        State(POINT_ID, "data"),
        prevent_initial_call=True,
    )
    def opened(n_clicks: int, head: dict[str, Any], at: dict[str, Any]) -> Component:
        if n_clicks != 1:  # it is there since the first time
            raise PreventUpdate
        found = library.find_point(at["fingerprint"], at["run"])
        return card_view(card_of(library.evidence(found.base, found.point), head["latent"]) if found else None)


def card_view(card: Card | None) -> Component:
    """The evidence of one latent: tokens, how often it fires in each class, texts."""
    if card is None:
        return html.P("No evidence was collected for this latent.", className="muted")
    if not card["examples"]:
        return html.P("It fires nowhere in these texts.", className="muted")
    tokens = [
        html.Li(
            [html.Bdi(quoted(token["piece"])), html.Span(f" ×{token['count']:,}, mean {token['mean']:.3g}", className="count")],
            className="chip",
        )
        for token in card["top_tokens"]
    ]
    often = f"In {names.percent(card['density_examples'])} of examples and {names.percent(card['density_tokens'], 2)} of tokens"
    texts = [_text(example, card["max"]) for example in card["examples"]]
    random = [_text(example, card["max"]) for example in card["random_examples"]]
    return html.Div(
        [
            html.H4("Name"),
            _name(card.get("name")),
            html.H4("Tokens it fires on most"),
            html.Ul(tokens, className="chips"),
            html.H4("How often"),
            html.P(f"{often}; largest value {card['max']:.3g}.", className="muted small"),
            _by_class(card["by_class"]),
            html.H4("Texts it fires on most"),
            html.Ul(texts, className="texts"),
            *([html.H4("Random texts it fires on, from strong to weak"), html.Ul(random, className="texts")] if random else []),
            *_nearest(card["nearest"]),
        ],
        className="evidence",
    )


def _name(name: Name | None) -> Component:
    if name is None:
        return html.P("It has no name; see docs/evidence.md for where names come from.", className="muted small")
    link = html.A("Neuronpedia", href=name["url"], rel="noreferrer") if (name["url"] or "").startswith("https://") else None
    return html.P([said(named(name), 260), " ", link])


def _nearest(nearest: Nearest | None) -> Iterator[Component]:
    if nearest is None:
        return
    for title, near in (("by decoder direction", nearest["decoder"]), ("by the tokens on which both fire", nearest["co_activation"])):
        yield html.H4(f"Nearest latents {title}")
        chips = []
        for one in near:
            figure: list[Any] = [f"Latent {one['latent']}", html.Span(f" {one['similarity']:.2f}", className="count")]
            chips.append(html.Li(figure, className="chip"))
        yield html.Ul(chips, className="chips")


def _by_class(shares: dict[str, float]) -> Component:
    rows = [
        html.Tr([
            html.Th(said(label, 60), scope="row"),
            html.Td(html.Span(html.I(style={"--a": round(100 * share, 1)}), className="bar"), **HIDDEN),
            html.Td(names.percent(share), className="num"),
        ])
        for label, share in shares.items()
    ]
    return html.Table(
        [html.Caption("Share of each class's examples in which it fires", className="sr-only"), html.Tbody(rows)], className="by-class"
    )


def _text(example: Mapping[str, Any], largest: float) -> Component:
    picture = [html.Img(src=example["picture"], alt="", className="thumbnail")] if example.get("picture") else []
    return html.Li([
        *picture,
        html.Span(shaded(example, largest), className="text", dir="auto"),
        html.Span(
            [said(example["label"], 60), f", strongest {example['value']:.3g}, id ", said(example["id"], 60)], className="muted small"
        ),
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
