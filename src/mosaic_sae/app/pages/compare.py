"""Points that were ticked in the grid, side by side: scores with intervals, paired differences, and the keys in which they differ."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import go, note, panel, point_link, said, table
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.intervals import Interval, intervals, legend, symmetric
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems, results_of
from mosaic_sae.explain.cards import visible
from mosaic_sae.probes.bootstrap import PairedDifference, paired_difference
from mosaic_sae.report import names, tables

MOST_POINTS = 12
_N_BOOTSTRAP = 1000
_KEYS = [
    "dataset",
    "split",
    "representation",
    "classifier",
    "pooling",
    "binarise",
    "model",
    "layer",
    "site",
    "sae",
    "d_sae",
    "hyperparameters",
]


def layout(library: Library, address: Address) -> Component:
    """Lay out the page; ``points`` in the address names the fingerprints, ``against`` the one that others are held against."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    parts: list[Any] = [html.Header(html.H1("Compare points"), className="page-head"), *problems(run)]
    frame = results_of(library, run)
    if not isinstance(frame, pd.DataFrame):
        return html.Div([*parts, frame])
    asked = list(dict.fromkeys(filter(None, address.query.get("points", "").split(","))))
    rows = frame[frame["fingerprint"].isin(asked)].set_index("fingerprint", drop=False)
    known = [name for name in asked if name in rows.index]
    if missing := len(asked) - len(known):
        parts.append(note(f"{missing} of the {len(asked)} points asked for are not in the table of this run.", "warn"))
    if len(known) > MOST_POINTS:
        parts.append(note(f"The first {MOST_POINTS} of {len(known)} points are shown.", "warn"))
    shown = rows.loc[known[:MOST_POINTS]]
    if shown.empty:
        return html.Div([*parts, _none_picked(frame, run)])
    labels = _labels(shown)
    against = picked(address, "against", list(shown.index))
    chooser = choices(address, "against", "Held against", list(labels.items()), against)
    return html.Div([
        *parts,
        _scores(shown, labels, run, against),
        _differences(library, run, shown, labels, against, chooser),
        _keys(shown, labels, address),
    ])


def _none_picked(frame: pd.DataFrame, run: Run) -> Component:
    """Say how points are picked, and offer what cross-validation chose."""
    overview = go("overview", Address(query={"run": run.id}).link())
    offers = []
    for dataset, split in tables.sections(frame)[:MOST_POINTS]:
        points = ",".join(tables.scores(frame, dataset, split)["fingerprint"][:MOST_POINTS])
        text = ["The CV-chosen points of ", said(dataset, 60), ", ", said(split, 40)]
        offers.append(html.Li(go(text, Address("compare", query={"run": run.id, "points": points}).link())))
    return panel(
        "Nothing is picked yet",
        html.P(["Tick points in the grid of the ", overview, " and choose Compare there. Or start with:"]),
        html.Ul(offers),
    )


def _labels(shown: pd.DataFrame) -> dict[str, str]:
    """A name for each point that says in what it differs from the others."""
    labels = {}
    several = {name for name in ("dataset", "split", "model", "layer") if shown[name].nunique(dropna=False) > 1}
    if shown.groupby(["model", "layer", "representation"], dropna=False)["sae"].nunique().max() > 1:
        several.add("sae")
    for row in tables.records(shown):
        config = names.configuration(row)
        parts = [names.method_name(row["representation"], row["classifier"]), "" if config == "–" else config]
        parts += [names.where(row, several & {"model", "layer"}), str(row["sae"]) if "sae" in several and names.present(row["sae"]) else ""]
        parts += [str(row[name]) for name in ("dataset", "split") if name in several]
        labels[row["fingerprint"]] = visible(", ".join(filter(None, parts)), 120)
    return labels


def _scores(shown: pd.DataFrame, labels: dict[str, str], run: Run, against: str) -> Component:
    lines, roles = [], []
    for row in tables.records(shown):
        fingerprint, role = row["fingerprint"], names.role_of(row["representation"])
        roles.append(role)
        bounds = row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"]
        lines.append(Interval(point_link(fingerprint, run.id, labels[fingerprint]), *bounds, role, highlight=fingerprint == against))
    body = intervals("Test macro F1 with 95 % bootstrap intervals", ("Point", "Macro F1 [95 %]"), lines)
    return panel("Scores", html.Div(body, className="wide-names"), legend(list(dict.fromkeys(roles))))


def _differences(
    library: Library, run: Run, shown: pd.DataFrame, labels: dict[str, str], against: str, chooser: Component | None
) -> Component | None:
    """Each point minus the one it is held against, where both were tested on the same rows."""
    if len(shown) < 2:
        return panel("Paired differences", html.P("One point is picked; tick another to see their difference."))
    ours = library.predictions(run.base, run.base / str(shown.loc[against, "path"]))
    lines, words = [], []
    for row in tables.records(shown[shown["fingerprint"] != against]):
        theirs = library.predictions(run.base, run.base / str(row["path"]))
        found = _paired(theirs, ours)
        name, role = labels[row["fingerprint"]], names.role_of(row["representation"])
        if isinstance(found, str):
            words.append(html.Li([html.Strong(said(name)), f": {found}"]))
        else:
            lines.append(Interval(html.Span(name), found.difference, found.low, found.high, role, is_signed=True))
    lead = html.P(
        f"Macro F1 minus that of {labels[against]}, on the same test rows; paired bootstrap with {_N_BOOTSTRAP:,} draws."
        " A difference whose interval holds 0 is not shown by this test part.",
        className="muted",
    )
    body = intervals("Differences of macro F1", ("Point", "Difference [95 %]"), lines, symmetric(lines)) if lines else None
    return panel("Paired differences", lead, chooser, html.Div(body, className="wide-names"), html.Ul(words) if words else None)


def _paired(theirs: pd.DataFrame | None, ours: pd.DataFrame | None) -> PairedDifference | str:
    if theirs is None or ours is None:
        return "no predictions were kept, so nothing can be paired."
    if not theirs["id"].equals(ours["id"]) or not theirs["label"].equals(ours["label"]):
        return "it was tested on other rows or labels, so there is no paired difference."
    columns = ours["label"].tolist(), theirs["predicted"].tolist(), ours["predicted"].tolist(), ours["unit"].tolist()
    return paired_difference(*columns, n_bootstrap=_N_BOOTSTRAP)


def _keys(shown: pd.DataFrame, labels: dict[str, str], address: Address) -> Component:
    differing = [name for name in _KEYS if shown[name].nunique(dropna=False) > 1]
    rows = []
    for row in tables.records(shown):
        rest = [name for name in shown.index if name != row["fingerprint"]]
        remove = go("Remove", address.link(points=",".join(rest) or None, against=None), stays=True)
        numbers = [names.number(row["cv_macro_f1"]), names.number(row["accuracy"]), names.whole(row["n_test"])]
        rows.append([said(labels[row["fingerprint"]], 120), *numbers, *(_cell(row[name]) for name in differing), html.Td(remove)])
    head = [
        ("Point", False),
        ("CV macro F1", True),
        ("Accuracy", True),
        ("Test n", True),
        *((name, False) for name in differing),
        ("", False),
    ]
    return panel("Keys in which they differ", table("Points side by side", head, rows))


def _cell(value: Any) -> Component:
    if not names.present(value):
        return html.Span("–")
    return said(f"{value:g}" if isinstance(value, float) else value, 80)


PAGE = Page("compare", "Compare", layout)
