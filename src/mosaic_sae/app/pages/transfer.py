"""Transfer: what was trained on one domain (a language, a modality) and tested on others."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import note, panel, role_mark, said, table
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.figures import graph
from mosaic_sae.app.matrix_view import cell_panel, heat_map, row_panel
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems
from mosaic_sae.app.shift_view import shift_panel
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names
from mosaic_sae.report.figures import share_curves
from mosaic_sae.report.transfer import METHOD, Transfer
from mosaic_sae.report.transfer_words import verdicts

_OTHER_TABLES = {"translation_modes": "Translated training and test texts", "model_transfer": "From one model to another"}
_NEEDED = ["dataset", "family", "by", "selection", "train_domain", "test_domain", "share", "path"]
_CHOSEN = "chosen"
_MOST_ROWS = 200


def layout(library: Library, address: Address) -> Component:
    """Lay out the page; the split, method, layer, share, domains, class and kind that are looked at are in the address."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    parts: list[Any] = [html.Header(html.H1("Transfer"), className="page-head"), *problems(run)]
    try:
        cells, shift = library.table(run, "transfer.parquet"), library.table(run, "latent_shift.parquet")
        others = [(title, frame) for name, title in _OTHER_TABLES.items() if (frame := library.table(run, f"{name}.parquet")) is not None]
    except StoreError as error:
        return html.Div([*parts, note(visible(str(error)), "bad")])
    if cells is not None and (missing := [name for name in _NEEDED if name not in cells.columns]):
        text = f"transfer.parquet of this run lacks the columns {', '.join(missing)}: another version wrote it."
        parts.append(note(f"{text} Run it again; finished points are kept.", "bad"))
    elif cells is not None and len(cells):
        parts += _matrix_parts(library, run, cells, shift, address)
    elif not others:
        parts.append(_no_transfer())
    return html.Div([*parts, *(_other(title, frame) for title, frame in others)])


def _no_transfer() -> Component:
    ask = html.Code("splits: [{kind: language}]")
    return panel(
        "No transfer in this run",
        html.P("No split of it trains on one language or modality and tests on others."),
        html.P([
            "Ask for it with ",
            ask,
            " and a ",
            html.Code("language_field"),
            " in the dataset, or try ",
            html.Code("mosaic run languages"),
            ".",
        ]),
    )


def _matrix_parts(library: Library, run: Run, cells: pd.DataFrame, shift: pd.DataFrame | None, address: Address) -> list[Component | None]:
    families = list(cells[["dataset", "family"]].drop_duplicates().itertuples(index=False, name=None))
    place = int(picked(address, "of", [str(number) for number in range(len(families))]))
    dataset, family = families[place]
    cells = cells[(cells["dataset"] == dataset) & (cells["family"] == family)]
    shift = None if shift is None else shift[(shift["dataset"] == dataset) & (shift["family"] == family)]
    options = [(str(number), visible(", ".join(pair), 80)) for number, pair in enumerate(families)]
    shares = sorted(set(cells["share"]), reverse=True)
    share = float(picked(address, "share", [f"{value:g}" for value in shares]))
    chosen = cells[(cells["selection"] == _CHOSEN) & (cells["share"] == share)]
    domains = sorted(set(chosen["train_domain"]))
    train = picked(address, "train", domains)
    tests = sorted(set(chosen["test_domain"]))
    test = address.query.get("test") if address.query.get("test") in tests else None
    methods = {".".join(pair): names.method_name(*pair) for pair in chosen[METHOD].drop_duplicates().itertuples(index=False, name=None)}
    method = picked(address, "method", list(methods), "sae.logistic")
    layers = _layers(cells, method)
    layer = picked(address, "layer", list(layers))
    part = _of_layer(cells[cells["share"] == share], method, layer)
    show = picked(address, "show", ["score", "gap"])
    found = next(one for one in library.transfers(run) if (one.dataset, one.family) == (dataset, family))
    choosers = [
        choices(address, "method", "Features", list(methods.items()), method),
        choices(address, "layer", "Layer", list(layers.items()), layer),
        choices(
            address, "share", "Share of the training part", [(f"{value:g}", names.percent(value, 0)) for value in shares], f"{share:g}"
        ),
        choices(address, "show", "Show", [("score", "scores"), ("gap", "gaps")], show),
    ]
    caption = f"{methods[method]}: trained on (down), tested on (across)"
    lead = (
        "Macro F1 on the test rows of each domain. Framed: the domain trained on. Choose a cell for its intervals and all methods."
        if show == "score"
        else "Score minus that of the test domain's own classifier; * where the 95 % interval does not hold 0. Darker: a larger gap."
    )
    at_train = choices(address, "train", "Trained on", [(name, visible(name, 30)) for name in domains], train)
    return [
        html.Div(choices(address, "of", "Split", options, str(place)), className="choices"),
        _in_words(found, chosen, train),
        panel(
            "Heat-map",
            html.Div(choosers, className="choices"),
            html.P(lead, className="muted"),
            heat_map(part, address, train, test, show, caption),
            id="matrix",
        ),
        cell_panel(chosen, train, test, run.id) if test is not None else None,
        row_panel(part, train, methods[method], at_train),
        _curve(found),
        shift_panel(library, run, shift, train, address),
    ]


