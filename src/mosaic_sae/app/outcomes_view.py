"""What came out for each dataset and split: the verdict, and the chosen configurations with their intervals."""

from __future__ import annotations

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.components import note, panel, pill, point_link, said, table
from mosaic_sae.app.data import Run
from mosaic_sae.app.intervals import interval_table
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables
from mosaic_sae.report.verdict import OUTCOMES, Verdict, verdict

MOST_CARDS = 12
_PILLS = {"sae": "accent", "baseline": "warn", "close": "", "none": ""}


def outcomes(frame: pd.DataFrame, run: Run) -> Component:
    """Cards, or one table when there are more than ``MOST_CARDS`` datasets and splits."""
    found = tables.sections(frame)
    lead = html.P(
        "Settings were chosen by cross-validation inside the training part. Scores: macro F1 on the test part, 95 % bootstrap intervals.",
        className="muted",
    )
    if len(found) > MOST_CARDS:
        return panel("Best of each dataset", lead, _outcome_table(frame, run, found))
    cards = [_card(frame, run, dataset, split) for dataset, split in found]
    return html.Section([html.H2("Best of each dataset"), lead, html.Div(cards, className="cards")])


def _card(frame: pd.DataFrame, run: Run, dataset: str, split: str) -> Component:
    scores = tables.scores(frame, dataset, split)
    outcome = verdict(scores)
    heading = html.H3([said(dataset, 60), ", ", said(split, 40), " ", _outcome_pill(outcome)])
    warnings = [note(visible(warning), "warn") for warning in outcome.warnings]
    caption = f"CV-chosen configuration of each family, {visible(dataset, 40)}, {visible(split, 40)}"
    return html.Section([heading, html.P(visible(outcome.text)), *warnings, interval_table(scores, run.id, caption)], className="panel")


def _outcome_pill(outcome: Verdict) -> Component:
    return pill(OUTCOMES[outcome.outcome], _PILLS[outcome.outcome])


def _outcome_table(frame: pd.DataFrame, run: Run, found: list[tuple[str, str]]) -> Component:
    """One line for each dataset and split, for runs with too many of them to draw each."""
    rows = []
    for dataset, split in found:
        scores = tables.scores(frame, dataset, split)
        outcome = verdict(scores)
        pair = [html.Span(["–"]) if row is None else _linked_score(row, run) for row in (outcome.probe, outcome.rival)]
        rows.append([
            html.Span([said(dataset, 60), ", ", said(split, 40)]),
            _outcome_pill(outcome),
            *pair,
            str(len(outcome.warnings) or ""),
        ])
    head = [("Dataset, split", False), ("Outcome", False), ("SAE probe", False), ("Strongest baseline", False), ("Warnings", True)]
    return table(f"{len(found)} datasets and splits; open a score for its point", head, rows)


def _linked_score(row: pd.Series, run: Run) -> Component:
    score = f"{names.number(row['macro_f1'])} {names.interval(row['macro_f1_low'], row['macro_f1_high'])}"
    return html.Span([point_link(row["fingerprint"], run.id, visible(str(row["label"]), 40)), f" {score}"])
