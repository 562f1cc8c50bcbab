"""One point: how good it is, where it errs, which latents or rules decide, and what they fire on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from mosaic_sae.app.components import empty_state, facts, go, json_details, note, panel, pill, point_link, said, table
from mosaic_sae.app.data import FoundPoint, Library
from mosaic_sae.app.deciders_view import latents_panel, tree_panel
from mosaic_sae.app.evidence_view import POINT_ID
from mosaic_sae.app.intervals import interval_table
from mosaic_sae.app.page import Address, Page
from mosaic_sae.app.probability_view import probability_panel
from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names, tables
from mosaic_sae.report.facts import commit

_ROLES = {"sae": "SAE probe", "baseline": "Baseline", "control": "Control"}
MATRIX_CLASSES = 20
_MOST_MISTAKES = 30


def layout(library: Library, address: Address) -> Component:
    """Lay out the page of the point whose fingerprint is in the path; ``class`` and ``node`` choose what of it is looked at."""
    fingerprint = address.rest[0]
    found = library.find_point(fingerprint, address.run_id)
    if found is None:
        return html.Div([
            empty_state(
                "No such point",
                f"No run here has a point with the fingerprint “{visible(fingerprint, 40)}”.",
                "Its folder may have been moved, or the address is not complete.",
            ),
            html.P(go("All points", "/")),
        ])
    point = found.point
    evidence = library.evidence(found.base, point)
    at = {"fingerprint": fingerprint, "run": found.run.id if found.run else None}
    parts = [
        dcc.Store(id=POINT_ID, data=at),
        _head(found),
        *(note(said(text, 400)) for text in point.get("notes") or []),
        _metrics(point),
        _compared(library, found),
        html.Div([_per_class(point), _confusion(point)], className="columns"),
        probability_panel(library.predictions(found.base, found.folder), point["classes"], address),
        latents_panel(point, evidence, address),
        tree_panel(point, evidence, address),
        _choice(point),
        _provenance(point),
    ]
    return html.Div(parts)


def _head(found: FoundPoint) -> Component:
    key = found.point["key"]
    run = found.run
    query = {"run": run.id} if run else {}
    home = Address(query=query).link()
    chips = [(name, key[name]) for name in ("model", "layer", "site", "sae", "d_sae") if names.present(key.get(name))]
    settings = f", {pooling}" if (pooling := names.pooling_in_words(key)) else ""
    chosen: list[Any] = [" ", pill("★ CV choice", "accent")] if found.row and found.row["chosen"] else []
    role = names.role_of(key["representation"])
    parts: list[Any] = [
        html.Nav([go("← All points", home), " of ", said(run.name, 60) if run else "this folder"], className="muted small"),
        html.H1([names.method_name(key["representation"], key["classifier"]), settings, *chosen]),
        html.P([
            _ROLES[role],
            " on ",
            html.Strong(said(key["dataset"], 80)),
            ", split ",
            html.Strong(said(key["split"], 40)),
            ". ",
            go("Its test examples", Address("examples", query=query | {"point": found.point["fingerprint"]}).link()),
        ]),
        html.Ul(
            [html.Li([html.Span(f"{name} ", className="count"), said(value, 80)], className="chip") for name, value in chips],
            className="chips",
        ),
    ]
    if run is None:
        parts.append(note("No finished run lists this point yet: its run is still going, or was stopped."))
    return html.Header(parts, className="page-head")


def _metrics(point: Mapping[str, Any]) -> Component:
    test, cv = point["test"], point.get("cv") or {}
    spread = f"± {names.number(cv['macro_f1_sd'])}" if names.present(cv.get("macro_f1_sd")) else ""
    tiles = [
        ("Macro F1, test", names.number(test["macro_f1"]), names.interval(test.get("macro_f1_low"), test.get("macro_f1_high"))),
        ("Macro F1, CV", names.number(cv.get("macro_f1_mean")), spread),
        ("Accuracy", names.number(test["accuracy"]), f"{test['n']:,} test examples"),
        ("Weighted F1", names.number(test["weighted_f1"]), ""),
        ("ROC AUC", names.number(test.get("roc_auc")), ""),
        _latents_used(point),
    ]
    items = [
        html.Div([html.Dt(title), html.Dd([html.Strong(value), html.Span(extra, className="muted small")])])
        for title, value, extra in tiles
    ]
    return html.Dl(items, className="tiles")


def _latents_used(point: Mapping[str, Any]) -> tuple[str, str, str]:
    if not names.present(point["key"].get("sae")):
        return "Latents used", "–", "not a probe on latents"
    return "Latents used", names.whole(point.get("n_nonzero")), f"of {names.whole(point['key'].get('d_sae'))}"


def _compared(library: Library, found: FoundPoint) -> Component | None:
    frame = library.results(found.run) if found.run else None
    if frame is None or found.row is None or found.run is None:
        return None
    key = found.point["key"]
    scores = tables.scores(frame, found.row["dataset"], found.row["split"])
    fingerprint = found.row["fingerprint"]
    if found.row["chosen"]:
        text = html.P("This point, marked, beside the CV-chosen configuration of the other families.", className="muted")
    else:
        family = scores[(scores["representation"] == key["representation"]) & (scores["classifier"] == key["classifier"])]
        link = point_link(family.iloc[0]["fingerprint"], found.run.id, "another one was") if len(family) else "another one was"
        text = html.P(
            ["Cross-validation did not choose this configuration: ", link, ". Here is what it chose for each family."], className="muted"
        )
    return panel("In comparison", text, interval_table(scores, found.run.id, "Test macro F1 on the same rows", fingerprint))


def _per_class(point: Mapping[str, Any]) -> Component:
    rows = [
        [said(entry["class"], 80), *(names.number(entry[name]) for name in ("precision", "recall", "f1")), names.whole(entry["support"])]
        for entry in point["test"]["per_class"]
    ]
    head = [("Class", False), ("Precision", True), ("Recall", True), ("F1", True), ("Test n", True)]
    return panel("Per class", table("Scores of each class on the test part", head, rows))


def _confusion(point: Mapping[str, Any]) -> Component:
    classes, counts = point["classes"], point["test"]["confusion"]
    if len(classes) > MATRIX_CLASSES:
        return _mistakes(classes, counts)
    rows = []
    for label, line in zip(classes, counts, strict=True):
        total = sum(line)
        cells = []
        for predicted, count in zip(classes, line, strict=True):
            share = count / total if total else 0.0
            content = [html.Span(f"{count:,}", className="main"), html.Span(names.percent(share, 0), className="sub")]
            cells.append(html.Td(content, className="num right" if predicted == label else "num", style={"--a": round(100 * share)}))
        rows.append([said(label, 60), *cells])
    head = [("Actual ↓ predicted →", False), *((visible(name, 40), True) for name in classes)]
    caption = "Test examples; percentages are of each row. The diagonal, framed, is right."
    return panel("Confusion matrix", table(caption, head, rows, "heat confusion"))


def _mistakes(classes: list[str], counts: list[list[int]]) -> Component:
    """The most frequent confusions, for more classes than a matrix can show."""
    found = [
        (count, label, predicted)
        for label, line in zip(classes, counts, strict=True)
        for predicted, count in zip(classes, line, strict=True)
        if count and predicted != label
    ]
    size = {label: sum(line) for label, line in zip(classes, counts, strict=True)}
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    rows = [
        [said(label, 60), said(predicted, 60), f"{count:,}", names.percent(count / size[label], 0)]
        for count, label, predicted in found[:_MOST_MISTAKES]
    ]
    head = [("Actual", False), ("Predicted", False), ("Test n", True), ("Of its class", True)]
    caption = f"The most frequent of {len(found):,} kinds of mistakes among {len(classes):,} classes"
    return panel("Confusions", table(caption, head, rows))


def _choice(point: Mapping[str, Any]) -> Component:
    parts: list[Any] = [facts((name, said(value)) for name, value in (point.get("hyperparameters") or {}).items())]
    grid = point.get("grid") or []
    if len(grid) > 1:
        rows = []
        for entry in sorted(grid, key=lambda entry: -entry["macro_f1_mean"]):
            settings = ", ".join(f"{name} {value}" for name, value in entry["params"].items())
            mark: list[Any] = [" ", pill("chosen", "accent")] if entry["params"] == point["hyperparameters"] else []
            rows.append([
                html.Span([said(settings), *mark]),
                names.number(entry["macro_f1_mean"]),
                f"± {names.number(entry['macro_f1_sd'])}",
            ])
        head = [("Settings", False), ("CV macro F1", True), ("sd over folds", True)]
        parts.append(table("What cross-validation inside the training part compared", head, rows))
    return panel("Classifier settings", *parts)


def _provenance(point: Mapping[str, Any]) -> Component:
    provenance = point.get("provenance") or {}
    rows = provenance.get("rows") or {}
    pairs = [
        ("Fingerprint", html.Code(point["fingerprint"])),
        ("Train / test", f"{names.whole(point.get('n_train'))} / {names.whole(point.get('n_test'))} examples"),
        ("Rows", ", ".join(f"{names.whole(count)} {name}" for name, count in rows.items()) or "–"),
        ("Tokens", names.whole(provenance.get("n_tokens"))),
        ("Seed", str(provenance.get("seed", "–"))),
        ("Code", html.Code(commit(provenance.get("git")))),
    ]
    return panel("Provenance", facts(pairs), json_details("Everything recorded", provenance))


PAGE = Page("point", "Point", layout, n_parts=1)
