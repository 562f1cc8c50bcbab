"""What the probabilities of a point are worth: ROC, precision and recall, calibration, one class against the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import panel, table
from mosaic_sae.app.figures import graph, precision_recall_figure, reliability_figure, roc_figure
from mosaic_sae.app.page import Address
from mosaic_sae.explain.cards import visible
from mosaic_sae.probes import curves
from mosaic_sae.report import names

_HEIGHT = 300
_BINS_HEAD = [("Probability", False), ("Test n", True), ("Mean predicted", True), ("Observed", True), ("95 % interval", True)]


def probability_panel(predictions: pd.DataFrame | None, classes: Sequence[str], address: Address) -> Component | None:
    """Curves of one class; None where no probabilities were kept, words where the test part has one class only.

    Args:
        predictions: the point's test rows.
        classes: the point's classes; with two the second is shown, for it is what positive weights speak for.
        address: of the page; ``class`` chooses the class.
    """
    known = [name for name in classes if predictions is not None and f"p_{name}" in predictions]
    if predictions is None or not known:
        return None
    shown = picked(address, "class", known, classes[1] if len(classes) == 2 else None)
    positive = (predictions["label"] == shown).to_numpy(dtype=bool)
    chooser = choices(address, "class", "Class", [(name, visible(name, 60)) for name in known], shown)
    if positive.all() or not positive.any():
        none = html.P(f"All or none of the test examples are of the class {visible(shown, 60)}: there is nothing to separate.")
        return panel("Probabilities", chooser, none)
    probabilities = predictions[f"p_{shown}"].to_numpy(dtype=float)
    roc, recall = curves.roc(positive, probabilities), curves.precision_recall(positive, probabilities)
    found = curves.calibration(positive, probabilities)
    name, share = visible(shown, 60), float(positive.mean())
    figures = [
        graph(roc_figure(roc), f"ROC of {name}: area {names.number(roc.area)}; guessing 0.500.", _HEIGHT),
        graph(
            precision_recall_figure(recall, share),
            f"Precision by recall: average precision {names.number(recall.area)}; guessing {names.number(share)}.",
            _HEIGHT,
        ),
        graph(
            reliability_figure(found),
            f"Calibration: expected error {names.number(found.error)}, Brier score {names.number(found.brier)}."
            " On the diagonal, a probability is the share that comes true.",
            _HEIGHT,
        ),
    ]
    lead = html.P(
        f"{name} against the other classes, on {len(positive):,} test examples, {int(positive.sum()):,} of them {name}.", className="muted"
    )
    return panel("Probabilities", lead, chooser, html.Div(figures, className="figures"), _bins(found))


def _bins(found: curves.Calibration) -> Component:
    rows: list[list[Any]] = [
        [
            f"{one.low:.1f} to {one.high:.1f}",
            f"{one.n:,}",
            names.number(one.predicted),
            names.number(one.observed),
            names.interval(one.observed_low, one.observed_high) or "–",
        ]
        for one in found.bins
    ]
    caption = "Share of the class among examples by predicted probability; Wilson intervals"
    return html.Details([html.Summary("Calibration in numbers"), table(caption, _BINS_HEAD, rows)])
