"""The latents that a run's points use: searched by name, token, number, class and language, sorted, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.card_parts import weight_of
from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import go, latent_address, note, panel, point_link, said, table
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems
from mosaic_sae.app.search_box import page_links, page_number, search_box
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import Name, named, quoted, visible
from mosaic_sae.report import names, tables

AT_ONCE = 30
_ANY = ""
_MOST_TOKENS = 4
_SORTS = {
    "use": ("use", ["best_chosen", "best_rank", "weight"], [False, True, False]),
    "strength": ("strength", ["max"], [False]),
    "dense": ("density, dense first", ["density_tokens"], [False]),
    "rare": ("density, rare first", ["density_tokens"], [True]),
    "points": ("number of points", ["n_points"], [False]),
}
_LEAD = (
    "Every latent that a point of this run uses: all weights of the CV-chosen probes, the strongest of the others, the questions of trees."
    " Sorted by use, the strongest of the CV-chosen points come first."
)


def layout(library: Library, address: Address) -> Component:
    """Lay out the page; ``store``, ``q``, ``class``, ``language``, ``sort`` and ``page`` in the address choose what is listed."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    head = html.Header(html.H1("Latents"), className="page-head")
    try:
        frame = library.latents(run)
    except StoreError as error:
        return html.Div([head, *problems(run), note(visible(str(error)), "bad")])
    if frame is None or not len(frame):
        return html.Div([head, *problems(run), _none(run)])
    stores = {row["store"]: visible(_store_name(row), 160) for row in tables.records(frame.drop_duplicates("store"))}
    store = picked(address, "store", list(stores))
    frame = frame[frame["store"] == store]
    found = library.names(run.base, str(frame.iloc[0]["sae"]))
    shown = _matching(frame, found, address)
    number = page_number(address, len(shown), AT_ONCE)
    rows = [_row(row, found.get(row["latent"]), run) for row in tables.records(shown[(number - 1) * AT_ONCE : number * AT_ONCE])]
    count = f"{len(shown):,} of {len(frame):,} latents" if len(shown) < len(frame) else f"{len(frame):,} latents"
    return html.Div([
        head,
        *problems(run),
        panel(
            "Which are shown",
            html.P(_LEAD, className="muted"),
            html.Div(search_box(address, "q", "Search", "name, token or number"), className="tools"),
            html.Div(_choosers(frame, stores, store, address), className="choices"),
        ),
        panel(
            count,
            _table(rows) if rows else html.P(["No latent matches. ", go("Show all", address.link(**dict.fromkeys(_FILTERS)), stays=True)]),
            page_links(address, len(shown), AT_ONCE),
            id="list",
        ),
    ])


_FILTERS = ("q", "class", "language", "page")


def _none(run: Run) -> Component:
    if run.status == "running":
        return panel("Still running", html.P("The table of latents comes when the run ends; reload the page then."))
    text = "This run has no table of latents: it has no point on the latents of an SAE, or another version wrote it."
    return panel("No latents", html.P(text), html.P("Run it again to make the table; finished work is kept."))


def _store_name(row: Mapping[str, Any]) -> str:
    return f"{row['dataset']}, {row['model']}, layer {row['layer']}, {row['sae']}"


def _choosers(frame: pd.DataFrame, stores: dict[str, str], store: str, address: Address) -> list[Component | None]:
    # Another choice starts at the first page of its list.
    first = Address(address.page, address.rest, {name: value for name, value in address.query.items() if name != "page"})
    classes, languages = sorted(set(frame["best_label"])), sorted(set(_most_often(frame["by_language"])) - {""})
    of_store = Address(first.page, first.rest, {name: value for name, value in first.query.items() if name not in _FILTERS})
    return [
        choices(of_store, "store", "Data and SAE", list(stores.items()), store),
        choices(first, "class", "Speaks for", _options(classes), picked(address, "class", [_ANY, *classes])),
        choices(first, "language", "Most often in", _options(languages), picked(address, "language", [_ANY, *languages]))
        if languages
        else None,
        choices(
            first, "sort", "Sorted by", [(name, title) for name, (title, _, _) in _SORTS.items()], picked(address, "sort", list(_SORTS))
        ),
    ]


def _options(values: list[str]) -> list[tuple[str, str]]:
    return [(_ANY, "any"), *((value, visible(value, 60)) for value in values)]


def _most_often(shares: pd.Series) -> list[str]:
    """The group in which each latent fires in the largest share of examples; "" where there are no groups."""
    return [max(groups, key=lambda group: group["share"])["name"] if len(groups) else "" for groups in shares]


def _matching(frame: pd.DataFrame, found: Mapping[int, Name], address: Address) -> pd.DataFrame:
    wanted = np.ones(len(frame), dtype=bool)
    if text := address.query.get("q", "").strip().casefold():
        by_name = {latent for latent, name in found.items() if text in name["text"].casefold()}
        is_number = frame["latent"].astype(str) == text.removeprefix("latent").strip()
        wanted &= (frame["words"].str.contains(text, regex=False) | frame["latent"].isin(by_name) | is_number).to_numpy()
    if label := address.query.get("class"):
        wanted &= (frame["best_label"] == label).to_numpy()
    if language := address.query.get("language"):
        wanted &= np.array(_most_often(frame["by_language"])) == language
    if not wanted.any():  # pandas sorts an empty frame by several columns into one row of nothing
        return frame[wanted]
    _, columns, ascending = _SORTS[picked(address, "sort", list(_SORTS))]
    weighed = frame[wanted].assign(weight=frame["best_weight"].abs())
    return weighed.sort_values([*columns, "latent"], ascending=[*ascending, True])


def _table(rows: list[list[Any]]) -> Component:
    head = [
        ("Latent", False),
        ("Name, or label from its tokens", False),
        ("Fires on", False),
        ("Best use", False),
        ("Points", True),
        ("Of examples", True),
        ("Of tokens", True),
        ("Largest", True),
    ]
    return table("Latents; a weight belongs to the scaled value, a tree's is its share of the gain", head, rows, "latents")


def _row(row: Mapping[str, Any], name: Name | None, run: Run) -> list[Any]:
    label: Any = said(row["label"], 80) if row["label"] else html.Span("fires nowhere", className="muted")
    tokens = ", ".join(quoted(str(token)) for token in row["top_tokens"][:_MOST_TOKENS])
    use: list[Any] = [
        point_link(row["best_fingerprint"], run.id, [f"{row['best_classifier']} ", weight_of(row["best_classifier"], row["best_weight"])]),
        f", rank {row['best_rank']:,} for ",
        said(row["best_label"], 60),
        ", ",
        said(row["best_split"], 40),
        " ★" if row["best_chosen"] else "",
    ]
    called: list[Any] = [said(named(name), 200), html.Br(), html.Span(label, className="muted small")] if name else [label]
    return [
        go(f"Latent {row['latent']}", latent_address(row["store"], row["latent"], run.id)),
        html.Td(called),
        html.Td(said(tokens, 200), className="small"),
        html.Td(use, className="small"),
        f"{row['n_points']:,}",
        names.percent(row["density_examples"]),
        names.percent(row["density_tokens"], 2),
        f"{row['max']:.3g}",
    ]


PAGE = Page("latents", "Latents", layout)
