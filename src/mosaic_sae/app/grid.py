"""The grid of points: every key and score of a run, sortable and filterable in the browser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import dash_ag_grid as dag
import pandas as pd

from mosaic_sae.explain.cards import visible
from mosaic_sae.report import names

GRID_ID = "points-grid"
CHOSEN = "chosen"
_SCORE = {"function": "params.value == null ? '–' : d3.format('.3f')(params.value)"}
_COUNT = {"function": "params.value == null ? '–' : d3.format(',')(params.value)"}
_TEXT = {"function": "params.value == null || params.value === '' ? '–' : params.value"}

# (field, title, kind, width)
_COLUMNS = [
    ("method", "Features (classifier)", "link", 215),
    ("dataset", "Dataset", "text", 210),
    ("split", "Split", "text", 110),
    ("macro_f1", "Macro F1", "score", 115),
    ("macro_f1_low", "Low 95 %", "score", 110),
    ("macro_f1_high", "High 95 %", "score", 112),
    ("cv_macro_f1", "CV macro F1", "score", 130),
    ("chosen", "CV choice", "text", 115),
    ("cv_macro_f1_sd", "CV sd", "score", 95),
    ("pooling", "Pooling", "text", 140),
    ("binarise", "Binarise", "number", 110),
    ("classifier", "Classifier", "text", 115),
    ("representation", "Representation", "text", 150),
    ("accuracy", "Accuracy", "score", 112),
    ("weighted_f1", "Weighted F1", "score", 128),
    ("roc_auc", "ROC AUC", "score", 110),
    ("latents_used", "Latents", "count", 105),
    ("model", "Model", "text", 240),
    ("layer", "Layer", "count", 90),
    ("site", "Site", "text", 115),
    ("sae", "SAE", "text", 225),
    ("d_sae", "d_sae", "count", 95),
    ("n_train", "Train n", "count", 105),
    ("n_test", "Test n", "count", 100),
    ("hyperparameters", "Settings", "text", 230),
    ("vs_sae", "Minus SAE probe", "score", 150),
    ("vs_sae_low", "… low 95 %", "score", 115),
    ("vs_sae_high", "… high 95 %", "score", 118),
    ("fingerprint", "Fingerprint", "text", 165),
]

_THEME = (
    "themeQuartz.withParams({backgroundColor: 'var(--surface)', foregroundColor: 'var(--text)', accentColor: 'var(--accent)',"
    " borderColor: 'var(--line)', headerBackgroundColor: 'var(--sunken)', headerTextColor: 'var(--text)', headerFontWeight: 600,"
    " rowHoverColor: 'var(--accent-soft)', oddRowBackgroundColor: 'var(--surface)', fontFamily: 'inherit', fontSize: 14, spacing: 6,"
    " wrapperBorderRadius: 8, browserColorScheme: 'inherit'})"
)


def points_grid(frame: pd.DataFrame, run_id: str, query: Mapping[str, str]) -> dag.AgGrid:
    """Make the grid of a run's points.

    Args:
        frame: table of ``tables.read_results``.
        run_id: run that its links lead to.
        query: state that the address asks for: ``q`` (search), ``filter`` (AG Grid's filter model), ``sort`` ("macro_f1.desc,layer.asc")
            and ``points`` (fingerprints that are ticked); what is not understood is left out.
    """
    columns = [_column(*column, run_id=run_id) for column in _COLUMNS]
    known = {column["field"]: column for column in columns}
    for place, part in enumerate(query.get("sort", "").split(",")):
        name, _, direction = part.partition(".")
        if name in known and direction in {"asc", "desc"}:
            known[name].update(sort=direction, sortIndex=place)
    return dag.AgGrid(
        id=GRID_ID,
        rowData=grid_rows(frame),
        columnDefs=columns,
        filterModel=_filter_model(query.get("filter", ""), known),
        selectedRows={"ids": [name for name in query.get("points", "").split(",") if name]},
        defaultColDef={"sortable": True, "filter": True, "floatingFilter": True, "resizable": True, "minWidth": 80},
        dashGridOptions={
            "theme": {"function": _THEME},
            "rowHeight": 38,
            "headerHeight": 42,
            "enableCellTextSelection": True,
            "ensureDomOrder": True,
            "localeText": {"noRowsToShow": "No points.", "noMatchingRows": "No point matches the filters."},
            "tooltipShowDelay": 400,
            "quickFilterText": query.get("q", ""),
            "rowSelection": {"mode": "multiRow", "headerCheckbox": False, "enableClickSelection": False},
            "selectionColumnDef": {"pinned": "left", "width": 46},
        },
        getRowId="params.data.fingerprint",
        eventListeners={"cellKeyDown": ["openPoint(params)"]},
        rowClassRules={"chosen-row": "params.data.chosen === 'chosen'"},
        className="points-grid",
        style={"height": "min(70vh, 42rem)", "width": "100%"},
    )


def _filter_model(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Read a filter model from an address; one that is not of this grid is no filter."""
    try:
        model = json.loads(text or "{}")
    except ValueError:
        return {}
    return model if isinstance(model, dict) and model.keys() <= known.keys() else {}


def grid_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn the table of points into rows of JSON values, the CV-chosen ones first, then by CV score."""
    ordered = frame.sort_values(["chosen", "cv_macro_f1", "fingerprint"], ascending=[False, False, True], na_position="last")
    ordered = ordered.assign(
        method=[names.method_name(*pair) for pair in zip(ordered["representation"], ordered["classifier"], strict=True)],
        latents_used=ordered["n_nonzero"].where(ordered["sae"].notna()),
        chosen=[CHOSEN if chosen else "" for chosen in ordered["chosen"]],
    )
    columns: dict[str, list[Any]] = {}
    for name, _, kind, _ in _COLUMNS:
        values = ordered[name].astype(object).where(ordered[name].notna(), None).tolist()
        if kind == "score":
            values = [None if value is None else round(float(value), 5) for value in values]
        elif kind == "count":
            values = [None if value is None else int(value) for value in values]
        elif kind != "number":
            shown = {value: visible(str(value), 200) for value in set(values) - {None}}
            values = [shown.get(value) for value in values]
        columns[name] = values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _column(name: str, title: str, kind: str, width: int, run_id: str) -> dict[str, Any]:
    column: dict[str, Any] = {"field": name, "headerName": title, "width": width}
    if kind in {"score", "count", "number"}:
        column.update(
            filter="agNumberColumnFilter",
            type="rightAligned",
            cellClass="ag-right-aligned-cell num",
            valueFormatter=_SCORE if kind == "score" else _COUNT,
        )
    else:
        column.update(filter="agTextColumnFilter", valueFormatter=_TEXT, tooltipField=name)
    if kind == "number":
        column["valueFormatter"] = {"function": "params.value == null ? '–' : '≥ ' + params.value"}
    if kind == "link":
        column.update(cellRenderer="PointLink", cellRendererParams={"run": run_id})
    if name == "chosen":
        column["cellRenderer"] = "ChosenMark"
        column["headerTooltip"] = "Best cross-validated score of its dataset, split, representation and classifier"
    return column
