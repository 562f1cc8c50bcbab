"""Plotly figures of the pages. Text takes the page's colours from the style sheet; colours of marks hold on light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.components import labelled
from mosaic_sae.probes.curves import Calibration, Curve
from mosaic_sae.report.figures import METHOD_COLOURS, PLOT_CONFIG

_MOST_DRAWN = 400
_CONFIG: Any = PLOT_CONFIG
_GRID = {"gridcolor": "rgba(128,136,146,.25)", "zeroline": False, "fixedrange": True}
_GUIDE = {"color": "rgba(128,136,146,.8)", "dash": "dot", "width": 1.5}
_LINE, _SECOND = METHOD_COLOURS[0], METHOD_COLOURS[1]


def graph(figure: go.Figure, words: str, height: int) -> Component:
    """A figure with what it shows in words, which is also its name for those who do not see it."""
    plot = dcc.Graph(figure=figure, config=_CONFIG, responsive=True, style={"height": f"{height}px"})
    return html.Figure([plot, html.Figcaption(words)], **labelled(words))


def roc_figure(curve: Curve) -> go.Figure:
    """Draw a ROC curve with the diagonal of guessing."""
    figure = _figure("false positive rate", "true positive rate")
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=_GUIDE, hoverinfo="skip"))
    hover = "%{y:.3f} of the class found at %{x:.3f} of the others, from %{customdata} on<extra></extra>"
    return figure.add_trace(_curve(curve, hover, "linear"))


def precision_recall_figure(curve: Curve, share: float) -> go.Figure:
    """Draw precision by recall, with the line of guessing: the share of the class."""
    figure = _figure("recall", "precision")
    figure.add_trace(go.Scatter(x=[0, 1], y=[share, share], mode="lines", line=_GUIDE, hoverinfo="skip"))
    hover = "precision %{y:.3f} at recall %{x:.3f}, from %{customdata} on<extra></extra>"
    return figure.add_trace(_curve(curve, hover, "vh"))


def reliability_figure(found: Calibration) -> go.Figure:
    """Draw the observed share by the predicted probability with 95 % intervals; the bars below are counts."""
    bins = [one for one in found.bins if one.n]
    figure = _figure("predicted probability", "observed share")
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=_GUIDE, hoverinfo="skip"))
    figure.add_trace(
        go.Scatter(
            x=[one.predicted for one in bins],
            y=[one.observed for one in bins],
            mode="lines+markers",
            line={"color": _LINE, "width": 1.5},
            marker={"size": 9, "color": _LINE},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.observed_high - one.observed for one in bins],
                "arrayminus": [one.observed - one.observed_low for one in bins],
                "color": _LINE,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=[one.n for one in bins],
            hovertemplate="predicted %{x:.3f}, observed %{y:.3f}, %{customdata:,} examples<extra></extra>",
        )
    )
    figure.add_trace(
        go.Bar(
            x=[(one.low + one.high) / 2 for one in found.bins],
            y=[one.n for one in found.bins],
            width=[0.92 * (one.high - one.low) for one in found.bins],
            marker={"color": _SECOND},
            yaxis="y2",
            hovertemplate="%{y:,} examples near %{x:.2f}<extra></extra>",
        )
    )
    figure.update_layout(
        yaxis={"domain": [0.3, 1.0]},
        yaxis2={"domain": [0.0, 0.2], "title": {"text": "count"}, "rangemode": "tozero", "nticks": 3, **_GRID},
    )
    return figure.update_xaxes(anchor="y2")


def lines_figure(lines: Sequence[tuple[str, Sequence[tuple[float, float, float, float]]]], x: str, y: str) -> go.Figure:
    """Draw lines with intervals.

    Args:
        lines: (name, [(x, value, low, high)]); names are safe for plotly already (``report.figures.plain``).
        x: title of the x axis.
        y: title of the y axis.
    """
    figure = _figure(x, y)
    for place, (name, points) in enumerate(lines):
        colour = METHOD_COLOURS[place % len(METHOD_COLOURS)]
        figure.add_trace(
            go.Scatter(
                x=[point[0] for point in points],
                y=[point[1] for point in points],
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": ("solid", "dash", "dot")[place // len(METHOD_COLOURS) % 3]},
                marker={"size": 8, "color": colour, "symbol": ("circle", "diamond", "square", "x", "triangle-up")[place % 5]},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [point[3] - point[1] for point in points],
                    "arrayminus": [point[1] - point[2] for point in points],
                    "color": colour,
                    "thickness": 1,
                    "width": 3,
                },
                hovertemplate="%{y:.3f} at %{x}<extra>%{fullData.name}</extra>",
            )
        )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "xanchor": "left"})
    figure.update_xaxes(range=None, dtick=None, tickformat="d")
    return figure


def _curve(curve: Curve, hover: str, shape: str) -> go.Scatter:
    kept = np.unique(np.linspace(0, len(curve.x) - 1, min(len(curve.x), _MOST_DRAWN)).round().astype(int))
    return go.Scatter(
        x=curve.x[kept].tolist(),
        y=curve.y[kept].tolist(),
        mode="lines",
        line={"color": _LINE, "width": 2.5, "shape": shape},
        customdata=[f"{value:.3f}" if np.isfinite(value) else "no probability" for value in curve.thresholds[kept]],
        hovertemplate=hover,
    )


def _figure(x: str, y: str) -> go.Figure:
    unit: dict[str, Any] = {"range": [-0.02, 1.02], "dtick": 0.25}
    figure = go.Figure()
    figure.update_layout(
        template="none",
        margin={"l": 58, "r": 14, "t": 12, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=False,
        dragmode=False,
        xaxis={"title": {"text": x}, **unit, **_GRID},
        yaxis={"title": {"text": y}, **unit, **_GRID},
    )
    return figure
