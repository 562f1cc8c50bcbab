"""Latents that decide in one domain, followed through the others: how often they fire there, and the text in which each is strongest."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import labelled, panel, pill, said, table
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.evidence_view import POINT_ID, latent_details
from mosaic_sae.app.page import Address
from mosaic_sae.explain.cards import card_of, visible
from mosaic_sae.report import names, tables
from mosaic_sae.transfer.shift import KINDS

_ALL = "all"
_LEAD = (
    "The strongest latents of the CV-chosen logistic SAE probe, followed through the test rows of all domains. A latent marks a class"
    " in a domain (bold) when it is active in at least 5 % of the class's rows there and at least twice as often as in the others."
    " Shared: it does so in its own and in most other domains; specific: in its own only; unclear: not even in its own."
)


def shift_panel(library: Library, run: Run, shift: pd.DataFrame | None, train: str, address: Address) -> Component:
    """Latents of one training domain; ``label`` and ``kind`` in the address choose among them.

    Args:
        library: where the evidence is.
        run: the run.
        shift: its table of latent shifts for one split; None when it has none.
        train: the training domain.
        address: of the page.
    """
    title = f"Latents that carry over from {visible(train, 40)}"
    if shift is None or not len(part := shift[shift["train_domain"] == train]):
        return panel(title, html.P("No latents were followed: this run has no logistic SAE probe trained there."), id="latents")
    labels = sorted(set(part["label"]))
    label = picked(address, "label", labels)
    counts = part[part["label"] == label].drop_duplicates("latent")["kind"].value_counts()
    kinds = [(_ALL, "all"), *((kind, f"{kind} ({counts[kind]})") for kind in KINDS if kind in counts)]
    kind = picked(address, "kind", [name for name, _ in kinds])
    wanted = (part["label"] == label) & ((part["kind"] == kind) | (kind == _ALL))
    choosers = [
        choices(address, "label", "Class", [(name, visible(name, 40)) for name in labels], label),
        choices(address, "kind", "Kind", kinds, kind),
    ]
    shown = part[wanted]
    fingerprint = str(shown.iloc[0]["path"]).rsplit("-", 1)[-1]
    found = library.find_point(fingerprint, run.id)
    evidence = library.evidence(found.base, found.point) if found else None
    largest = part["weight"].abs().max() or 1.0
    latents = []
    for latent, rows in shown.groupby("latent", sort=False):
        weight = float(rows.iloc[0]["weight"])
        card = card_of(evidence, int(str(latent)))
        details = latent_details(int(str(latent)), abs(weight) / largest, names.signed(weight), card, negative=weight < 0)
        latents.append(html.Div([details, _texts(rows)]))
    return panel(
        title,
        dcc.Store(id=POINT_ID, data={"fingerprint": fingerprint, "run": run.id}),
        html.P(_LEAD, className="muted"),
        html.Div(choosers, className="choices"),
        _densities(shown, train),
        html.H3("What they fire on"),
        html.Div(latents, className="columns"),
        id="latents",
    )


def _densities(shown: pd.DataFrame, train: str) -> Component:
    domains = [train, *sorted(set(shown["domain"]) - {train})]
    rows = []
    for latent, part in shown.groupby("latent", sort=False):
        found = {row["domain"]: row for row in tables.records(part)}
        first = part.iloc[0]
        kind = pill(first["kind"], "accent" if first["kind"] == "shared" else "")
        rows.append([f"{latent}", html.Td(kind), names.signed(float(first["weight"])), *(_density(found.get(name)) for name in domains)])
    head = [("Latent", False), ("Kind", False), ("Weight", True), *((visible(name, 16), True) for name in domains)]
    return table("Active in the class / in the others, by domain; the training domain first", head, rows, "heat shift")


def _density(row: dict[str, Any] | None) -> Component:
    if row is None or not names.present(row["density_class"]):
        return html.Td("–")
    text = f"{names.percent(row['density_class'], 0)} / {names.percent(row['density_rest'], 0)}"
    here = (
        f"weight {names.signed(row['weight_here'])} in the domain's own probe"
        if names.present(row["weight_here"])
        else "no probe of its own"
    )
    content: Any = html.Strong(text) if row["marks_class"] else text
    return html.Td(content, className="num", style={"--a": round(100 * float(row["density_class"]))}, title=f"{row['n']:,} rows; {here}")


def _texts(rows: pd.DataFrame) -> Component:
    items = []
    for row in tables.records(rows.sort_values("domain")):
        if names.present(row["strongest_text"]):
            text = html.Span(visible(str(row["strongest_text"]), 200), className="text", dir="auto")
            items.append(html.Li([text, html.Span(said(row["domain"], 40), className="muted small")]))
    body = html.Ul(items, className="texts") if items else html.P("It is silent in the test rows.", className="muted")
    latent = int(rows.iloc[0]["latent"])
    return html.Details(
        [html.Summary(f"Strongest text of latent {latent} in each domain", className="small"), body],
        className="strongest",
        **labelled(f"Latent {latent}"),
    )
