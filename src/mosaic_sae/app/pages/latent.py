"""One latent: its name, tokens, texts, how often it fires and where, the points that use it, and those nearest to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.card_parts import name_line, share_bars, texts, token_chips, weight_of
from mosaic_sae.app.components import HIDDEN, empty_state, go, labelled, latent_address, note, panel, pill, point_link, said, table
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, results_of
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import Card, Histogram, Neighbour, Window, visible
from mosaic_sae.report import names, tables

_MOST_USES = 40
_QUARTERS = {1.0: "Strongest quarter of its examples", 0.75: "Third quarter", 0.5: "Second quarter", 0.25: "Weakest quarter"}


def layout(library: Library, address: Address) -> Component:
    """Lay out the page of the store and the latent in the path."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    store, number = address.rest
    cards = library.cards(run.base, store)
    if cards is None or not (number.isascii() and number.isdigit() and int(number[:10]) < cards["d_sae"]):
        return _unknown(run, number, cards)
    latent = int(number)
    try:
        card = library.card(run.base, cards, latent)
    except StoreError as error:
        title = f"Latent {latent} has no saved card"
        text = "The latents that points list have one; those of others are made from the stores, which are not there:"
        return html.Div([empty_state(title, text, visible(str(error))), _back(run, store)])
    labels = library.labels(run, store)
    return html.Div([
        _head(run, cards, latent, card),
        *([_tokens(card), _how_often(card), _texts(card)] if card["examples"] else [note("It fires nowhere in these texts.")]),
        _uses(library, run, store, latent),
        _nearest(card, labels, run, store),
    ])


def _unknown(run: Run, number: str, cards: Mapping[str, Any] | None) -> Component:
    if cards is None:
        text = "This run has no cards of the latents that the address names."
    else:
        text = f"There is no latent “{visible(number, 40)}”; those of {visible(cards['sae'], 80)} are 0 to {cards['d_sae'] - 1}."
    return html.Div([empty_state("No such latent", text), _back(run)])


def _back(run: Run, store: str | None = None) -> Component:
    query = {"run": run.id} | ({"store": store} if store else {})
    return html.Nav([go("← All latents", Address("latents", query=query).link()), " of ", said(run.name, 60)], className="muted small")


def _head(run: Run, cards: Mapping[str, Any], latent: int, card: Card) -> Component:
    label: Any = ["Automatic label, from its tokens: ", html.Strong(said(card["label"], 120))] if card["label"] else "It has no label."
    chips = [("dataset", cards["dataset"]), ("sae", cards["sae"]), ("d_sae", cards["d_sae"])]
    return html.Header(
        [
            _back(run, cards["store"]),
            html.H1(f"Latent {latent}"),
            name_line(card.get("name")),
            html.P(label),
            html.Ul(
                [html.Li([html.Span(f"{name} ", className="count"), said(value, 80)], className="chip") for name, value in chips],
                className="chips",
            ),
        ],
        className="page-head",
    )


def _tokens(card: Card) -> Component:
    lead = "By the activation to expect where the token occurs, so that neither “the” nor a word that occurs once comes first."
    return panel("Tokens it fires on most", html.P(lead, className="muted"), token_chips(card))


def _how_often(card: Card) -> Component:
    often = (
        f"In {names.percent(card['density_examples'])} of examples ({card['n_examples']:,}) and"
        f" {names.percent(card['density_tokens'], 2)} of tokens ({card['n_tokens']:,}); largest value {card['max']:.3g}."
    )
    columns = [html.Div([html.H3("By class"), share_bars("Share of each class's examples in which it fires", card["by_class"])])]
    if card["by_language"]:
        caption = "Share of each language's examples in which it fires"
        columns.append(html.Div([html.H3("By language"), share_bars(caption, card["by_language"])]))
    columns.append(html.Div([html.H3("Values on the tokens on which it fires"), _histogram(card["histogram"])]))
    return panel("How often", html.P(often, className="muted"), html.Div(columns, className="columns"))


