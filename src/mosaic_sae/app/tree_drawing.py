"""A decision tree drawn from left to right; choosing a node marks the way to it and says it in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import HIDDEN, go, labelled, said
from mosaic_sae.app.page import Address
from mosaic_sae.report import names
from mosaic_sae.report.rules import Rule, path_to

_COLUMN, _ROW, _BOX, _BOX_HEIGHT = 15.0, 3.4, 12.5, 2.9
"""In rem: a level, a leaf, and the box of a node."""


def tree_drawing(rules: Sequence[Rule], address: Address) -> Component:
    """Draw the rules of ``report.rules.tree_rules``; ``node`` in the address is the chosen one."""
    asked = address.query.get("node", "")
    path = path_to(rules, int(asked)) if asked.isdecimal() else []
    on = {rule.node for rule in path}
    rows = _rows(rules)
    above: list[Rule] = []
    parts: list[Component] = []
    for rule in rules:
        above = [*above[: rule.depth], rule]
        if rule.depth:
            parts.append(_edge(rule, rows[above[-2].node], rows[rule.node], rule.node in on))
        parts.append(_box(rule, rows[rule.node], rule.node in on, asked == str(rule.node), address))
    n_leaves, depth = sum(rule.leaf for rule in rules), max(rule.depth for rule in rules)
    size = {"width": f"{depth * _COLUMN + _BOX:.1f}rem", "height": f"{n_leaves * _ROW:.1f}rem"}
    drawing = html.Div(parts, className="drawing", style=size)
    name = labelled("The tree, drawn; its first question is on the left")
    return html.Div([html.Div(drawing, className="scroll", tabIndex=0, role="group", **name), _in_words(path, address)])


def _rows(rules: Sequence[Rule]) -> dict[int, float]:
    """Vertical place of each node: leaves follow each other, a question stands in the middle of its two answers."""
    places: dict[int, float] = {}
    below: dict[int, list[float]] = {}
    n_leaves = 0
    for rule in reversed(rules):
        if rule.leaf:
            n_leaves += 1
            places[rule.node] = -float(n_leaves)
        else:
            middles = below.pop(rule.depth + 1, [0.0])
            places[rule.node] = sum(middles) / len(middles)
        below.setdefault(rule.depth, []).append(places[rule.node])
    return {node: place + n_leaves + 0.5 for node, place in places.items()}


def _box(rule: Rule, row: float, on: bool, chosen: bool, address: Address) -> Component:
    first: list[Any] = ["→ ", said(rule.label, 40)] if rule.leaf else [rule.short]
    second: list[Any] = [f"{rule.n:,} examples"] if rule.leaf else [said(rule.fires_on, 60)]
    content = [
        html.Span(f"{rule.came}: " if rule.came else "", className="sr-only"),
        html.Span(first, className="first"),
        html.Span(second, className="second"),
        html.Span(_shares(rule), className="shares", **HIDDEN),
    ]
    style = {"left": f"{rule.depth * _COLUMN:.2f}rem", "top": f"{row * _ROW - _BOX_HEIGHT / 2:.2f}rem"}
    classes = " ".join(["node", *(["leaf"] if rule.leaf else []), *(["on"] if on else [])])
    link = go(content, address.link(node=rule.node), "true" if chosen else None, stays=True, class_name=classes)
    link.style = style  # type: ignore[attr-defined]
    return link


def _edge(rule: Rule, row_above: float, row: float, on: bool) -> Component:
    up = row < row_above
    style = {
        "left": f"{(rule.depth - 1) * _COLUMN + _BOX:.2f}rem",
        "width": f"{_COLUMN - _BOX:.2f}rem",
        "top": f"{min(row, row_above) * _ROW:.2f}rem",
        "height": f"{abs(row - row_above) * _ROW:.2f}rem",
    }
    answer = html.Span(rule.came.split(" ")[0])
    return html.Span(answer, className=" ".join(["edge", "up" if up else "down", *(["on"] if on else [])]), style=style, **HIDDEN)


def _shares(rule: Rule) -> list[Component]:
    total = sum(rule.counts)
    return [
        html.I(style={"width": f"{100 * count / total if total else 0:.1f}%", "background": f"var(--class-{place % 6})"})
        for place, count in enumerate(rule.counts)
    ]


def _in_words(path: Sequence[Rule], address: Address) -> Component:
    """The way to a node, a line for each answer."""
    if not path:
        return html.P("Choose a node to see the way to it in words.", className="muted", role="status")
    steps = []
    for rule, following in pairwise(path):
        share = f"{following.n:,} of {rule.n:,} training examples go this way"
        steps.append(
            html.Li([
                f"{rule.question} ",
                html.Strong(following.came),
                ". ",
                html.Span([said(rule.fires_on, 160), f"; {share}."], className="muted"),
            ])
        )
    end = path[-1]
    most = max(end.counts, default=0.0) / (sum(end.counts) or 1.0)
    if end.leaf:
        last: list[Any] = [
            "Then the answer is ",
            html.Strong(said(end.label, 80)),
            f", of which class {names.percent(most, 0)} of the {end.n:,} examples here are.",
        ]
    else:
        last = [
            f"Here the tree asks: {end.question} So far {names.percent(most, 0)} of the {end.n:,} examples are ",
            html.Strong(said(end.label, 80)),
            ".",
        ]
    back = go("Choose none", address.link(node=None), stays=True)
    return html.Div(
        [html.H3("The way there"), html.Ol(steps), html.P(last), html.P(back, className="small")], className="way", role="status"
    )
