"""The report's figures as SVG files: what ``figures`` draws for the browser, drawn plainly for papers and slides."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import pandas as pd

from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names
from mosaic_sae.report.figures import METHOD_COLOURS, ROLE_COLOURS
from mosaic_sae.report.tables import records
from mosaic_sae.report.transfer import Matrix, SharePoint

_INK, _FAINT, _GRID = "#1a2027", "#566270", "#dce1e7"
_FONT = "font-family=\"'DejaVu Sans', 'Noto Sans', Arial, sans-serif\""
_LETTER = 7.4
"""Rough width of a letter at 13 pixels."""


def score_intervals_svg(scores: pd.DataFrame) -> str:
    """Draw macro F1 with its 95 % interval, one line per family, over 0 to 1.

    Args:
        scores: frame of ``tables.scores``.
    """
    labels = [visible(str(label), 40) for label in scores["label"]]
    left, top, step, span = _width(labels) + 24, 40.0, 28.0, 480.0
    height = top + step * len(labels) + 52
    parts, bottom = [], top + step * len(labels)
    for place, (role, name) in enumerate(names.ROLES.items()):
        x = left + 150 * place
        parts += [_mark(role, x, 18), _text(x + 14, 22, name)]
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        x = left + span * tick
        parts += [_line(x, top, x, bottom, _GRID), _text(x, bottom + 18, f"{tick:g}", "middle", _FAINT)]
    parts.append(_text(left + span / 2, bottom + 40, "macro F1 on the test part", "middle"))
    for place, (label, row) in enumerate(zip(labels, records(scores), strict=True)):
        y = top + step * (place + 0.5)
        low, high, middle = (left + span * row[name] for name in ("macro_f1_low", "macro_f1_high", "macro_f1"))
        colour = ROLE_COLOURS[row["role"]]
        parts.append(_text(left - 12, y + 4, label, "end"))
        parts += [
            _line(low, y, high, y, colour, 2),
            *(_line(x, y - 5, x, y + 5, colour, 2) for x in (low, high)),
            _mark(row["role"], middle, y),
        ]
    return _svg(left + span + 24, height, parts)


def matrix_svg(matrix: Matrix) -> str:
    """Draw a transfer heat-map: trained on (down), tested on (across), with macro F1 in the cells."""
    rows = [visible(language, 16) for language, _ in matrix.rows]
    left, top, side, step = _width(rows) + 24, 76.0, 52.0, 30.0
    parts = [_text(12, 22, visible(matrix.method, 60), weight="600"), _text(12, 42, "trained on (down), tested on (across)", colour=_FAINT)]
    for place, language in enumerate(matrix.test_domains):
        parts.append(_text(left + side * (place + 0.5), top - 10, visible(language, 7), "middle"))
    for down, (label, (_, cells)) in enumerate(zip(rows, matrix.rows, strict=True)):
        y = top + step * down
        parts.append(_text(left - 10, y + step / 2 + 4, label, "end"))
        for across, cell in enumerate(cells):
            x = left + side * across
            if cell is None:
                parts.append(_text(x + side / 2, y + step / 2 + 4, "–", "middle", _FAINT))
                continue
            frame = f' stroke="{_INK}" stroke-width="2"' if cell.own else ""
            fill = f'fill="#5aa2dd" fill-opacity="{0.08 + 0.62 * cell.shade:.2f}"'
            parts.append(f'<rect x="{x + 1:.1f}" y="{y + 1:.1f}" width="{side - 2:.1f}" height="{step - 2:.1f}" {fill}{frame}/>')
            parts.append(_text(x + side / 2, y + step / 2 + 4, names.number(cell.macro_f1, 2), "middle"))
    return _svg(left + side * len(matrix.test_domains) + 24, top + step * len(rows) + 16, parts)


def share_curves_svg(curve: Sequence[SharePoint]) -> str:
    """Draw mean macro F1 by number of training rows: solid for the domain trained on, dashed for the others."""
    left, top, wide, high = 56.0, 20.0, 480.0, 300.0
    methods = list(dict.fromkeys(point.method for point in curve))
    low, most = math.log(min(point.n_train for point in curve)), math.log(max(point.n_train for point in curve))
    span = (most - low) or 1.0

    def x_of(n_train: int) -> float:
        return left + wide * (math.log(n_train) - low) / span

    parts = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        y = top + high * (1 - tick)
        parts += [_line(left, y, left + wide, y, _GRID), _text(left - 8, y + 4, f"{tick:g}", "end", _FAINT)]
    for n_train in sorted({point.n_train for point in curve}):
        parts.append(_text(x_of(n_train), top + high + 18, f"{n_train:,}", "middle", _FAINT))
    parts.append(_text(left + wide / 2, top + high + 38, "training rows (logarithmic); mean macro F1", "middle"))
    for place, method in enumerate(methods):
        colour = METHOD_COLOURS[place % len(METHOD_COLOURS)]
        points = sorted((point for point in curve if point.method == method), key=lambda point: point.n_train)
        for values, dash in (([point.own for point in points], ""), ([point.others for point in points], ' stroke-dasharray="6 4"')):
            known = [
                (x_of(point.n_train), top + high * (1 - value)) for point, value in zip(points, values, strict=True) if names.present(value)
            ]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in known]
        y = top + high + 62 + 20 * place
        parts += [_line(left, y - 4, left + 28, y - 4, colour, 3), _text(left + 36, y, visible(method, 60))]
    y = top + high + 62 + 20 * len(methods)
    parts.append(_text(left, y, "solid: the domain trained on; dashed: the others", colour=_FAINT))
    return _svg(left + wide + 24, y + 16, parts)


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    page = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT} font-size="13">{page}{"".join(parts)}</svg>\n'


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = _INK, weight: str = "400") -> str:
    shown = html.escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">{shown}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _mark(role: str, x: float, y: float) -> str:
    """A circle, a diamond or a cross, as the role says, so that nothing hangs on colour alone."""
    colour = ROLE_COLOURS[role]
    if role == "sae":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{colour}"/>'
    if role == "baseline":
        return f'<path d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z" fill="{colour}"/>'
    return f'<path d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10" stroke="{colour}" stroke-width="2.5" fill="none"/>'


def _width(labels: Sequence[str]) -> float:
    return max((len(label) for label in labels), default=0) * _LETTER
