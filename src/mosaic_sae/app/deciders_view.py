"""What decides in a point: the latents of a logistic probe, or the rules of a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.components import labelled, panel, said
from mosaic_sae.app.data import FoundPoint
from mosaic_sae.app.evidence_view import latent_details
from mosaic_sae.app.tree_view import tree_view
from mosaic_sae.explain.cards import card_of
from mosaic_sae.report import names
from mosaic_sae.report.content import latent_lines
from mosaic_sae.report.rules import tree_rules

MOST_LATENTS = 20
CLASSES_AT_ONCE = 3


def latents_panel(found: FoundPoint, evidence: Mapping[str, Any] | None, shown_class: str | None) -> Component | None:
    """Latents by the class they speak for; None for a point without weights on latents.

    Args:
        found: the point.
        evidence: what its latents fire on.
        shown_class: the class to show when there are more than ``CLASSES_AT_ONCE``; None = the first.
    """
    point = found.point
    lines = latent_lines(point, evidence, MOST_LATENTS)
    if not lines:
        return None
    classes = list(lines)
    lead = "Strongest first. A weight belongs to the latent's scaled value. Open a latent to see the tokens and texts it fires on."
    if len(point["classes"]) == 2:
        parts: list[Any] = [
            lead,
            " There is one weight for each latent: positive speaks for ",
            said(point["classes"][1], 60),
            ", negative for ",
            said(point["classes"][0], 60),
            ".",
        ]
    else:
        parts = [lead]
    chooser = None
    if len(classes) > CLASSES_AT_ONCE:
        shown = shown_class if shown_class in lines else classes[0]
        chooser = html.Nav([_class_link(found, name, name == shown) for name in classes], className="chips", **labelled("Classes"))
        classes = [shown]
    columns = []
    for number, name in enumerate(classes):
        details = [
            latent_details(line.latent, line.share, names.signed(line.weight), line.card, str(number), line.weight < 0, is_open=place == 0)
            for place, line in enumerate(lines[name])
        ]
        columns.append(
            html.Div([
                html.H3(["For ", said(name, 80)]),
                *(details or [html.P("No latent among the strongest speaks for this class.", className="muted")]),
            ])
        )
    return panel("Latents that decide", html.P(parts, className="muted"), chooser, html.Div(columns, className="columns"), id="latents")


def tree_panel(point: Mapping[str, Any], evidence: Mapping[str, Any] | None) -> Component | None:
    """The tree as nested rules, and the latents it asks about; None for a point without a tree."""
    rules = tree_rules(point, evidence)
    if not rules:
        return None
    asked: dict[int, int] = {}
    for rule in rules:
        if rule.latent is not None:
            asked[rule.latent] = asked.get(rule.latent, 0) + rule.n
    most = max(asked.values(), default=1)
    cards = []
    for latent, count in sorted(asked.items(), key=lambda item: (-item[1], item[0])):
        cards.append(latent_details(latent, count / most, f"asked for {count:,}", card_of(evidence, latent)))
    lead = html.P(
        "Bars show the classes among the training examples that arrive at a rule. Fold a rule to hide what follows it.", className="muted"
    )
    below = [html.H3("Latents it asks about"), html.Div(cards, className="columns")] if cards else []
    return panel("The tree", lead, tree_view(rules, point["classes"]), *below, id="tree")


def _class_link(found: FoundPoint, name: str, shown: bool) -> Component:
    query = {"run": found.run.id} if found.run else {}
    href = f"/point/{found.point['fingerprint']}?{urlencode({**query, 'class': name})}"
    return dcc.Link(said(name, 60), href=href, className="chip current" if shown else "chip")
