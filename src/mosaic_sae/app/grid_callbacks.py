"""What the grid of points does: it comes after its page, keeps its state in the address, exports, and offers points for comparison."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, html
from dash.development.base_component import Component

from mosaic_sae.app.data import Library
from mosaic_sae.app.grid import GRID_ID, points_grid

ASKED_ID, SLOT_ID, COUNT_ID, COMPARE_ID = "grid-asked", "grid-slot", "grid-count", "grid-compare"
FILTER_ID, SEARCH_ID, EXPORT_ID = "only-chosen", "grid-search", "export-csv"


def register(app: Dash, library: Library) -> None:
    """Add the callbacks. Sorting, filtering and export happen in the browser (``assets/grid.js``)."""

    @app.callback(Output(SLOT_ID, "children"), Input(ASKED_ID, "data"))
    def grid(asked: dict[str, Any]) -> Component:
        run = library.run(asked["run"])
        frame = library.results(run) if run else None
        if run is None or frame is None:
            return html.P("The table of this run is gone; reload the page.")
        return points_grid(frame, run.id, asked["query"])

    _in_browser(app, "search", Output(GRID_ID, "dashGridOptions"), Input(SEARCH_ID, "value"), State(GRID_ID, "dashGridOptions"))
    _in_browser(app, "chosenOnly", Output(GRID_ID, "filterModel"), Input(FILTER_ID, "n_clicks"), State(GRID_ID, "filterModel"))
    app.clientside_callback(ClientsideFunction("mosaic", "chosenLabel"), Output(FILTER_ID, "children"), Input(GRID_ID, "filterModel"))
    app.clientside_callback(
        ClientsideFunction("mosaic", "count"),
        Output(COUNT_ID, "children"),
        Input(GRID_ID, "virtualRowData"),
        State(GRID_ID, "rowData"),
    )
    _in_browser(
        app,
        "exportCsv",
        Output(EXPORT_ID, "title"),
        Input(EXPORT_ID, "n_clicks"),
        State(GRID_ID, "virtualRowData"),
        State(GRID_ID, "columnDefs"),
        State(ASKED_ID, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("mosaic", "remember"),
        Output(COMPARE_ID, "children"),
        Input(GRID_ID, "filterModel"),
        Input(GRID_ID, "columnState"),
        Input(GRID_ID, "dashGridOptions"),
        Input(GRID_ID, "selectedRows"),
        State(ASKED_ID, "data"),
    )


def _in_browser(app: Dash, name: str, *parts: Any) -> None:
    app.clientside_callback(ClientsideFunction("mosaic", name), *parts, prevent_initial_call=True)
