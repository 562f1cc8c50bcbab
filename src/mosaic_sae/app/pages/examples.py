"""The test examples of a point: filtered, sorted by confidence, and each one explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import empty_state, go, note, panel, point_link, said, table
from mosaic_sae.app.data import FoundPoint, Library, Run
from mosaic_sae.app.explanation_view import explanation_panels
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems, results_of
from mosaic_sae.app.search_box import page_links, page_number, search_box
from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables

AT_ONCE = 25
_ANY = ""
_SHOW = {"all": "all", "right": "right", "wrong": "wrong"}
_SORTS = {"sure": "confidence, surest first", "unsure": "confidence, unsurest first", "order": "order of the data"}
_FILTERS = ("show", "class", "predicted", "language", "q", "page")
_OF_EXAMPLE = ("id", "about", "latent", "off")


def layout(library: Library, address: Address) -> Component:
    """Lay out the page; ``point`` in the address is whose examples are shown, ``id`` the one that is explained."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    parts: list[Any] = [html.Header(html.H1("Examples"), className="page-head"), *problems(run)]
    frame = results_of(library, run)
    if not isinstance(frame, pd.DataFrame):
        return html.Div([*parts, frame])
    offered = _offered(frame)
    asked = address.query.get("point") or next(iter(offered))
    found = library.find_point(asked, run.id)
    if found is None:
        text = f"This run has no point with the fingerprint “{visible(asked, 40)}”."
        return html.Div([
            empty_state("No such point", text),
            html.P(go("Examples of another", Address("examples", query={"run": run.id}).link())),
        ])
    try:
        predictions = library.predictions(found.base, found.folder)
        texts = library.example_texts(found)
    except StoreError as error:
        return html.Div([*parts, note(visible(str(error)), "bad")])
    whose = _whose(run, found, offered, address)
    if predictions is None:
        return html.Div([*parts, whose, panel("No examples", html.P("No predictions of this point were kept."))])
    rows = _joined(predictions, texts)
    if (example := address.query.get("id")) is not None:
        parts += _explained(library, run, found, example, address)
    return html.Div([*parts, whose, _listed(rows, address, has_texts=texts is not None)])


def _offered(frame: pd.DataFrame) -> dict[str, str]:
    """Points to choose from: the CV-chosen ones, SAE probes first."""
    chosen = frame[frame["chosen"]] if frame["chosen"].any() else frame[:1]

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        return names.role_of(row["representation"]) != "sae", row["classifier"] != "logistic", row["dataset"], row["split"]

    rows = sorted(tables.records(chosen), key=order)
    several = {name for name in ("model", "layer") if chosen[name].nunique() > 1}
    return {
        row["fingerprint"]: ", ".join(
            filter(
                None,
                [row["dataset"], row["split"], names.method_name(row["representation"], row["classifier"]), names.where(row, several)],
            )
        )
        for row in rows
    }


def _whose(run: Run, found: FoundPoint, offered: dict[str, str], address: Address) -> Component:
    fingerprint, key = found.point["fingerprint"], found.point["key"]
    method = names.method_name(key["representation"], key["classifier"])
    options = {fingerprint: ", ".join([key["dataset"], key["split"], method])} | offered
    kept = {name: value for name, value in address.query.items() if name not in {*_OF_EXAMPLE, *_FILTERS}}
    shown = [(name, visible(text, 120)) for name, text in options.items()]
    chooser = choices(Address("examples", query=kept), "point", "Point", shown, fingerprint)
    config = names.configuration(key)
    about: list[Any] = [
        point_link(fingerprint, run.id, [method, "" if config == "–" else f", {config}"]),
        " on ",
        said(key["dataset"], 80),
        ", ",
    ]
    return panel("Whose examples", html.P([*about, "split ", said(key["split"], 40), "."]), html.Div(chooser, className="choices"))


def _joined(predictions: pd.DataFrame, texts: pd.DataFrame | None) -> pd.DataFrame:
    """Test rows with ``confidence`` (probability of the predicted class), and ``text`` and ``language`` where they are known."""
    chances = predictions[[name for name in predictions.columns if name.startswith("p_")]]
    confidence = chances.max(axis=1) if len(chances.columns) else pd.Series(np.nan, predictions.index)
    rows = predictions[["id", "label", "predicted"]].assign(confidence=confidence)
    if texts is not None:
        rows = rows.join(texts, on="id")
    return rows if "text" in rows else rows.assign(text=None)


