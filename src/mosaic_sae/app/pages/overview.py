"""The first page: the outcome of each dataset and split, and the grid of all points."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.app import grid_callbacks as ids
from mosaic_sae.app.components import failed_points, go, note, panel, pill, said, status_pill, table
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.outcomes_view import outcomes
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems, results_of
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import facts, names

_MOST_RUNS = 200


def layout(library: Library, address: Address) -> Component:
    """Lay out the page for one run."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    parts: list[Any] = [_head(run), *problems(run)]
    frame = results_of(library, run)
    findings = facts.fit_findings(run.info)
    if findings:
        link = go("How well the SAE fits", Address("run", query={"run": run.id}).link())
        more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
        parts.append(note([visible(findings[0], 600), more, ". ", link], "warn"))
    parts += [outcomes(frame, run), _points(frame, run, address)] if isinstance(frame, pd.DataFrame) else [frame]
    if run.failed:
        parts.append(failed_points(run.failed))
    runs = library.runs()
    if len(runs) > 1:
        parts.append(_runs(runs, run))
    return html.Div(parts)


def _head(run: Run) -> Component:
    failed = len(run.failed)
    words = f"{facts.n_points(run.info):,} points" + (f", {failed} failed" if failed else "")
    when = (
        f"finished {names.moment(run.info['finished'])}" if run.info.get("finished") else f"started {names.moment(run.info.get('started'))}"
    )
    links: list[Any] = [go("Data, fit and provenance", Address("run", query={"run": run.id}).link())]
    if (run.folder / "report.html").is_file():
        links += [" · ", html.A("Open the report", href=f"/runs/{run.id}/report.html", target="_blank")]
    return html.Header(
        [
            html.H1([said(run.name), " ", status_pill(run.status)]),
            html.P([words, ", ", when, ". ", *links], className="muted"),
        ],
        className="page-head",
    )


def _points(frame: pd.DataFrame, run: Run, address: Address) -> Component:
    search = dcc.Input(id=ids.SEARCH_ID, type="search", placeholder="any column", value=address.query.get("q", ""))
    tools = html.Div(
        [
            html.Div([html.Label("Search", htmlFor=ids.SEARCH_ID), search], className="tool"),
            html.Button("Show CV-chosen only", id=ids.FILTER_ID, type="button", className="button"),
            html.Button("Export CSV", id=ids.EXPORT_ID, type="button", className="button"),
            html.Span(go("Compare", Address("compare", query={"run": run.id}).link()), id=ids.COMPARE_ID, className="compare"),
            html.Span(f"{len(frame):,} points", id=ids.COUNT_ID, className="muted small", role="status"),
        ],
        className="tools",
    )
    lead = html.P(
        "★ marks the best cross-validated score of its dataset, split, representation and classifier. Open a point for its evidence;"
        " tick points to compare them.",
        className="muted",
    )
    slot = html.Div(html.P("Loading the points …", className="muted"), id=ids.SLOT_ID, className="grid-slot")
    asked = dcc.Store(id=ids.ASKED_ID, data={"run": run.id, "query": dict(address.query)})
    return panel("All points", lead, tools, asked, slot)


def _runs(runs: list[Run], current: Run) -> Component:
    rows = []
    for run in runs[:_MOST_RUNS]:
        count = f"{facts.n_points(run.info):,}"
        here = [pill("shown above", "accent")] if run.id == current.id else []
        rows.append([
            go(said(run.name, 80), Address(query={"run": run.id}).link()),
            html.Td([status_pill(run.status), " ", *here]),
            names.moment(run.info.get("started")),
            count,
            f"{len(run.failed):,}",
        ])
    head = [("Run", False), ("Status", False), ("Started", False), ("Points", True), ("Failed", True)]
    caption = "All runs, the latest first" if len(runs) <= _MOST_RUNS else f"The latest {_MOST_RUNS} of {len(runs):,} runs"
    return panel(f"Runs ({len(runs)})", table(caption, head, rows), id="runs")


PAGE = Page("", "Overview", layout, ids.register)
