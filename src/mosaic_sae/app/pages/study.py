"""What the choices of a study do to the score: pooling and threshold, model, layer and width."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from mosaic_sae.app.choices import choices, picked
from mosaic_sae.app.components import note, panel, pill, point_link, said, table
from mosaic_sae.app.data import Library, Run
from mosaic_sae.app.figures import graph, lines_figure
from mosaic_sae.app.intervals import Interval, interval_table, intervals
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.run_states import asked_run, problems, results_of
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables
from mosaic_sae.report.figures import plain
from mosaic_sae.report.verdict import OUTCOMES, verdict

READ = ["model", "layer", "site", "sae", "d_sae"]
_NONE = "-"


def layout(library: Library, address: Address) -> Component:
    """Lay out the page for one dataset and split of a run."""
    run = asked_run(library, address)
    if not isinstance(run, Run):
        return run
    parts: list[Any] = [html.Header(html.H1("Study"), className="page-head"), *problems(run)]
    frame = results_of(library, run)
    if not isinstance(frame, pd.DataFrame):
        return html.Div([*parts, frame])
    datasets = list(dict.fromkeys(frame["dataset"]))
    dataset = picked(address, "dataset", datasets)
    splits = list(dict.fromkeys(frame[frame["dataset"] == dataset]["split"]))
    split = picked(address, "split", splits)
    section = frame[(frame["dataset"] == dataset) & (frame["split"] == split)]
    choosers = [
        choices(address, "dataset", "Dataset", [(name, visible(name, 60)) for name in datasets], dataset),
        choices(address, "split", "Split", [(name, visible(name, 40)) for name in splits], split),
    ]
    parts += [html.Div(choosers, className="choices"), _verdict(frame, dataset, split, run)]
    if (section["representation"] == "sae").any():
        parts += [_pooling(section, address, run), _readings(section, address, run)]
    else:
        parts.append(
            panel("No SAE points", html.P("No SAE features were classified here, so there is nothing to compare by pooling or layer."))
        )
    return html.Div(parts)


def _verdict(frame: pd.DataFrame, dataset: str, split: str, run: Run) -> Component:
    scores = tables.scores(frame, dataset, split)
    outcome = verdict(scores)
    title = html.H2([
        said(dataset, 80),
        ", ",
        said(split, 40),
        " ",
        pill(OUTCOMES[outcome.outcome], "accent" if outcome.outcome == "sae" else ""),
    ])
    warnings = [note(visible(warning), "warn") for warning in outcome.warnings]
    body = interval_table(scores, run.id, "CV-chosen configuration of each family")
    return html.Section([title, html.P(visible(outcome.text)), *warnings, body], className="panel")


def _pooling(section: pd.DataFrame, address: Address, run: Run) -> Component:
    """Pooling by threshold for one representation, classifier and reading: scores of cross-validation and test in each cell."""
    features = section[section["sae"].notna()]
    methods = {
        f"{row[0]}.{row[1]}": names.method_name(*row)
        for row in features[["representation", "classifier"]].drop_duplicates().itertuples(index=False, name=None)
    }
    method = picked(address, "method", list(methods), "sae.logistic")
    part = features[features["representation"] + "." + features["classifier"] == method]
    readings = _named_readings(part)
    best = part.sort_values(["chosen", "cv_macro_f1", "fingerprint"], ascending=[False, False, True]).iloc[0]
    reading = picked(address, "reading", list(readings), _reading(best))
    part = part[[_reading(row) == reading for row in tables.records(part)]]
    thresholds = sorted(set(part["binarise"].dropna()))
    columns: list[float | None] = [*([None] if part["binarise"].isna().any() else []), *thresholds]
    low, high = part["cv_macro_f1"].min(), part["cv_macro_f1"].max()
    cells = {(row["pooling"], row["binarise"] if names.present(row["binarise"]) else None): row for row in tables.records(part)}
    rows = []
    for pooling in dict.fromkeys(part["pooling"]):
        found = [cells.get((pooling, threshold)) for threshold in columns]
        rows.append([said(pooling, 40), *(_cell(row, low, high, run) for row in found)])
    head = [("Pooling", False), *((names.binarise_name(threshold), True) for threshold in columns)]
    choosers = [
        choices(address, "method", "Features", list(methods.items()), method),
        choices(address, "reading", "Read from", list(readings.items()), reading),
    ]
    lead = html.P(
        "First line: cross-validated macro F1 with its standard deviation over folds, by which cells are shaded and one is chosen (framed)."
        " Second line: macro F1 on the test part with its 95 % interval.",
        className="muted",
    )
    caption = f"{methods[method]} by pooling (down) and threshold (across)"
    return panel("Pooling and threshold", html.Div(choosers, className="choices"), lead, table(caption, head, rows, "heat study"))


def _cell(row: dict[str, Any] | None, low: float, high: float, run: Run) -> Component:
    if row is None:
        return html.Td("–")
    cv, spread = row["cv_macro_f1"], row["cv_macro_f1_sd"]
    share = (cv - low) / (high - low) if high > low else 1.0
    first = f"CV {names.number(cv)}" + (f" ± {names.number(spread)}" if names.present(spread) else "")
    test = f"test {names.number(row['macro_f1'])} {names.interval(row['macro_f1_low'], row['macro_f1_high'])}"
    content = [point_link(row["fingerprint"], run.id, html.Span(first, className="main")), html.Span(test, className="sub")]
    return html.Td(
        content, className="num chosen" if row["chosen"] else "num", style={"--a": round(100 * share) if names.present(share) else 0}
    )


def _readings(section: pd.DataFrame, address: Address, run: Run) -> Component:
    """The CV-best point of each model, layer and width, drawn over layers where some model has several."""
    kinds = {
        f"{row[0]}.{row[1]}": names.method_name(*row)
        for row in section[section["layer"].notna()][["representation", "classifier"]].drop_duplicates().itertuples(index=False, name=None)
    }
    kind = picked(address, "by", list(kinds), "sae.logistic")
    part = section[(section["representation"] + "." + section["classifier"] == kind) & section["layer"].notna()]
    best = tables.mark_chosen(part, READ)
    best = best[best["chosen"]].sort_values(["model", "sae", "d_sae", "layer"])
    records, named = tables.records(best), _named_readings(best)
    lines = []
    for row in records:
        config = names.configuration(row)
        label = point_link(row["fingerprint"], run.id, named[_reading(row)])
        role = names.role_of(row["representation"])
        lines.append(
            Interval(
                label, row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"], role, f"{config}, CV {names.number(row['cv_macro_f1'])}"
            )
        )
    chooser = choices(address, "by", "Features", list(kinds.items()), kind)
    lead = "Of each reading the configuration with the best cross-validated score; test macro F1 with its 95 % interval."
    body = intervals(f"{kinds[kind]} by model, layer and width", ("Read from", "Macro F1 [95 %]"), lines)
    figure = _over_layers(records)
    if figure is None:
        lead += " No model was read at more than one layer, so there is no curve."
    return panel("Models, layers and widths", chooser, html.P(lead, className="muted"), figure, html.Div(body, className="wide-names"))


def _over_layers(records: list[dict[str, Any]]) -> Component | None:
    series: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in records:
        width = f", {names.whole(row['d_sae'])} latents" if names.present(row["d_sae"]) else ""
        name = f"{str(row['model']).rsplit('/', 1)[-1]}{width}"
        series.setdefault(plain(name, 60), []).append((row["layer"], row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"]))
    series = {name: sorted(points) for name, points in series.items()}
    if all(len(points) < 2 for points in series.values()):
        return None
    return graph(
        lines_figure(list(series.items()), "layer", "macro F1 on the test part"), "Macro F1 over layers, with 95 % intervals.", 400
    )


def _reading(row: Any) -> str:
    """What tells one reading from another, as one word of an address."""
    return "~".join(
        _NONE if not names.present(row[name]) else f"{row[name]:g}" if isinstance(row[name], float) else str(row[name]) for name in READ
    )


def _named_readings(part: pd.DataFrame) -> dict[str, str]:
    """Readings by their word in an address, named by model and layer, and by more where these do not tell them apart."""
    distinct = part.drop_duplicates(READ)
    named = {"model", "layer"}
    for name in ("sae", "d_sae", "site"):
        if distinct.duplicated(sorted(named)).any():
            named.add(name)
    found = {}
    for row in tables.records(distinct):
        words = [
            names.where(row, {"model", "layer"}),
            *(str(row[name]) for name in ("site", "sae") if name in named and names.present(row[name])),
        ]
        words += [f"{names.whole(row['d_sae'])} latents"] if "d_sae" in named and names.present(row["d_sae"]) else []
        found[_reading(row)] = visible(", ".join(filter(None, words)), 80)
    return found


PAGE = Page("study", "Study", layout)