def _explained(library: Library, run: Run, found: FoundPoint, example: str, address: Address) -> list[Component | None]:
    try:
        explanation = library.explain(found, example, address.query.get("about"))
    except MosaicError as error:
        return [panel(f"Example {visible(example, 60)}", html.P(visible(str(error), 2000)), id="explanation")]
    store = found.point["provenance"]["latent_store"]
    labels = library.labels(run, store)
    return explanation_panels(explanation, address, store, run.id, labels, library.picture(found, explanation.row))


def _listed(rows: pd.DataFrame, address: Address, has_texts: bool) -> Component:
    shown = _matching(rows, address)
    number = page_number(address, len(shown), AT_ONCE)
    lines = [_line(row, address) for row in tables.records(shown[(number - 1) * AT_ONCE : number * AT_ONCE])]
    first = Address(address.page, address.rest, {name: value for name, value in address.query.items() if name != "page"})
    head = [("Example", False), ("Text", False), ("Actual", False), ("Predicted", False), ("Confidence", True)]
    count = f"{len(shown):,} of {len(rows):,} test examples" if len(shown) < len(rows) else f"{len(rows):,} test examples"
    without = go("Show all", address.link(**dict.fromkeys(_FILTERS)), stays=True)
    gone = note("The texts are not where the run left them, so only ids are shown; see docs/explanations.md.", "warn")
    return panel(
        count,
        None if has_texts else gone,
        html.Div(search_box(address, "q", "Search", "text or id"), className="tools"),
        html.Div(_choosers(rows, first), className="choices"),
        table("Open one to see why it was classified so", head, lines, "examples") if lines else html.P(["No example matches. ", without]),
        page_links(address, len(shown), AT_ONCE),
        id="list",
    )


def _choosers(rows: pd.DataFrame, address: Address) -> list[Component | None]:
    choosers = [choices(address, "show", "Show", list(_SHOW.items()), picked(address, "show", list(_SHOW)))]
    titles = [("class", "Actual", "label"), ("predicted", "Predicted", "predicted"), ("language", "Language", "language")]
    for key, title, column in titles:
        if column in rows:
            values = sorted(set(rows[column].dropna()))
            options = [(_ANY, "any"), *((value, visible(value, 60)) for value in values)]
            choosers.append(choices(address, key, title, options, picked(address, key, [_ANY, *values])))
    return [*choosers, choices(address, "sort", "Sorted by", list(_SORTS.items()), picked(address, "sort", list(_SORTS)))]


def _matching(rows: pd.DataFrame, address: Address) -> pd.DataFrame:
    wanted = np.ones(len(rows), dtype=bool)
    if (show := picked(address, "show", list(_SHOW))) != "all":
        wanted &= ((rows["label"] == rows["predicted"]) == (show == "right")).to_numpy(dtype=bool)
    for key, column in (("class", "label"), ("predicted", "predicted"), ("language", "language")):
        if address.query.get(key) and column in rows:
            wanted &= (rows[column] == address.query[key]).to_numpy(dtype=bool)
    if text := address.query.get("q", "").strip().casefold():
        shown = zip(rows["id"], rows["text"], strict=True)
        wanted &= np.array([text in str(name).casefold() or text in str(words or "").casefold() for name, words in shown], dtype=bool)
    found = rows[wanted]
    order = picked(address, "sort", list(_SORTS))
    return found if order == "order" else found.sort_values("confidence", ascending=order == "unsure", kind="stable")


def _line(row: Mapping[str, Any], address: Address) -> list[Any]:
    is_right = row["label"] == row["predicted"]
    is_open = row["id"] == address.query.get("id")
    href = address.link(id=row["id"], **dict.fromkeys(_OF_EXAMPLE[1:]))
    mark = html.Span("✓ right" if is_right else "✕ wrong", className="pill good" if is_right else "pill bad")
    return [
        go(said(row["id"], 40), href, "true" if is_open else None),
        html.Td(html.Span(said(row["text"] or "–", 160), dir="auto"), className="small words"),
        said(row["label"], 60),
        html.Span([said(row["predicted"], 60), " ", mark]),
        names.number(row["confidence"]),
    ]


PAGE = Page("examples", "Examples", layout)