def _layers(cells: pd.DataFrame, method: str) -> dict[str, str]:
    """What CV chose over all layers, then each layer that this method was also evaluated at."""
    part = cells[(cells["selection"] == "layer") & (cells["representation"] + "." + cells["classifier"] == method)]
    pairs = sorted(part[["model", "layer"]].drop_duplicates().itertuples(index=False, name=None))
    several = {"model", "layer"} if len({model for model, _ in pairs}) > 1 else {"layer"}
    named = {f"{model}~{layer:g}": names.where({"model": model, "layer": layer}, several) for model, layer in pairs}
    return {_CHOSEN: "chosen by CV", **named}


def _of_layer(cells: pd.DataFrame, method: str, layer: str) -> pd.DataFrame:
    part = cells[cells["representation"] + "." + cells["classifier"] == method]
    if layer == _CHOSEN:
        return part[part["selection"] == _CHOSEN]
    model, _, number = layer.rpartition("~")
    return part[(part["selection"] == "layer") & (part["model"] == model) & (part["layer"] == float(number))]


def _in_words(found: Transfer, chosen: pd.DataFrame, train: str) -> Component:
    """The verdict for one training domain, and the means over all pairs."""
    words = verdicts(chosen[chosen["train_domain"] == train]) or [f"No SAE probe was trained on {train}."]
    rows = [
        [
            html.Span([role_mark(row.role), row.method]),
            names.number(row.own),
            names.number(row.others),
            names.signed(row.gap) if names.present(row.gap) else "–",
            f"{row.n_clear} of {row.n_pairs}",
        ]
        for row in found.outcomes
    ]
    head = [
        ("Features, classifier", False),
        ("Own domain", True),
        ("Other domains", True),
        ("Mean gap", True),
        ("Pairs with a clear gap", True),
    ]
    rest = [html.Li(visible(line)) for line in found.verdicts]
    size = (
        f"Trained on {found.n_train} rows of one domain, tested on the same {found.n_test:,} rows of all; settings were chosen in training."
    )
    return panel(
        f"{visible(found.dataset, 80)}, {visible(found.family, 40)}",
        html.P(visible(" ".join(words))),
        html.Details([html.Summary(f"The same for all {len(rest)} training domains"), html.Ul(rest)]) if len(rest) > 1 else None,
        html.P(size, className="muted"),
        table("Mean macro F1 on the domain trained on, and over pairs of different domains", head, rows),
    )


def _curve(found: Transfer) -> Component:
    if not found.curve:
        return panel(
            "Fewer training rows",
            html.P(["Only the whole training part was used. Ask for more with ", html.Code("train_shares"), " in the split."]),
        )
    words = "Mean macro F1 by number of training rows: solid on the domain trained on, dashed on the others."
    rows = [
        [said(row.method, 60), names.percent(row.share, 0), f"{row.n_train:,}", names.number(row.own), names.number(row.others)]
        for row in found.curve
    ]
    head = [("Features, classifier", False), ("Share", True), ("Training rows", True), ("Own domain", True), ("Other domains", True)]
    numbers = html.Details([html.Summary("In numbers"), table(words, head, rows)])
    return panel("Fewer training rows", graph(share_curves(found.curve), words, 420), numbers)


def _other(title: str, frame: pd.DataFrame) -> Component:
    """A table of another kind of transfer, as it is."""
    head = [(str(name), pd.api.types.is_numeric_dtype(frame[name])) for name in frame.columns]
    rows = [[_plain(value) for value in row] for row in frame.head(_MOST_ROWS).itertuples(index=False, name=None)]
    caption = f"{len(frame):,} rows" if len(frame) <= _MOST_ROWS else f"The first {_MOST_ROWS} of {len(frame):,} rows"
    return panel(title, table(caption, head, rows))


def _plain(value: Any) -> Any:
    if not names.present(value):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else said(value, 80)


PAGE = Page("transfer", "Transfer", layout)
