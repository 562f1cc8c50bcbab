"""Runs that cannot be shown, or not yet, in words."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import empty_state, go, note, panel, said
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.page import Address
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import facts

_MOST_NAMED = 40


def asked_run(library: Library, address: Address) -> Run | Component:
    """Return the run of an address, or a page that says why there is none."""
    runs = library.runs()
    if not runs:
        return _no_runs(library)
    run = library.run(address.run_id)
    if run is None:
        known = [html.Li(go(said(other.name, 80), Address(address.page, query={"run": other.id}).link())) for other in runs[:_MOST_NAMED]]
        text = f"There is no run called “{visible(address.run_id or '', 80)}” here. These exist:"
        return html.Div([empty_state("No such run", text), html.Ul(known)])
    return run


def results_of(library: Library, run: Run) -> pd.DataFrame | Component:
    """Return the table of a run's points, or a panel that says why there is none."""
    try:
        frame = library.results(run)
    except StoreError as error:
        return note(visible(str(error)), "bad")
    if frame is None:
        return _no_results(run)
    return frame if len(frame) else panel("No points", html.P("The table of this run is empty."))


def problems(run: Run) -> list[Component]:
    """Say what went wrong with the run as a whole."""
    found = []
    if run.problem:
        found.append(note(f"run.json of this run cannot be read: {visible(run.problem)}", "bad"))
    if run.info.get("error"):
        found.append(note(f"The run stopped with an error: {visible(str(run.info['error']), 2000)}", "bad"))
    return found


def _no_runs(library: Library) -> Component:
    where = ", ".join(str(folder) for folder in library.folders)
    missing = [str(folder) for folder in library.folders if not folder.is_dir()]
    text = f"Looked in {where}." if not missing else f"Looked in {where}; {', '.join(missing)} does not exist."
    start: list[Any] = [
        "Start one with ",
        html.Code("mosaic run conf.yaml"),
        " or ",
        html.Code("python run_experiments.py"),
        ", then reload this page.",
    ]
    return html.Section([html.H1("No runs yet"), html.P(visible(text)), html.P(start)], className="panel empty")


def _no_results(run: Run) -> Component:
    if run.status == "running":
        text = f"This run is still going: {facts.n_points(run.info):,} points done, {len(run.failed)} failed so far."
        progress = go("See its progress", Address("run", query={"run": run.id}).link())
        return panel("Still running", html.P(text), html.P(["The table comes when it ends; reload the page then. ", progress, "."]))
    if run.status in {"interrupted", "killed"}:
        return panel("Interrupted", html.P("This run was stopped before its table was written. Start it again: finished points are kept."))
    return panel("No results", html.P("This run has no results.parquet: no point was finished."))
