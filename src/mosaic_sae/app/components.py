"""Small parts that every page uses. Text from the data is always a React child, never markup."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables
from mosaic_sae.report.facts import Failed

HIDDEN: dict[str, Any] = {"aria-hidden": "true"}
"""For parts that repeat in form or colour what stands beside them in words."""
_STATUS_PILLS = {"done": "good", "failed": "bad", "interrupted": "warn", "running": "accent", "killed": "warn", "unreadable": "bad"}


def labelled(text: str) -> dict[str, Any]:
    """Attributes that name a part for those who do not see it."""
    return {"aria-label": text}


def said(text: Any, limit: int = 120) -> Component:
    """Text from the data, isolated so that its writing direction moves nothing else."""
    return html.Bdi(visible(str(text), limit))


def panel(title: str, *children: Any, level: int = 2, **attributes: Any) -> Component:
    """A titled box."""
    heading = html.H2 if level == 2 else html.H3
    return html.Section([heading(title), *children], className="panel", **attributes)


def pill(text: str, kind: str = "") -> Component:
    """A small label."""
    return html.Span(text, className=f"pill {kind}".strip())


def status_pill(status: str) -> Component:
    """The state of a run."""
    return pill(status, _STATUS_PILLS.get(status, ""))


def note(text: Any, kind: str = "") -> Component:
    """A remark that stands out: "", "warn" or "bad"."""
    return html.P(text, className=f"note {kind}".strip(), role="alert" if kind == "bad" else "note")


def empty_state(title: str, *paragraphs: Any) -> Component:
    """A page with nothing to show, in words."""
    return html.Section([html.H1(title), *(html.P(text) for text in paragraphs)], className="panel empty")


def facts(pairs: Iterable[tuple[str, Any]]) -> Component:
    """A list of names and values."""
    items: list[Component] = []
    for name, value in pairs:
        items += [html.Dt(name), html.Dd(value)]
    return html.Dl(items, className="facts")


def table(caption: str, head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[Any]], class_name: str = "") -> Component:
    """A table with a caption; the first cell of each row is its header.

    Args:
        caption: what the table holds.
        head: (title, whether the column holds numbers).
        rows: cells; a component that is a ``Td`` already stays as it is.
        class_name: further class of the table.
    """
    titles = [html.Th(title, scope="col", className="num" if is_number else "") for title, is_number in head]
    body = []
    for row in rows:
        cells: list[Component] = [html.Th(row[0], scope="row")]
        for value, (_, is_number) in zip(row[1:], head[1:], strict=True):
            cells.append(value if isinstance(value, html.Td) else html.Td(value, className="num" if is_number else ""))
        body.append(html.Tr(cells))
    content = html.Table([html.Caption(caption), html.Thead(html.Tr(titles)), html.Tbody(body)], className=f"data {class_name}".strip())
    return html.Div(content, className="scroll", tabIndex=0, role="group", **labelled(caption))


def text_table(caption: str, head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> Component:
    """A table of plain text, each cell isolated."""
    return table(caption, head, [[html.Bdi(cell) for cell in row] for row in rows])


def role_mark(role: str) -> Component:
    """The symbol of a representation's role; the role is also said in words next to it."""
    return html.I(className=f"role {role}", **HIDDEN)


def point_link(fingerprint: str, run_id: str | None, children: Any) -> Component:
    """A link to a point's page."""
    query = f"?{urlencode({'run': run_id})}" if run_id else ""
    return dcc.Link(children, href=f"/point/{fingerprint}{query}")


def interval_table(scores: pd.DataFrame, run_id: str | None, caption: str, highlight: str | None = None) -> Component:
    """Scores with their intervals drawn on a scale from 0 to 1.

    Args:
        scores: frame of ``tables.scores``.
        run_id: run that the links lead to.
        caption: what is compared.
        highlight: fingerprint of a row to mark.
    """
    rows = []
    for row in tables.records(scores):
        name = [role_mark(row["role"]), point_link(row["fingerprint"], run_id, visible(row["label"], 60))]
        if row["role"] == "control":
            name.append(html.Span(" control", className="sr-only"))
        details = f"{row['method']}, {row['configuration']}" if row["configuration"] != "–" else row["method"]
        cells = [
            html.Th(name, scope="row", title=visible(details, 80)),
            html.Td(_track(row), className="track-cell", **HIDDEN),
            html.Td(
                [html.Strong(names.number(row["macro_f1"])), html.Span(names.interval(row["macro_f1_low"], row["macro_f1_high"]))],
                className="num",
            ),
        ]
        rows.append(html.Tr(cells, className="highlight" if row["fingerprint"] == highlight else ""))
    head = html.Tr([
        html.Th("Features", scope="col"),
        html.Th(_scale(), scope="col", className="track-cell"),
        html.Th("Macro F1 [95 %]", scope="col"),
    ])
    legend = [html.Span([role_mark(role), names.ROLES[role]]) for role in dict.fromkeys(scores["role"])]
    body = html.Table([html.Caption(caption), html.Thead(head), html.Tbody(rows)], className="data intervals")
    return html.Div([body, html.P(legend, className="legend muted small", **HIDDEN)])


def _scale() -> Component:
    marks = [html.Span(mark, style={"left": f"{100 * float(mark):g}%"}) for mark in ("0", "0.5", "1")]
    return html.Span([html.Span("Scale", className="sr-only"), *marks], className="scale")


def _track(row: Mapping[str, Any]) -> Component:
    low, high = row["macro_f1_low"], row["macro_f1_high"]
    parts = []
    if names.present(low) and names.present(high):
        parts.append(html.I(className="whisker", style={"left": f"{100 * low:.2f}%", "width": f"{100 * (high - low):.2f}%"}))
    parts.append(html.I(className="dot", style={"left": f"{100 * row['macro_f1']:.2f}%"}))
    return html.Span(parts, className=f"track {row['role']}")


def failed_points(failed: Sequence[Failed]) -> Component:
    """Failed points with their errors."""
    items = [html.Li([html.Strong(html.Bdi(failure.key)), ": ", html.Bdi(failure.error)]) for failure in failed]
    return panel(f"Failed points ({len(items)})", html.P("The other points are not affected.", className="muted"), html.Ul(items))


def json_details(title: str, value: Any) -> Component:
    """A structure to look at, folded away."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return html.Details([html.Summary(title), html.Pre(html.Code(visible_lines(text)), tabIndex=0)])


def visible_lines(text: str) -> str:
    """``visible`` for text whose line breaks stay."""
    return "\n".join(visible(line) for line in text.split("\n"))
