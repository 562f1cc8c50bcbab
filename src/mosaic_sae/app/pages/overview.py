"""The first page: runs, the outcome of each dataset and split, and the grid of all points."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pandas as pd
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.components import (
    empty_state,
    facts,
    failed_points,
    note,
    panel,
    pill,
    said,
    status_pill,
    table,
    text_table,
)
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.grid import CHOSEN, GRID_ID, points_grid
from mosaic_sae.app.outcomes_view import outcomes
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import facts as run_facts
from mosaic_sae.report import names

RUN_ID, SLOT_ID, COUNT_ID = "grid-run", "grid-slot", "grid-count"
FILTER_ID, SEARCH_ID, EXPORT_ID = "only-chosen", "grid-search", "export-csv"


def layout(library: Library, run_id: str | None) -> Component:
    """Lay out the page for one run; the latest for None."""
    runs = library.runs()
    if not runs:
        return _no_runs(library)
    run = library.run(run_id)
    if run is None:
        known = html.Ul([html.Li(_run_link(other)) for other in runs])
        return html.Div([empty_state("No such run", f"There is no run called “{visible(run_id or '', 80)}” here. These exist:"), known])
    parts: list[Any] = [_head(run)]
    if run.problem:
        parts.append(note(f"run.json of this run cannot be read: {visible(run.problem)}", "bad"))
    if run.info.get("error"):
        parts.append(note(f"The run stopped with an error: {visible(str(run.info['error']), 2000)}", "bad"))
    try:
        frame = library.results(run)
    except StoreError as error:
        frame = None
        parts.append(note(visible(str(error)), "bad"))
    else:
        if frame is None:
            parts.append(_no_results(run))
    if frame is not None and len(frame):
        parts += [outcomes(frame, run), _points(frame, run)]
    elif frame is not None:
        parts.append(panel("No points", html.P("The table of this run is empty.")))
    if run.failed:
        parts.append(failed_points(run.failed))
    parts += [_fit(run), _about(run)]
    if len(runs) > 1:
        parts.append(_runs(runs, run))
    return html.Div(parts)


def register(app: Dash, library: Library) -> None:
    """Add the grid's callbacks: it follows when the page stands, with all points; sorting and filtering happen in the browser."""

    @app.callback(Output(SLOT_ID, "children"), Input(RUN_ID, "data"))
    def grid(run_id: str) -> Component:
        run = library.run(run_id)
        frame = library.results(run) if run else None
        return html.P("The table of this run is gone; reload the page.") if run is None or frame is None else points_grid(frame, run.id)

    app.clientside_callback(
        "function(text, options) { return Object.assign({}, options, {quickFilterText: text || ''}); }",
        Output(GRID_ID, "dashGridOptions"),
        Input(SEARCH_ID, "value"),
        State(GRID_ID, "dashGridOptions"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        f"""function(clicks, model) {{
            const only = clicks % 2 === 1;
            const next = Object.assign({{}}, model);
            delete next.chosen;
            if (only) {{ next.chosen = {{filterType: 'text', type: 'equals', filter: '{CHOSEN}'}}; }}
            return [next, only ? 'Show all points' : 'Show CV-chosen only'];
        }}""",
        Output(GRID_ID, "filterModel"),
        Output(FILTER_ID, "children"),
        Input(FILTER_ID, "n_clicks"),
        State(GRID_ID, "filterModel"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "function(clicks) { return Boolean(clicks); }",
        Output(GRID_ID, "exportDataAsCsv"),
        Input(EXPORT_ID, "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        """function(shown, all) {
            if (!shown || !all) { return window.dash_clientside.no_update; }
            return shown.length.toLocaleString('en') + ' of ' + all.length.toLocaleString('en') + ' points';
        }""",
        Output(COUNT_ID, "children"),
        Input(GRID_ID, "virtualRowData"),
        State(GRID_ID, "rowData"),
    )


def _no_runs(library: Library) -> Component:
    where = ", ".join(str(folder) for folder in library.folders)
    missing = [str(folder) for folder in library.folders if not folder.is_dir()]
    text = f"Looked in {where}." if not missing else f"Looked in {where}; {', '.join(missing)} does not exist."
    return html.Section(
        [
            html.H1("No runs yet"),
            html.P(visible(text)),
            html.P([
                "Start one with ",
                html.Code("mosaic run conf.yaml"),
                " or ",
                html.Code("python run_experiments.py"),
                ", then reload this page.",
            ]),
        ],
        className="panel empty",
    )


def _head(run: Run) -> Component:
    failed = len(run.failed)
    words = f"{run_facts.n_points(run.info):,} points" + (f", {failed} failed" if failed else "")
    when = (
        f"finished {names.moment(run.info['finished'])}" if run.info.get("finished") else f"started {names.moment(run.info.get('started'))}"
    )
    links = (
        [html.A("Open the report", href=f"/runs/{run.id}/report.html", target="_blank")] if (run.folder / "report.html").is_file() else []
    )
    return html.Header(
        [
            html.H1([said(run.name), " ", status_pill(run.status)]),
            html.P([words, ", ", when, ". ", *links], className="muted"),
        ],
        className="page-head",
    )


def _no_results(run: Run) -> Component:
    if run.status == "running":
        text = f"This run is still going: {run_facts.n_points(run.info):,} points done, {len(run.failed)} failed so far."
        return panel("Still running", html.P(text), html.P("The table comes when it ends; reload the page then."))
    if run.status in {"interrupted", "killed"}:
        return panel("Interrupted", html.P("This run was stopped before its table was written. Start it again: finished points are kept."))
    return panel("No results", html.P("This run has no results.parquet: no point was finished."))


def _points(frame: pd.DataFrame, run: Run) -> Component:
    tools = html.Div(
        [
            html.Div(
                [html.Label("Search", htmlFor=SEARCH_ID), dcc.Input(id=SEARCH_ID, type="search", placeholder="any column")],
                className="tool",
            ),
            html.Button("Show CV-chosen only", id=FILTER_ID, type="button", className="button"),
            html.Button("Export CSV", id=EXPORT_ID, type="button", className="button"),
            html.Span(f"{len(frame):,} points", id=COUNT_ID, className="muted small", role="status"),
        ],
        className="tools",
    )
    lead = html.P(
        "★ marks the best cross-validated score of its dataset, split, representation and classifier. Open a point for its evidence.",
        className="muted",
    )
    slot = html.Div(html.P("Loading the points …", className="muted"), id=SLOT_ID, className="grid-slot")
    return panel("All points", lead, tools, dcc.Store(id=RUN_ID, data=run.id), slot)


def _fit(run: Run) -> Component | None:
    rows = run_facts.fit_rows(run.info)
    if not rows:
        return None
    found = [html.Ul([html.Li(html.Bdi(text)) for text in findings])] if (findings := run_facts.fit_findings(run.info)) else []
    note = html.P(run_facts.FIT_NOTE, className="muted")
    return panel("How well the SAE fits", note, text_table("SAE fit", run_facts.FIT_HEAD, rows), *found)


def _about(run: Run) -> Component:
    rows = run_facts.dataset_rows(run.info)
    data = [text_table("Rows of each dataset after loading", run_facts.DATA_HEAD, rows)] if rows else []
    return panel("Data and provenance", *data, facts((name, html.Bdi(value)) for name, value in run_facts.provenance_pairs(run.info)))


def _runs(runs: list[Run], current: Run) -> Component:
    rows = []
    for run in runs:
        count = f"{run_facts.n_points(run.info):,}"
        here = [pill("shown above", "accent")] if run.id == current.id else []
        rows.append([
            _run_link(run),
            html.Td([status_pill(run.status), " ", *here]),
            names.moment(run.info.get("started")),
            count,
            f"{len(run.failed):,}",
        ])
    head = [("Run", False), ("Status", False), ("Started", False), ("Points", True), ("Failed", True)]
    return panel(f"Runs ({len(runs)})", table("All runs, the latest first", head, rows), id="runs")


def _run_link(run: Run) -> Component:
    return dcc.Link(said(run.name, 80), href=f"/?{urlencode({'run': run.id})}")
