"""What stands around every page: the bar with the pages and the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.components import HIDDEN, go, labelled, said, status_pill
from mosaic_sae.app.data import Run
from mosaic_sae.app.page import Address, Page
from mosaic_sae.report import names

BAR_ID, PAGE_ID, TITLED_ID, URL_ID = "bar", "page", "titled", "url"
_MOST_RUNS = 40


def shell() -> Component:
    """Lay out the frame; bar and page are filled for each address."""
    return html.Div([
        dcc.Location(id=URL_ID, refresh="callback-nav"),
        html.A("Skip to content", href=f"#{PAGE_ID}", className="skip"),
        html.Header([_brand()], id=BAR_ID, className="topbar"),
        html.Main(html.P("Loading …", className="muted"), id=PAGE_ID, tabIndex=-1),
        html.Div(id=TITLED_ID, hidden=True),
    ])


def bar(pages: Sequence[Page], address: Address, runs: Sequence[Run], run: Run | None) -> list[Component]:
    """Fill the bar for an address.

    Args:
        pages: all pages.
        address: the one that is shown.
        runs: all runs, the latest first.
        run: the one that is shown.
    """
    keep = {"run": address.run_id} if address.run_id is not None else {}
    links = [
        html.Li(go(page.title, Address(page.name, query=keep).link(), current="page" if page.name == address.page else None))
        for page in pages
        if not page.n_parts
    ]
    parts = [_brand(), html.Nav(html.Ul(links), className="pages", **labelled("Pages"))]
    return parts + ([_run_chooser(pages, address, runs, run)] if runs else [])


def _brand() -> Component:
    return go([html.Span(className="logo", **HIDDEN), "MOSAIC"], "/", class_name="brand")


def _run_chooser(pages: Sequence[Page], address: Address, runs: Sequence[Run], run: Run | None) -> Component:
    """A menu of links to the same page of another run; a single point belongs to its run, so from there they lead to the first page."""
    stays = any(page.name == address.page and not page.n_parts for page in pages)
    items: list[Any] = []
    for other in runs[:_MOST_RUNS]:
        text = [
            html.Span([said(other.name, 60), " ", status_pill(other.status)]),
            html.Span(names.moment(other.info.get("started")), className="muted small"),
        ]
        href = Address(address.page if stays else "", query={"run": other.id}).link()
        items.append(html.Li(go(text, href, current="true" if run is not None and other.id == run.id else None)))
    if len(runs) > _MOST_RUNS:
        items.append(html.Li(go(f"All {len(runs):,} runs", "/")))
    shown = said(run.name, 40) if run is not None else "none"
    return html.Details(
        [html.Summary([html.Span("Run ", className="muted"), html.Strong(shown)]), html.Ul(items)], className="menu run-menu"
    )
