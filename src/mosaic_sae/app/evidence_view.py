"""Latents of a probe with what they fire on: tokens, classes and shaded texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dash import MATCH, Dash, Input, Output, State, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from mosaic_sae.app.card_parts import name_line, share_bars, texts, token_chips
from mosaic_sae.app.components import HIDDEN, go, latent_address, said
from mosaic_sae.app.data import Library
from mosaic_sae.explain.cards import Card, Nearest, card_of, summary
from mosaic_sae.report import names

POINT_ID = "point-at"
"""Store on a point's page: ``{"fingerprint", "run"}``."""
_HEAD, _BODY = "latent-head", "latent-body"


def latent_details(
    latent: int,
    share: float,
    figure: str,
    card: Card | None,
    copy: str = "",
    negative: bool = False,
    is_open: bool = False,
    page: str | None = None,
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
        page: address of its own page, for one that starts unfolded.
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
        return html.Details([html.Summary(head), card_view(card, page)], className="latent", open=is_open)
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
        evidence = library.evidence(found.base, found.point) if found else None
        page = latent_address(evidence["store"], head["latent"], at["run"]) if evidence else None
        return card_view(card_of(evidence, head["latent"]), page)


def card_view(card: Card | None, page: str | None = None) -> Component:
    """The evidence of one latent: tokens, how often it fires in each class, texts.

    Args:
        card: the evidence, if any was collected.
        page: address of the latent's own page.
    """
    if card is None:
        return html.P("No evidence was collected for this latent.", className="muted")
    if not card["examples"]:
        return html.P("It fires nowhere in these texts.", className="muted")
    often = f"In {names.percent(card['density_examples'])} of examples and {names.percent(card['density_tokens'], 2)} of tokens"
    random = [html.H4("Random texts it fires on, from strong to weak"), texts(card["random_examples"], card["max"])]
    return html.Div(
        [
            html.P(go("Everything about this latent", page)) if page else None,
            html.H4("Name"),
            name_line(card.get("name")),
            html.H4("Tokens it fires on most"),
            token_chips(card),
            html.H4("How often"),
            html.P(f"{often}; largest value {card['max']:.3g}.", className="muted small"),
            share_bars("Share of each class's examples in which it fires", card["by_class"]),
            html.H4("Texts it fires on most"),
            texts(card["examples"], card["max"]),
            *(random if card["random_examples"] else []),
            *_nearest(card["nearest"]),
        ],
        className="evidence",
    )


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
