"""Plotly figures as pure functions of tidy frames. Colours come from a colour-blind-safe set; symbols repeat what colours say."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from mosaic_sae.explain.cards import visible
from mosaic_sae.report.domain_words import DOMAIN_WORDS
from mosaic_sae.report.names import ROLES, interval, number, present
from mosaic_sae.report.tables import records
from mosaic_sae.report.transfer import SharePoint

# Mid-tones with at least 3:1 contrast on the light and on the dark page; blue, orange and grey differ for every common colour vision.
ROLE_COLOURS = {"sae": "#2f80c2", "baseline": "#d1701a", "control": "#7d858f"}
ROLE_SYMBOLS = {"sae": "circle", "baseline": "diamond", "control": "x-thin"}
# Okabe and Ito's set without yellow, which is too pale on a light page.
METHOD_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7d858f")
PLOT_CONFIG = {"displayModeBar": False, "responsive": True}


def plain(text: str, limit: int = 40) -> str:
    """Make text safe for plotly, which reads a part of HTML in labels."""
    return html.escape(visible(text, limit), quote=False)


def score_intervals(scores: pd.DataFrame, highlight: str | None = None) -> go.Figure:
    """Draw macro F1 with its 95 % interval, one line per family, over the whole range 0 to 1.

    Args:
        scores: frame of ``tables.scores``.
        highlight: fingerprint of a point to ring; it should be one of the rows.
    """
    figure = go.Figure()
    scores = scores.assign(line=[plain(label) for label in scores["label"]])
    for role, colour in ROLE_COLOURS.items():
        rows = scores[scores["role"] == role]
        if rows.empty:
            continue
        thin = role == "control"
        figure.add_trace(
            go.Scatter(
                x=rows["macro_f1"].tolist(),
                y=rows["line"].tolist(),
                name=ROLES[role],
                mode="markers",
                marker={
                    "symbol": ROLE_SYMBOLS[role],
                    "size": 11,
                    "color": colour,
                    "line": {"width": 2.5 if thin else 0, "color": colour},
                },
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": (rows["macro_f1_high"] - rows["macro_f1"]).tolist(),
                    "arrayminus": (rows["macro_f1"] - rows["macro_f1_low"]).tolist(),
                    "color": colour,
                    "thickness": 2,
                    "width": 5,
                },
                customdata=[_hover(row) for row in records(rows)],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    if highlight is not None and (scores["fingerprint"] == highlight).any():
        row = scores[scores["fingerprint"] == highlight].iloc[0]
        ring = {"symbol": "circle-open", "size": 22, "color": ROLE_COLOURS[row["role"]], "line": {"width": 2}}
        figure.add_trace(go.Scatter(x=[row["macro_f1"]], y=[row["line"]], mode="markers", marker=ring, name="this point", hoverinfo="skip"))
    figure.update_layout(
        template="none",
        height=92 + 30 * len(scores),
        margin={"l": 8, "r": 16, "t": 40, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        hoverlabel={"align": "left"},
        dragmode=False,
    )
    figure.update_xaxes(
        range=[0, 1.0],
        title={"text": "macro F1 on the test part", "font": {"size": 13}},
        gridcolor="rgba(128,136,146,.25)",
        zeroline=False,
        fixedrange=True,
        dtick=0.2,
    )
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=scores["line"].tolist()[::-1],
        automargin=True,
        fixedrange=True,
        ticks="",
        showgrid=False,
        range=[-0.6, len(scores) - 0.4],
    )
    return figure


def _hover(row: dict) -> str:
    lines = [f"<b>{plain(row['method'])}</b>", f"{number(row['macro_f1'])} {interval(row['macro_f1_low'], row['macro_f1_high'])}"]
    if present(row["cv_macro_f1"]):
        lines.append(f"cross-validated {number(row['cv_macro_f1'])}")
    if row["configuration"] != "–":
        lines.append(plain(row["configuration"]))
    return "<br>".join(lines)


def describe_scores(scores: pd.DataFrame) -> str:
    """Say in words what ``score_intervals`` shows, for those who do not see it."""
    if scores.empty:
        return "No scores."
    parts = [f"{row['method']} {number(row['macro_f1'])} {interval(row['macro_f1_low'], row['macro_f1_high'])}" for row in records(scores)]
    return "Macro F1 with 95 % intervals. " + "; ".join(parts) + "."


def share_curves(curve: Sequence[SharePoint], by: str = "language") -> go.Figure:
    """Draw mean macro F1 by number of training rows: solid on the language (or modality) trained on, dashed on the others."""
    words = DOMAIN_WORDS[by]
    figure = go.Figure()
    for number_, method in enumerate(dict.fromkeys(point.method for point in curve)):
        points = [point for point in curve if point.method == method]
        colour = METHOD_COLOURS[number_ % len(METHOD_COLOURS)]
        for values, where, dash, symbol in (
            ([point.own for point in points], words.own, "solid", "circle"),
            ([point.others for point in points], words.others, "dash", "diamond-open"),
        ):
            figure.add_trace(
                go.Scatter(
                    x=[point.n_train for point in points],
                    y=values,
                    name=f"{plain(method)}, {where}",
                    mode="lines+markers",
                    line={"color": colour, "dash": dash, "width": 2},
                    marker={"symbol": symbol, "size": 9, "color": colour},
                    hovertemplate="%{y:.3f} with %{x:,} training rows<extra>%{fullData.name}</extra>",
                )
            )
    figure.update_layout(
        template="none",
        height=440,
        margin={"l": 60, "r": 16, "t": 16, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "x": 0, "y": -0.26, "yanchor": "top", "xanchor": "left"},
        dragmode=False,
    )
    grid = {"gridcolor": "rgba(128,136,146,.25)", "zeroline": False, "fixedrange": True}
    rows = sorted({point.n_train for point in curve})
    figure.update_xaxes(
        title={"text": "training rows (logarithmic)", "font": {"size": 13}, "standoff": 8},
        type="log",
        tickvals=rows,
        ticktext=[f"{n:,}" for n in rows],
        **grid,
    )
    figure.update_yaxes(title={"text": "mean macro F1", "font": {"size": 13}}, range=[0, 1.0], dtick=0.2, **grid)
    return figure
