"""A field to search in, and pages of a long list; both are in the address."""

from __future__ import annotations

from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.components import go, labelled
from mosaic_sae.app.page import Address

_FIELD = "search-field"


def search_box(address: Address, key: str, label: str, hint: str) -> Component:
    """A field whose text goes into the address on Enter (``assets/navigation.js``).

    Args:
        address: of the page.
        key: name of the text in the query string.
        label: what it searches.
        hint: what can be typed.
    """
    # Its number of characters is limited as addresses are.
    field = dcc.Input(id=_FIELD, type="search", placeholder=hint, value=address.query.get(key, ""), maxLength=200)
    return html.Div([html.Label(label, htmlFor=_FIELD), field], className="tool", **{"data-search": key})  # type: ignore[arg-type]


def page_number(address: Address, n: int, size: int) -> int:
    """Which page of ``n`` items in pages of ``size`` an address asks for, from 1; the nearest there is."""
    asked = address.query.get("page", "")
    last = max(1, -(-n // size))
    return min(max(int(asked), 1), last) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 1


def page_links(address: Address, n: int, size: int) -> Component | None:
    """Links to the pages beside the one that is shown, the first and the last; None for a single one."""
    if n <= size:
        return None
    last, at = -(-n // size), page_number(address, n, size)
    links = []
    for number in sorted({1, at - 1, at, at + 1, last} & set(range(1, last + 1))):
        current = "page" if number == at else None
        links.append(go(f"{number:,}", address.link(page=number), current, class_name="chip", label=f"Page {number:,}"))
    return html.Nav([html.Span("Page", className="muted small"), *links], className="chips paging", **labelled("Pages of the list"))
