"""A transfer matrix as a heat-map of links, one of its rows with intervals, and one of its cells by all methods."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import go, labelled, panel, point_link, said, table
from mosaic_sae.app.intervals import Interval, intervals, legend, symmetric
from mosaic_sae.app.page import Address
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables

_NAME = 16


def heat_map(cells: pd.DataFrame, address: Address, train: str, test: str | None, show: str, caption: str) -> Component:
    """Training domains down, test domains across; each cell leads to itself.

    Args:
        cells: of one method, share and layer.
        address: of the page.
        train: training domain that is looked at.
        test: test domain that is looked at, if any.
        show: "score" or "gap".
        caption: what it shows.
    """
    tests = sorted(set(cells["test_domain"]))
    found = {(row["train_domain"], row["test_domain"]): row for row in tables.records(cells)}
    value = cells["macro_f1"] if show == "score" else cells["gap"].abs()
    low, high = (value.min(), value.max()) if show == "score" else (0.0, value.max())
    rows = []
    for domain in sorted(set(cells["train_domain"])):
        line = [_cell(found.get((domain, name)), address, (train, test), show, low, high) for name in tests]
        rows.append(html.Tr([html.Th(go(said(domain, _NAME), address.link(train=domain, test=None), stays=True), scope="row"), *line]))
    head = [
        html.Th(html.Span("Trained on", className="sr-only"), scope="col"),
        *(html.Th(said(name, _NAME), scope="col") for name in tests),
    ]
    content = html.Table([html.Caption(caption), html.Thead(html.Tr(head)), html.Tbody(rows)], className="data heat languages")
    return html.Div(content, className="scroll", tabIndex=0, role="group", **labelled(caption))


def _cell(row: dict[str, Any] | None, address: Address, at: tuple[str, str | None], show: str, low: float, high: float) -> Component:
    if row is None:
        return html.Td("–")
    train, test = row["train_domain"], row["test_domain"]
    value = row["macro_f1"] if show == "score" else row["gap"]
    if not names.present(value):
        return html.Td("–", title="The test domain has no classifier of its own.")
    shade = ((value if show == "score" else abs(value)) - low) / (high - low) if high > low else 1.0
    text = names.number(value, 2) if show == "score" else names.signed(value, 2) + ("*" if _is_clear(row) else "")
    classes = " ".join(["num", *(["own"] if train == test else []), *(["chosen"] if (train, test) == at else [])])
    link = go(text, address.link(train=train, test=test), "true" if (train, test) == at else None, stays=True)
    return html.Td(link, className=classes, style={"--a": round(100 * shade)}, title=_in_words(row))


def _is_clear(row: dict[str, Any]) -> bool:
    return bool(row["gap_low"] > 0 or row["gap_high"] < 0)


def _in_words(row: dict[str, Any]) -> str:
    score = f"{names.number(row['macro_f1'])} {names.interval(row['macro_f1_low'], row['macro_f1_high'])}"
    words = f"{row['train_domain']} to {row['test_domain']}: {score} on {names.whole(row['n_test'])} test rows"
    if row["train_domain"] != row["test_domain"] and names.present(row["gap"]):
        words += f"; gap {names.signed(row['gap'])} {names.interval(row['gap_low'], row['gap_high'])}"
    return visible(words, 300)


def row_panel(cells: pd.DataFrame, train: str, method: str, chooser: Component | None) -> Component:
    """Scores and gaps of what was trained on one domain, in each test domain.

    Args:
        cells: of one method, share and layer.
        train: the training domain.
        method: the method in words.
        chooser: leads to other training domains.
    """
    rows = tables.records(cells[cells["train_domain"] == train].sort_values("test_domain"))
    scores, gaps = [], []
    for row in rows:
        name, role = said(row["test_domain"], 40), names.role_of(row["representation"])
        own = row["test_domain"] == train
        scores.append(Interval(name, row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"], role, highlight=own))
        if not own and names.present(row["gap"]):
            gaps.append(Interval(name, row["gap"], row["gap_low"], row["gap_high"], role, is_signed=True))
    parts: list[Any] = [intervals("Macro F1 in each test domain; marked: the domain trained on", ("Tested on", "Macro F1 [95 %]"), scores)]
    if gaps:
        caption = "Gap: minus the test domain's own classifier, on the same rows (paired bootstrap)"
        parts.append(intervals(caption, ("Tested on", "Gap [95 %]"), gaps, symmetric(gaps)))
    else:
        parts.append(html.P("No other test domain has a classifier of its own, so there is no gap.", className="muted"))
    title = f"Trained on {visible(train, 40)}: {method}"
    return panel(title, chooser, html.Div([html.Div(part) for part in parts], className="columns wide-values"), id="row")


def cell_panel(cells: pd.DataFrame, train: str, test: str, run_id: str) -> Component:
    """One pair of domains by all methods.

    Args:
        cells: CV-chosen cells of all methods at one share.
        train: the training domain.
        test: the test domain.
        run_id: run that the links lead to.
    """
    part = cells[(cells["train_domain"] == train) & (cells["test_domain"] == test)]
    lines, gaps, rows, roles = [], [], [], []
    for row in tables.records(part):
        role, method = names.role_of(row["representation"]), names.method_name(row["representation"], row["classifier"])
        name = point_link(str(row["path"]).rsplit("-", 1)[-1], run_id, method)
        roles.append(role)
        lines.append(Interval(name, row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"], role))
        if train != test and names.present(row["gap"]):
            gaps.append(Interval(html.Span(method), row["gap"], row["gap_low"], row["gap_high"], role, is_signed=True))
        rows.append([
            method,
            said(names.configuration(row), 60),
            names.where(row, {"model", "layer"}) or "–",
            names.number(row["cv_macro_f1"]),
        ])
    parts: list[Any] = [intervals("Macro F1 of each method; a name leads to its point", ("Features", "Macro F1 [95 %]"), lines)]
    if gaps:
        parts.append(
            intervals("Gap of each method to its own classifier of the test domain", ("Features", "Gap [95 %]"), gaps, symmetric(gaps))
        )
    head = [("Features", False), ("Pooling", False), ("Read from", False), ("CV macro F1 in training", True)]
    title = f"From {visible(train, 40)} to {visible(test, 40)}"
    return panel(
        title,
        html.Div([html.Div(one) for one in parts], className="columns wide-values"),
        legend(list(dict.fromkeys(roles))),
        html.Details([html.Summary("What was chosen for each"), table(title, head, rows)]),
        id="cell",
    )
