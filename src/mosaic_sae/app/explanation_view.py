"""Why one example was classified as it was: shaded text, contributions, the path through a tree, and what changes without a latent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import HIDDEN, go, labelled, latent_address, panel, said, table
from mosaic_sae.app.page import Address
from mosaic_sae.explain.cards import summary, visible
from mosaic_sae.report import names

if TYPE_CHECKING:
    from mosaic_sae.explain.explanation import Explanation, LatentPart, Step

_ALL = ""
_MOST_OFF = 50
_STRONGEST = 3


def explanation_panels(
    found: Explanation, address: Address, store: str, run_id: str, labels: Mapping[int, str], picture: str | None
) -> list[Component | None]:
    """Lay out an explanation; ``about``, ``latent`` and ``off`` in the address choose the class, whose tokens, and what is switched off.

    Args:
        found: the explanation.
        address: of the page.
        store: fingerprint of the store of latents.
        run_id: the run.
        labels: names or labels of the latents.
        picture: the example's picture in small, as a data address.
    """
    off = switched_off(address, found.key["d_sae"])
    about = choices(address, "about", "Explained for", [(name, visible(name, 60)) for name in found.classes], found.about)
    image = html.Img(src=picture, alt="The example's picture", className="example-picture") if picture else None
    return [
        panel(
            f"Example {visible(found.id, 60)}",
            html.P(_headline(found)),
            html.Div([about], className="choices") if len(found.classes) > 2 else None,
            image,
            _text(found, address),
            id="explanation",
        ),
        _path(found),
        _contributions(found, address, (store, run_id), labels, off),
        _counterfactual(found, address, off),
    ]


def switched_off(address: Address, d_sae: int) -> list[int]:
    """Latents that an address switches off, in its order; what is none is left out."""
    parts = [part for part in address.query.get("off", "").split(",") if part.isascii() and part.isdigit() and len(part) < 10]
    return list(dict.fromkeys(int(part) for part in parts if int(part) < d_sae))[:_MOST_OFF]


def _headline(found: Explanation) -> list[Any]:
    right = ["right"] if found.predicted == found.label else ["wrong: it is ", html.Strong(said(found.label, 60))]
    learned = "" if found.in_test else " It is no test example: the classifier may have learned from it."
    chance = f" with probability {found.probabilities[found.predicted]:.3f}, which is "
    return ["Predicted ", html.Strong(said(found.predicted, 60)), chance, *right, ".", learned]


def _text(found: Explanation, address: Address) -> Component:
    """The text with each token shaded by what it carries: of all latents, or of the chosen one."""
    from mosaic_sae.explain.display import MOST_TOKENS, shown_from, signed

    listed = {str(part.latent): part for part in found.latents if part.tokens}
    chosen = picked(address, "latent", [_ALL, *listed])
    options = [(_ALL, "all latents"), *((latent, f"latent {latent}") for latent in listed)]
    carried = {place: token.contribution for place, token in enumerate(found.tokens)}
    if chosen:
        carried = dict(listed[chosen].tokens)
    largest = max(map(abs, carried.values()), default=0.0) or 1.0
    start = shown_from(found)
    parts: list[Any] = ["… "] if start else []
    for place, token in enumerate(found.tokens[start : start + MOST_TOKENS], start):
        value = carried.get(place, 0.0)
        # The root keeps weak tokens visible beside one strong one.
        percent = round(100 * math.sqrt(abs(value) / largest))
        if not token.counts:
            parts.append(html.Span(visible(token.piece), className="silent", title="does not count"))
        elif percent:
            side = "for" if value > 0 else "against"
            parts.append(html.Span(visible(token.piece), className=side, style={"--a": percent}, title=signed(value, 3)))
        else:
            parts.append(visible(token.piece))
    if start + MOST_TOKENS < len(found.tokens):
        parts.append(" …")
    towards = visible(found.about, 60)
    lead = f"Tokens that speak for {towards} are shaded; those that speak against it are underlined too."
    return html.Div([
        html.Div(choices(address, "latent", "Tokens of", options, chosen), className="choices"),
        html.Div(html.Span(parts, className="spoken", dir="auto"), className="mosaic-view"),
        html.P(lead, className="muted small"),
    ])


def _path(found: Explanation) -> Component | None:
    if not found.path:
        return None
    lead = html.P("Shares are of the training examples that arrive at a question, classes weighted equally.", className="muted")
    items = [html.Li(_step(step, found.about), className="small" if step.latent is None else "") for step in found.path]
    return panel("The way through the tree", lead, html.Div(html.Ol(items), className="way"), id="path")


def _step(step: Step, about: str) -> list[Any]:
    share = [f"{100 * step.shares[about]:.0f} % ", said(about, 60), f" among {step.n:,} training examples"]
    if step.latent is None:
        return [html.Strong("Decision: "), *share, "."]
    value = f" (it is {step.value:.4g})" if step.value is not None else ""
    return [*share, ". ", step.question, " ", html.Strong(step.answer), value, ". ", html.Span(said(step.words, 160), className="muted")]


def _contributions(
    found: Explanation, address: Address, where: tuple[str, str], labels: Mapping[int, str], off: Sequence[int]
) -> Component:
    from mosaic_sae.explain.display import signed

    is_logistic = found.kind == "logistic"
    unit = "logit" if is_logistic else "share"
    largest = max((abs(part.contribution) for part in found.latents), default=0.0) or 1.0
    rows = [_row(part, largest, found.about, address, where, labels.get(part.latent), off) for part in found.latents]
    blank = ["", "", "", ""]
    if found.others["n"]:
        rows.append([f"{int(found.others['n']):,} more latents", "", "", signed(found.others["contribution"], 3), *blank[:3]])
    start = "Bias" if is_logistic else "Share at the root"
    rows.append([start, "", "", signed(found.bias, 3), *blank[:3]])
    total = html.Td(html.Strong(signed(found.decision, 3)), className="num")
    rows.append([html.Span([f"Sum: {unit} of ", said(found.about, 60)]), "", "", total, *blank[:3]])
    head = [
        *[("Latent", False), ("Value", True), ("", False), ("Adds", True), ("What it fires on", False)],
        *[(f"P({visible(found.about, 20)}) without it", True), ("Switch", False)],
    ]
    caption = f"+ speaks for {visible(found.about, 60)}, − against it; all contributions and the {start.lower()} sum to the {unit}"
    silent = html.P("No latent that the classifier uses fires here; the bias alone decides.") if not found.latents else None
    return panel("What adds to the decision", silent, table(caption, head, rows, "parts"), id="contributions")


def _row(
    part: LatentPart, largest: float, about: str, address: Address, where: tuple[str, str], label: str | None, off: Sequence[int]
) -> list[Any]:
    from mosaic_sae.explain.display import signed

    store, run_id = where
    # Latents that no point lists have no saved card, but a label in the run's table.
    words = f"label: {label}" if label and part.words == summary(None) else part.words
    negative = " negative" if part.contribution < 0 else ""
    width = round(100 * abs(part.contribution) / largest)
    bar = html.Span(html.I(style={"--a": width}), className=f"signed{negative}", **HIDDEN)
    is_off = part.latent in off
    rest = [latent for latent in off if latent != part.latent] if is_off else [*off, part.latent]
    text = "✕ switched off" if is_off else "switch off"
    action = f"{text}: latent {part.latent}"
    href = address.link(off=",".join(map(str, rest)) or None)
    return [
        go(f"{part.latent}", latent_address(store, part.latent, run_id), label=f"Latent {part.latent}"),
        f"{part.value:.3g}",
        html.Td(html.Span(bar, className="mosaic-view")),
        signed(part.contribution, 3),
        html.Td(said(words, 140), className="small"),
        f"{part.without[about]:.3f}",
        html.Td(go(text, href, "true" if is_off else None, stays=True, class_name="chip", label=action)),
    ]


def _counterfactual(found: Explanation, address: Address, off: Sequence[int]) -> Component:
    """Probabilities with latents at 0, as the classifier itself gives them."""
    lead = html.P(
        "These features are set to 0 and the classifier decides again. It is its answer to other features, not what the language model"
        " would do without these latents.",
        className="muted",
    )
    strongest = ",".join(str(part.latent) for part in found.latents[:_STRONGEST])
    offer = go(f"Switch off the {_STRONGEST} strongest", address.link(off=strongest), stays=True, class_name="chip") if strongest else None
    reset = go("Switch all on", address.link(off=None), stays=True, class_name="chip") if off else None
    links = html.Nav([offer, reset], className="chips", **labelled("Switches"))
    if not off:
        return panel("Without some latents", lead, html.P("Nothing is switched off; use the switches above."), links, id="without")
    without = found.without(off)
    decided = max(without, key=lambda name: without[name])
    said_off = f"Latent{'s' if len(off) > 1 else ''} {', '.join(map(str, off))} switched off: "
    change = ["still "] if decided == found.predicted else ["now "]
    words = html.P([said_off, *change, html.Strong(said(decided, 60)), f", with probability {without[decided]:.3f}."], role="status")
    return panel("Without some latents", lead, words, links, _probabilities(found.probabilities, without), id="without")


def _probabilities(before: Mapping[str, float], after: Mapping[str, float]) -> Component:
    rows = []
    for name, value in before.items():
        change = names.signed(after[name] - value)
        rows.append([said(name, 60), f"{value:.3f}", f"{after[name]:.3f}", change])
    head = [("Class", False), ("Probability", True), ("Without them", True), ("Change", True)]
    return table("Probability of each class with and without them", head, rows)
