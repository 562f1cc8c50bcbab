"""One run as a job: how far it is, what it was asked to do, what it read, whether the SAE fits, and its log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from mosaic_sae.app.components import facts as fact_list
from mosaic_sae.app.components import failed_points, go, labelled, note, panel, said, status_pill, text_table, visible_lines
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems
from mosaic_sae.report import facts, names

_LIVE_ID, _CLOCK_ID, _SHOWN_ID = "run-live", "run-clock", "run-shown"
_EVERY_MS = 3000
_LOG_LINES, _LOG_BYTES, _CONFIG_BYTES = 200, 60_000, 200_000
_PROGRESS = re.compile(r" INFO (?P<words>(?P<what>[^:]+): (?P<done>[\d,]+)/(?P<total>[\d,]+) [^\n]*)")
_STATES = {
    "done": "It ended, and all its files are written.",
    "running": "It is going on; this page looks again every three seconds.",
    "failed": "It stopped with an error. Start it again when the cause is mended: finished points are kept.",
    "interrupted": "It was stopped by hand. Start it again: finished points are kept.",
    "killed": "Its record says that it runs, but its process is gone: it was killed. Start it again: finished points are kept.",
    "unreadable": "Its run.json cannot be read.",
}


def layout(library: Library, address: Address) -> Component:
    """Lay out the page of one run."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    return html.Div([
        dcc.Store(id=_SHOWN_ID, data=run.id),
        dcc.Interval(id=_CLOCK_ID, interval=_EVERY_MS, disabled=run.status != "running"),
        html.Div(_live(library, run), id=_LIVE_ID),
        _fit(run),
        _data(run),
        _config(library, run),
    ])


def register(app: Dash, library: Library) -> None:
    """Look again at a run that is going on."""

    @app.callback(
        Output(_LIVE_ID, "children"),
        Output(_CLOCK_ID, "disabled"),
        Input(_CLOCK_ID, "n_intervals"),
        State(_SHOWN_ID, "data"),
        prevent_initial_call=True,
    )
    def again(n_intervals: int, run_id: str) -> tuple[list[Component], bool]:
        run = library.run(run_id) if n_intervals else None
        if run is None:
            raise PreventUpdate
        return _live(library, run), run.status != "running"


def _live(library: Library, run: Run) -> list[Component]:
    """What changes while a run goes on."""
    log = library.text(run, "log.txt", _LOG_BYTES)
    head = html.Header(
        [html.H1([said(run.name), " ", status_pill(run.status)]), html.P(_STATES.get(run.status, ""), className="muted")],
        className="page-head",
    )
    pairs = [*facts.provenance_pairs(run.info)[1:], *_counts(run)]
    parts: list[Any] = [head, *problems(run)]
    if run.status == "running":
        parts.append(_progress(log))
    parts.append(panel("What happened", fact_list((name, html.Bdi(value)) for name, value in pairs), _links(run)))
    if run.failed:
        parts.append(failed_points(run.failed))
    parts.append(_log(log))
    return parts


def _counts(run: Run) -> list[tuple[str, str]]:
    points, here = run.info.get("points") or {}, Path.cwd()
    return [
        (
            "Points",
            f"{names.whole(points.get('done'))} made, {names.whole(points.get('skipped'))} found from before, {len(run.failed):,} failed",
        ),
        ("Folder", str(run.folder.relative_to(here) if run.folder.is_relative_to(here) else run.folder)),
    ]


def _links(run: Run) -> Component:
    links: list[Any] = [go("All points", Address(query={"run": run.id}).link())]
    if (run.folder / "report.html").is_file():
        links += [" · ", html.A("Open the report", href=f"/runs/{run.id}/report.html", target="_blank")]
    return html.P(links)


def _progress(log: str | None) -> Component:
    """The last count in the log as a bar."""
    found = list(_PROGRESS.finditer(log or ""))
    if not found:
        return panel("Progress", html.P("It has not counted anything yet: models and data are being made ready."))
    last = found[-1]
    done, total = (int(last[name].replace(",", "")) for name in ("done", "total"))
    bar = html.Progress(value=str(done), max=str(max(total, 1)), **labelled(last["what"]))
    return panel("Progress", html.P(said(last["words"], 300)), bar)


def _log(log: str | None) -> Component:
    if not log:
        return panel("Log", html.P("This run has no log.txt."))
    lines = log.rstrip("\n").split("\n")
    shown = lines[-_LOG_LINES:]
    text = html.Pre(html.Code(visible_lines("\n".join(shown))), tabIndex=0, className="log", role="group", **labelled("Log"))
    return panel("Log", html.P(f"Its last {len(shown):,} lines.", className="muted"), text)


def _fit(run: Run) -> Component:
    rows = facts.fit_rows(run.info)
    if not rows:
        return panel("How well the SAE fits", html.P("Nothing was measured yet: the check comes with the extraction."))
    findings = [note(html.Bdi(text), "warn") for text in facts.fit_findings(run.info)]
    words = [] if findings else [html.P("The check found nothing wrong.")]
    lead = html.P(facts.FIT_NOTE, className="muted")
    return panel("How well the SAE fits", *findings, *words, lead, text_table("SAE fit", facts.FIT_HEAD, rows), id="fit")


def _data(run: Run) -> Component | None:
    rows = facts.dataset_rows(run.info)
    return panel("Data", text_table("Rows of each dataset after loading", facts.DATA_HEAD, rows)) if rows else None


def _config(library: Library, run: Run) -> Component:
    text = library.text(run, "config.yaml", _CONFIG_BYTES)
    if text is None:
        return panel("Config", html.P("This run has no config.yaml."))
    lead = html.P(
        ["As it was run. ", html.Code("mosaic validate"), " and ", html.Code("mosaic plan"), " read it as it is."], className="muted"
    )
    return panel("Config", lead, html.Pre(html.Code(visible_lines(text)), tabIndex=0, role="group", **labelled("Config")))


PAGE = Page("run", "Run", layout, register)