def _histogram(found: Histogram) -> Component:
    """Bars of equal width from 0 to the largest value; heights are roots, so that a few strong firings can still be seen."""
    most, n = max(found["counts"]) or 1, len(found["counts"])
    bars = []
    for place, count in enumerate(found["counts"]):
        low, high = found["max"] * place / n, found["max"] * (place + 1) / n
        bars.append(html.I(style={"--a": round(100 * (count / most) ** 0.5)}, title=f"{count:,} tokens from {low:.3g} to {high:.3g}"))
    peak = found["counts"].index(max(found["counts"]))
    words = f"{n} bins from 0 to {found['max']:.3g}; most tokens, {most:,}, in bin {peak + 1}. Heights are square roots of counts."
    ends = html.Div([html.Span("0"), html.Span(f"{found['max']:.3g}")], className="ends", **HIDDEN)
    drawing = html.Div(bars, className="histogram", role="img", **labelled(words))
    return html.Div([drawing, ends, html.P(words, className="muted")], className="small")


def _texts(card: Card) -> Component:
    by_quarter: dict[float, list[Window]] = {}
    for window in card["random_examples"]:
        by_quarter.setdefault(window["quantile"][1], []).append(window)
    random: list[Any] = []
    for quarter, windows in by_quarter.items():
        random += [html.H4(_QUARTERS.get(quarter, f"Up to quantile {quarter:g}")), texts(windows, card["max"])]
    left = html.Div([html.H3("Strongest"), texts(card["examples"], card["max"])])
    lead = "Shades grow with the activation; the strongest token is underlined."
    right = html.Div([html.H3("At random, from strong to weak"), *random]) if random else None
    return panel("Texts it fires on", html.P(lead, className="muted"), html.Div([left, right], className="columns"), id="texts")


def _uses(library: Library, run: Run, store: str, latent: int) -> Component:
    uses = library.uses(run, store, latent)
    if not uses:
        return panel("Points that use it", html.P("No point of this run lists it: none needs it, or none needs it much."))
    results = results_of(library, run)
    problem = None if isinstance(results, pd.DataFrame) else results
    known = {row["fingerprint"]: row for row in tables.records(results)} if isinstance(results, pd.DataFrame) else {}
    rows = []
    for use in uses[:_MOST_USES]:
        mark: list[Any] = [" ", pill("★ CV choice", "accent")] if use["chosen"] else []
        link = point_link(use["fingerprint"], run.id, [said(use["dataset"], 60), ", ", said(use["split"], 40)])
        rows.append([
            html.Span([link, *mark]),
            use["classifier"],
            names.configuration(known.get(use["fingerprint"], {})),
            said(use["label"], 60),
            weight_of(use["classifier"], use["weight"]),
            f"{use['rank']:,}",
        ])
    head = [("Point", False), ("Classifier", False), ("Pooling", False), ("Speaks for", False), ("Weight", True), ("Rank for it", True)]
    shown = f"The first {_MOST_USES} of {len(uses):,}: " if len(uses) > _MOST_USES else ""
    caption = f"{shown}CV-chosen ones first. Logistic: weight of the scaled value; tree: share of its gain."
    return panel("Points that use it", problem, table(caption, head, rows), id="uses")


def _nearest(card: Card, labels: Mapping[int, str], run: Run, store: str) -> Component:
    if card["nearest"] is None:
        return panel("Nearest latents", html.P("They were computed for the latents that points list, of which this is none."))
    columns = []
    near = [
        ("By decoder direction", "Cosine of what they write.", card["nearest"]["decoder"]),
        ("By co-activation", "Tokens on which both fire, among those on which either does.", card["nearest"]["co_activation"]),
    ]
    for title, words, found in near:
        items = [_neighbour(one, labels, run, store) for one in found]
        rest = html.Ul(items, className="near") if items else html.P("None.")
        columns.append(html.Div([html.H3(title), html.P(words, className="muted small"), rest]))
    return panel("Nearest latents", html.Div(columns, className="columns"), id="nearest")


def _neighbour(one: Neighbour, labels: Mapping[int, str], run: Run, store: str) -> Component:
    text = labels.get(one["latent"])
    label: list[Any] = [" ", said(text, 80)] if text else []
    link = go(f"Latent {one['latent']}", latent_address(store, one["latent"], run.id))
    return html.Li([html.Span(f"{one['similarity']:.2f}", className="num count"), " ", link, html.Span(label, className="muted small")])


PAGE = Page("latent", "Latent", layout, n_parts=2)
