"""Type a text and see how a point decides on it, and why. Only with ``mosaic app --live``."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import empty_state, note, panel, point_link
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.explanation_view import explanation_panels
from mosaic_sae.app.live import LivePoints
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems, results_of
from mosaic_sae.errors import MosaicError
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables

SLOT_ID, LOOK_ID, ASKED_ID, _FIELD = "live-slot", "live-look", "live-asked", "live-text"
MOST_CHARACTERS = 10_000


def live_page(live: LivePoints) -> Page:
    """Make the page; ``point`` in the address is who decides, ``text`` on what."""

    def layout(library: Library, address: Address) -> Component:
        run = asked_run(library, address)
        if not isinstance(run, Run):
            return run
        parts: list[Any] = [html.Header(html.H1("Live"), className="page-head"), *problems(run)]
        frame = results_of(library, run)
        if not isinstance(frame, pd.DataFrame):
            return html.Div([*parts, frame])
        offered = _offered(frame)
        if not offered:
            return html.Div([*parts, panel("No point can decide", html.P("This run has no point on the latents of an SAE."))])
        point = picked(address, "point", list(offered))
        shown, is_loading = _slot(live, library, run, point, address)
        chooser = choices(_without_switches(address), "point", "Point", list(offered.items()), point)
        return html.Div([
            *parts,
            panel("Who decides", html.P([point_link(point, run.id, offered[point]), "."]), html.Div(chooser, className="choices")),
            _field(address),
            html.Div(shown, id=SLOT_ID),
            dcc.Interval(id=LOOK_ID, interval=1000, disabled=not is_loading),
            dcc.Store(id=ASKED_ID, data={"run": run.id, "point": point, "query": dict(address.query)}),
        ])

    def register(app: Dash, library: Library) -> None:
        @app.callback(
            Output(SLOT_ID, "children"),
            Output(LOOK_ID, "disabled"),
            Input(LOOK_ID, "n_intervals"),
            State(ASKED_ID, "data"),
            prevent_initial_call=True,
        )
        def look(n_intervals: int, asked: dict[str, Any]) -> tuple[list[Component | None], bool]:  # noqa: ARG001
            run = library.run(asked["run"])
            if run is None:
                return [note("This run is gone; reload the page.", "bad")], True
            shown, is_loading = _slot(live, library, run, asked["point"], Address("live", query=asked["query"]))
            return shown, not is_loading

    return Page("live", "Live", layout, register)


def _offered(frame: pd.DataFrame) -> dict[str, str]:
    """SAE points that cross-validation chose, logistic ones first."""
    chosen = frame[frame["chosen"] & (frame["representation"] == "sae")]
    rows = sorted(tables.records(chosen), key=lambda row: (row["classifier"] != "logistic", row["dataset"], row["split"]))
    return {
        row["fingerprint"]: visible(", ".join([row["dataset"], row["split"], names.method_name("sae", row["classifier"])]), 120)
        for row in rows
    }


def _without_switches(address: Address) -> Address:
    kept = {name: value for name, value in address.query.items() if name not in {"off", "latent", "about"}}
    return Address(address.page, address.rest, kept)


def _field(address: Address) -> Component:
    text = address.query.get("text", "")
    field = dcc.Textarea(id=_FIELD, value=text, maxLength=MOST_CHARACTERS, dir="auto", className="live-text")
    label = html.Label("Text", htmlFor=_FIELD)
    button = html.Button("Decide", type="button", className="button", **{"data-ask": ""})  # type: ignore[arg-type]
    hint = html.Span("or Ctrl+Enter", className="muted small")
    box = html.Div([label, field, html.Div([button, " ", hint])], **{"data-search": "text", "data-clears": "off,latent,about"})  # type: ignore[arg-type]
    return panel("What is decided on", box)


def _slot(live: LivePoints, library: Library, run: Run, point: str, address: Address) -> tuple[list[Component | None], bool]:
    """What is shown below the field, and whether the model is still being loaded."""
    found = library.find_point(point, run.id)
    if found is None:
        return [empty_state("No such point", "Its folder may have been moved.")], False
    state = live.state(run.folder, found.folder)
    if state == "loading":
        words = html.P("Loading the model; this takes a while once. The page goes on by itself.", role="status")
        return [panel("Loading", html.Progress(**{"aria-label": "Loading the model"}), words)], True  # type: ignore[arg-type]
    if state != "ready":
        return [panel("The model cannot be loaded", note(visible(state, 2000), "bad"))], False
    text = address.query.get("text", "")
    if not text.strip():
        return [note("The model is loaded. Type a text.")], False
    try:
        explanation = live.explain(found.folder, text[:MOST_CHARACTERS], address.query.get("about"))
    except MosaicError as error:
        return [panel("No decision", note(visible(str(error), 2000), "bad"))], False
    store = found.point["provenance"]["latent_store"]
    return explanation_panels(explanation, address, store, run.id, library.labels(run, store), None), False
