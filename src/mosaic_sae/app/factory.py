"""Make the Dash app: routes, and headers that keep every request on this machine."""

from __future__ import annotations

from pathlib import Path

import flask
from dash import Dash, Input, Output, html
from dash.development.base_component import Component

from mosaic_sae.app import evidence_view
from mosaic_sae.app.components import empty_state, go
from mosaic_sae.app.data import Library
from mosaic_sae.app.page import Address
from mosaic_sae.app.pages import PAGES
from mosaic_sae.app.shell import BAR_ID, PAGE_ID, TITLED_ID, URL_ID, bar, shell
from mosaic_sae.explain.cards import VIEW_CSS, visible
from mosaic_sae.report.write import TEMPLATES

ASSETS = Path(__file__).parent / "assets"
_STYLES = (TEMPLATES / "base.css", VIEW_CSS)
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}<style>BASE_CSS</style>{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""
# The browser itself refuses whatever would leave this machine, also if a page of the data asked for it.
_POLICY = "; ".join([
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "base-uri 'self'",
])


def create_app(folders: list[Path]) -> Dash:
    """Make the app over finished and running runs.

    Args:
        folders: folders of results (``base_classify_dir``), or single run folders; only what lies in them is served.

    Returns:
        A Dash app; ``app.run(host="127.0.0.1", port=8050)`` serves it, ``app.server`` is its WSGI application.
    """
    library = Library(folders)
    app = Dash(
        "mosaic_sae",
        title="MOSAIC",
        update_title="",
        assets_folder=str(ASSETS),
        index_string=_INDEX.replace("BASE_CSS", "".join(path.read_text(encoding="utf-8") for path in _STYLES)),
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
        ],
        suppress_callback_exceptions=True,
        serve_locally=True,
    )
    app.layout = shell()

    @app.callback(Output(PAGE_ID, "children"), Output(BAR_ID, "children"), Input(URL_ID, "pathname"), Input(URL_ID, "search"))
    def show(pathname: str | None, search: str | None) -> tuple[Component, list[Component]]:
        address = Address.read(pathname or "/", search or "")
        return route(library, pathname or "/", search or ""), bar(PAGES, address, library.runs(), library.run(address.run_id))

    app.clientside_callback(
        """function(children) {
            window.setTimeout(function () {
                const head = document.querySelector('#page h1')?.cloneNode(true);
                head?.querySelectorAll('.pill').forEach(function (part) { part.remove(); });
                document.title = head ? head.textContent.trim() + ' · MOSAIC' : 'MOSAIC';
            }, 50);
            return '';
        }""",
        Output(TITLED_ID, "children"),
        Input(PAGE_ID, "children"),
    )
    for page in PAGES:
        if page.register is not None:
            page.register(app, library)
    evidence_view.register(app, library)
    _serve_reports(app.server, library)
    app.server.after_request(_with_policy)
    return app


def route(library: Library, pathname: str, search: str) -> Component:
    """Return the page of an address."""
    address = Address.read(pathname, search)
    for page in PAGES:
        if page.name == address.page and page.n_parts == len(address.rest):
            return page.layout(library, address)
    return html.Div([
        empty_state("No such page", f"There is nothing at “{visible(pathname, 120)}”."),
        html.P(go("All points", "/")),
    ])


def _serve_reports(server: flask.Flask, library: Library) -> None:
    @server.get("/runs/<run_id>/report.html")
    def report(run_id: str) -> flask.Response:
        run = library.run(run_id)
        path = run.folder / "report.html" if run else None
        if path is None or not path.is_file():
            flask.abort(404)
        return flask.send_file(path, mimetype="text/html")


def _with_policy(response: flask.Response) -> flask.Response:
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
