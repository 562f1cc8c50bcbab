"""A decision tree drawn as nested rules that fold."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import HIDDEN, said
from mosaic_sae.report.rules import Rule


def class_key(classes: list[str]) -> Component:
    """Which colour of the bars is which class."""
    key = [html.Span([html.I(style={"background": f"var(--class-{place % 6})"}), said(label, 60)]) for place, label in enumerate(classes)]
    return html.Div(key, className="key")


def tree_view(rules: list[Rule]) -> Component:
    """Draw the rules of ``report.rules.tree_rules``; inner nodes fold and unfold by mouse and keyboard."""
    return html.Ol(_item(rules, 0)[0], className="rules")


def _item(rules: list[Rule], place: int) -> tuple[Component, int]:
    """Build the item of one rule and those below it; return it with the place of the next rule that is not below."""
    rule, after = rules[place], place + 1
    if rule.leaf:
        return html.Li(_line(rule, [html.Span(["→ ", said(rule.label, 80)], className="decision")])), after
    below = []
    while after < len(rules) and rules[after].depth > rule.depth:
        child, after = _item(rules, after)
        below.append(child)
    question = [html.Span(rule.question), html.Span(said(rule.fires_on, 160), className="muted small")]
    return html.Li(html.Details([html.Summary(_line(rule, question)), html.Ol(below)], open=True)), after


def _line(rule: Rule, middle: list[Any]) -> Component:
    total = sum(rule.counts)
    shares = [
        html.I(style={"width": f"{100 * count / total if total else 0:.1f}%", "background": f"var(--class-{place % 6})"})
        for place, count in enumerate(rule.counts)
    ]
    answer = [html.Span(f"{rule.came}:", className="answer")] if rule.came else []
    ends = [
        html.Span(shares, className="shares", **HIDDEN),
        html.Span(f"{rule.n:,} examples", className="muted small num"),
    ]
    return html.Span([*answer, *middle, *ends], className="rule leaf" if rule.leaf else "rule")
