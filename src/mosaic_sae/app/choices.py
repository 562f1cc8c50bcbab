"""Choices on a page, as links: each leads to the address of the same page with that choice made."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import go, labelled, said
from mosaic_sae.app.page import Address

_MOST_CHIPS = 8
_MOST_LETTERS = 160


def choices(address: Address, key: str, label: str, options: Sequence[tuple[str, str]], shown: str) -> Component | None:
    """Offer the options of one choice: chips where they are few and short, else a menu; nothing where there is no choice.

    Args:
        address: where the reader is.
        key: name of the choice in the query string.
        label: its name in words.
        options: (value in the query string, text).
        shown: value of the option that is shown.
    """
    if len(options) < 2:
        return None
    short = len(options) <= _MOST_CHIPS and sum(len(text) for _, text in options) <= _MOST_LETTERS
    links = [
        go(said(text, 80), address.link(**{key: value}), "true" if value == shown else None, stays=True, class_name="chip")
        for value, text in options
    ]
    name = html.Span(label, className="muted small")
    if short:
        return html.Div([name, html.Nav(links, className="chips", **labelled(label))], className="choice")
    text = next((text for value, text in options if value == shown), "–")
    menu = html.Details([html.Summary(said(text, 60)), html.Ul([html.Li(link) for link in links])], className="menu")
    return html.Div([name, menu], className="choice")


def picked(address: Address, key: str, values: Sequence[str], default: str | None = None) -> str:
    """Return the value of a choice in an address, if it is one of ``values``; else the default, or the first."""
    asked = address.query.get(key)
    if asked in values:
        return str(asked)
    return default if default in values else values[0]  # type: ignore[return-value]
