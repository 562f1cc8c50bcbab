"""What decides in a point: the latents of a logistic probe, or the rules of a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import latent_address, panel, said
from mosaic_sae.app.evidence_view import latent_details
from mosaic_sae.app.page import Address
from mosaic_sae.app.tree_drawing import tree_drawing
from mosaic_sae.app.tree_view import class_key, tree_view
from mosaic_sae.explain.cards import card_of, visible
from mosaic_sae.report import names
from mosaic_sae.report.content import latent_lines
from mosaic_sae.report.rules import tree_rules

MOST_LATENTS = 20
CLASSES_AT_ONCE = 3


def latents_panel(point: Mapping[str, Any], evidence: Mapping[str, Any] | None, address: Address) -> Component | None:
    """Latents by the class they speak for; None for a point without weights on latents.

    Args:
        point: content of its ``point.json``.
        evidence: what its latents fire on.
        address: of the page; ``class`` chooses the class when there are more than ``CLASSES_AT_ONCE``.
    """
    lines = latent_lines(point, evidence, MOST_LATENTS)
    if not lines:
        return None
    classes = list(lines)
    store = evidence["store"] if evidence else ""
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
        shown = picked(address, "class", classes)
        chooser = choices(address, "class", "Class", [(name, visible(name, 60)) for name in classes], shown)
        classes = [shown]
    columns = []
    for number, name in enumerate(classes):
        details = [
            latent_details(
                line.latent,
                line.share,
                names.signed(line.weight),
                line.card,
                str(number),
                line.weight < 0,
                is_open=place == 0,
                page=latent_address(store, line.latent, address.run_id),
            )
            for place, line in enumerate(lines[name])
        ]
        columns.append(
            html.Div([
                html.H3(["For ", said(name, 80)]),
                *(details or [html.P("No latent among the strongest speaks for this class.", className="muted")]),
            ])
        )
    return panel("Latents that decide", html.P(parts, className="muted"), chooser, html.Div(columns, className="columns"), id="latents")


def tree_panel(point: Mapping[str, Any], evidence: Mapping[str, Any] | None, address: Address) -> Component | None:
    """The tree drawn and as nested rules, and the latents it asks about; None for a point without a tree."""
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
    lead = html.P("Bars show the classes among the training examples that arrive at a node.", className="muted")
    key = class_key(point["classes"])
    as_rules = html.Details([html.Summary("The same as rules that fold"), tree_view(rules)])
    below = [html.H3("Latents it asks about"), html.Div(cards, className="columns")] if cards else []
    return panel("The tree", lead, key, tree_drawing(rules, address), as_rules, *below, id="tree")
