"""Values with their intervals, drawn on one scale and written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import HIDDEN, point_link, role_mark
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables


@dataclass(frozen=True)
class Interval:
    """One line: a name, a value and how far it could move."""

    label: Any
    value: float
    low: float
    high: float
    role: str = "sae"
    """"sae", "baseline" or "control": its colour and mark."""
    title: str = ""
    highlight: bool = False
    is_signed: bool = False
    """Whether it is a difference, written with its sign."""

    @property
    def text(self) -> tuple[str, str]:
        """Value and interval as text."""
        value = names.signed(self.value) if self.is_signed and names.present(self.value) else names.number(self.value)
        return value, names.interval(self.low, self.high)


def intervals(caption: str, head: tuple[str, str], lines: Sequence[Interval], scale: tuple[float, float] = (0.0, 1.0)) -> Component:
    """Draw lines on one scale.

    Args:
        caption: what is compared.
        head: titles of the names and of the values.
        lines: what is drawn, in this order.
        scale: ends of the scale; what lies outside is cut off.
    """
    rows = []
    for line in lines:
        value, interval = line.text
        cells = [
            html.Th([role_mark(line.role), line.label], scope="row", title=line.title),
            html.Td(_track(line, scale), className="track-cell", **HIDDEN),
            html.Td([html.Strong(value), html.Span(interval)], className="num"),
        ]
        rows.append(html.Tr(cells, className="highlight" if line.highlight else ""))
    titles = html.Tr([
        html.Th(head[0], scope="col"),
        html.Th(_scale(scale), scope="col", className="track-cell"),
        html.Th(head[1], scope="col"),
    ])
    return html.Table([html.Caption(caption), html.Thead(titles), html.Tbody(rows)], className="data intervals")


def interval_table(scores: pd.DataFrame, run_id: str | None, caption: str, highlight: str | None = None) -> Component:
    """Scores with their intervals drawn on a scale from 0 to 1.

    Args:
        scores: frame of ``tables.scores``.
        run_id: run that the links lead to.
        caption: what is compared.
        highlight: fingerprint of a row to mark.
    """
    lines = []
    for row in tables.records(scores):
        name = [point_link(row["fingerprint"], run_id, visible(row["label"], 60))]
        if row["role"] == "control":
            name.append(html.Span(" control", className="sr-only"))
        details = f"{row['method']}, {row['configuration']}" if row["configuration"] != "–" else row["method"]
        bounds = row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"]
        lines.append(Interval(html.Span(name), *bounds, row["role"], visible(details, 80), row["fingerprint"] == highlight))
    body = intervals(caption, ("Features", "Macro F1 [95 %]"), lines)
    return html.Div([body, legend(list(dict.fromkeys(scores["role"])))])


def legend(roles: Sequence[str]) -> Component:
    """What the marks of these roles mean."""
    return html.P([html.Span([role_mark(role), names.ROLES[role]]) for role in roles], className="legend muted small", **HIDDEN)


def symmetric(lines: Sequence[Interval]) -> tuple[float, float]:
    """A scale around 0 that holds all intervals."""
    widest = max([abs(value) for line in lines for value in (line.low, line.high) if names.present(value)], default=0.0)
    limit = next((limit for limit in (0.1, 0.25, 0.5) if widest <= limit), 1.0)
    return -limit, limit


def _scale(scale: tuple[float, float]) -> Component:
    low, high = scale
    marks = [
        html.Span(f"{value:g}".replace("-", "−"), style={"left": f"{50 * place}%"})
        for place, value in enumerate((low, (low + high) / 2, high))
    ]
    return html.Span([html.Span("Scale", className="sr-only"), *marks], className="scale")


def _track(line: Interval, scale: tuple[float, float]) -> Component:
    def place(value: float) -> float:
        return 100 * min(max((value - scale[0]) / (scale[1] - scale[0]), 0.0), 1.0)

    parts = [html.I(className="zero", style={"left": f"{place(0.0):.2f}%"})] if scale[0] < 0 < scale[1] else []
    if names.present(line.low) and names.present(line.high):
        left = place(line.low)
        parts.append(html.I(className="whisker", style={"left": f"{left:.2f}%", "width": f"{place(line.high) - left:.2f}%"}))
    if names.present(line.value):
        parts.append(html.I(className="dot", style={"left": f"{place(line.value):.2f}%"}))
    return html.Span(parts, className=f"track {line.role}")
