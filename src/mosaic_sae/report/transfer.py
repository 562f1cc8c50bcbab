"""Transfer as the report shows it: heat-maps, gaps, curves and shared latents, from the run's two tables.

A domain is what a classifier was trained or tested on: a language, or texts or images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae.errors import StoreError
from mosaic_sae.report.modality_words import modality_verdicts
from mosaic_sae.report.names import method_name, number, present, role_of
from mosaic_sae.report.transfer_words import verdicts
from mosaic_sae.transfer.translated import parse_language, translation_modes

METHOD = ["representation", "classifier"]
_MOST_LATENTS = 8
_ORDER = {"sae": 0, "baseline": 1, "control": 2}


@dataclass(frozen=True)
class MatrixCell:
    """One training domain tested on one domain."""

    macro_f1: float
    low: float
    high: float
    gap: float
    gap_low: float
    gap_high: float
    n_test: int
    own: bool
    shade: float
    """0..1, on one scale for all heat-maps of a dataset."""


@dataclass(frozen=True)
class Matrix:
    """A heat-map: one method, training domains down, test domains across."""

    method: str
    test_domains: list[str]
    rows: list[tuple[str, list[MatrixCell | None]]]


@dataclass(frozen=True)
class Outcome:
    """One method over all pairs of domains."""

    method: str
    role: str
    layer: float
    """NaN for what CV chose over all layers, and for what has no layer."""
    own: float
    """Mean macro F1 on the domain trained on."""
    others: float
    """Mean macro F1 over the pairs of different domains."""
    gap: float
    """Mean gap over the pairs that have one."""
    n_clear: int
    """Pairs whose gap has an interval below 0."""
    n_pairs: int


@dataclass(frozen=True)
class SharePoint:
    """One method at one share of the training part."""

    method: str
    role: str
    share: float
    n_train: int
    own: float
    others: float


@dataclass(frozen=True)
class ModeLine:
    """One method on texts of one language with labels of another."""

    source: str
    language: str
    method: str
    scores: dict[str, tuple[float, float, float]]
    """By mode: macro F1 and its interval."""


@dataclass(frozen=True)
class ShiftLine:
    """A latent that is among the strongest of some domain's probe, in every domain."""

    latent: int
    label: str
    kind: str
    trained: list[str]
    """Languages whose probes have it among their strongest."""
    shares: dict[str, tuple[float, float, bool]]
    """By domain: share of the class's texts in which it stands out, of the others, and whether that marks the class."""
    weights: dict[str, float]
    """By domain whose own probe reads the same SAE: its weight for the class there; 0 = not used."""
    texts: dict[str, str]
    """By domain: the text in which it is strongest."""
    pictures: dict[str, str]
    """By domain: the picture in which it is strongest, as a data address; none for texts."""


@dataclass(frozen=True)
class Transfer:
    """One split of kind language or modality of one dataset."""

    dataset: str
    family: str
    by: str
    """language or modality."""
    verdicts: list[str]
    matrices: list[Matrix]
    outcomes: list[Outcome]
    modes: list[ModeLine]
    """Empty where nothing was translated."""
    by_layer: list[Outcome]
    curve: list[SharePoint]
    curve_words: list[str]
    """What the curves say, method by method."""
    kinds: list[tuple[str, dict[str, int]]]
    """By training domain: how many of its strongest latents are of each kind."""
    latents: list[ShiftLine]
    n_train: str
    n_test: int


def read_transfer(run_folder: Path) -> list[Transfer]:
    """Read what ``mosaic run`` wrote of transfer; empty when the run has no split of kind language or modality.

    Raises:
        StoreError: a table cannot be read.
    """
    cells, shifts = (_read(run_folder / f"{name}.parquet") for name in ("transfer", "latent_shift"))
    return [] if cells is None else transfers(cells, shifts)


def transfers(cells: pd.DataFrame, shifts: pd.DataFrame | None) -> list[Transfer]:
    """Sum up the two tables, one ``Transfer`` for each split of kind language or modality."""
    found = []
    for (dataset, family, by), part in cells.groupby(["dataset", "family", "by"], sort=False):
        shift = None if shifts is None else shifts[(shifts["dataset"] == dataset) & (shifts["family"] == family)]
        found.append(_transfer(str(dataset), str(family), str(by), part, shift))
    return found


def _read(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Run the experiment again; finished points are kept.") from error


def _transfer(dataset: str, family: str, by: str, cells: pd.DataFrame, shift: pd.DataFrame | None) -> Transfer:
    everything = cells[(cells["selection"] == "chosen") & (cells["share"] == 1)]
    shown = everything[[role_of(name) != "control" for name in everything["representation"]]]
    # Means over domains are over the languages as they were written; translations have a table of their own.
    cells = cells[
        [
            not (parse_language(train) or parse_language(test))
            for train, test in zip(cells["train_domain"], cells["test_domain"], strict=True)
        ]
    ]
    chosen = cells[cells["selection"] == "chosen"]
    whole = chosen[chosen["share"] == 1]
    # Across modality, a method may have no cell for what it cannot read.
    tests = sorted(set(shown["test_domain"]))
    low, high = shown["macro_f1"].min(), shown["macro_f1"].max()
    sizes = sorted(set(whole["n_train"]))
    curve = _curve(chosen)
    return Transfer(
        dataset=dataset,
        family=family,
        by=by,
        verdicts=modality_verdicts(whole) if by == "modality" else verdicts(whole),
        matrices=[_matrix(method_name(*method), part, low, high, tests) for method, part in _by_method(shown)],
        outcomes=[_outcome(method_name(*method), role_of(method[0]), part) for method, part in _by_method(whole)],
        modes=_modes(shown),
        by_layer=_by_layer(cells[(cells["selection"] == "layer") & (cells["share"] == 1)]),
        curve=curve,
        curve_words=_native_rows_worth(curve),
        kinds=[] if shift is None else _kinds(shift),
        latents=[] if shift is None else _lines(shift),
        n_train=f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}",
        n_test=int(whole.drop_duplicates("test_domain")["n_test"].sum()),
    )


def _by_method(cells: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Parts of one representation and classifier: SAE probes, baselines, controls, each as the results list them."""
    parts = [((str(method[0]), str(method[1])), part) for method, part in cells.groupby(METHOD, sort=False)]
    return sorted(parts, key=lambda item: _ORDER[role_of(item[0][0])])


def _matrix(method: str, cells: pd.DataFrame, low: float, high: float, tests: list[str]) -> Matrix:
    rows = []
    for domain in sorted(set(cells["train_domain"])):
        part = {row["test_domain"]: row for row in cells[cells["train_domain"] == domain].to_dict("records")}
        rows.append((domain, [_cell(part[test], low, high) if test in part else None for test in tests]))
    return Matrix(method, tests, rows)


def _cell(row: dict[Any, Any], low: float, high: float) -> MatrixCell:
    shade = (row["macro_f1"] - low) / (high - low) if high > low else 1.0
    return MatrixCell(
        macro_f1=row["macro_f1"],
        low=row["macro_f1_low"],
        high=row["macro_f1_high"],
        gap=row["gap"],
        gap_low=row["gap_low"],
        gap_high=row["gap_high"],
        n_test=int(row["n_test"]),
        own=row["train_domain"] == row["test_domain"],
        shade=float(shade),
    )


def _outcome(method: str, role: str, cells: pd.DataFrame, layer: float = float("nan")) -> Outcome:
    own = cells[cells["train_domain"] == cells["test_domain"]]
    others = cells[cells["train_domain"] != cells["test_domain"]]
    gaps = others[others["gap"].notna()]
    return Outcome(
        method=method,
        role=role,
        layer=layer,
        own=own["macro_f1"].mean(),
        others=others["macro_f1"].mean(),
        gap=gaps["gap"].mean(),
        n_clear=int((gaps["gap_high"] < 0).sum()),
        n_pairs=len(gaps),
    )


def _modes(cells: pd.DataFrame) -> list[ModeLine]:
    lines: dict[tuple[str, str, str], ModeLine] = {}
    for row in translation_modes(cells):
        method = method_name(row["representation"], row["classifier"])
        line = lines.setdefault((row["source"], row["language"], method), ModeLine(row["source"], row["language"], method, {}))
        line.scores[row["mode"]] = (row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"])
    return [lines[key] for key in sorted(lines, key=lambda key: key[:2])]


def _by_layer(cells: pd.DataFrame) -> list[Outcome]:
    """One line for each method, model and layer; a single model is not named."""
    several = cells["model"].nunique() > 1
    lines = []
    for method, rows in _by_method(cells):
        for (model, layer), part in rows.groupby(["model", "layer"]):
            name = f"{method_name(*method)}, {model}" if several else method_name(*method)
            lines.append(_outcome(name, role_of(method[0]), part, float(str(layer))))
    return lines


def _curve(cells: pd.DataFrame) -> list[SharePoint]:
    """One line for each method and share; empty when only the whole training part was used.

    Both means are over the same test domains, those that are trained on too: native and transferred scores of one curve compare.
    """
    if cells["share"].nunique() < 2:
        return []
    trained = set(cells["train_domain"])
    cells = cells[cells["test_domain"].isin(trained)] if len(trained) > 1 else cells
    points = []
    for method, rows in _by_method(cells):
        for share, part in rows.groupby("share"):
            outcome = _outcome(method_name(*method), role_of(method[0]), part)
            n_train = round(float(part.drop_duplicates("train_domain")["n_train"].mean()))
            points.append(SharePoint(outcome.method, outcome.role, float(str(share)), n_train, outcome.own, outcome.others))
    return points


def _native_rows_worth(curve: list[SharePoint]) -> list[str]:
    """Say for each method how many rows of the domain itself give what the whole training part of another domain gives."""
    lines = []
    for method in dict.fromkeys(point.method for point in curve if point.role != "control"):
        points = sorted((point for point in curve if point.method == method), key=lambda point: point.n_train)
        whole = points[-1]
        if not present(whole.others):
            continue
        reached = next((place for place, point in enumerate(points) if point.own >= whole.others), None)
        if reached is None:
            worth = f"more than {whole.n_train:,}"
        elif reached == 0:
            worth = f"{points[0].n_train:,} or fewer"
        else:
            worth = f"{points[reached - 1].n_train:,} to {points[reached].n_train:,}"
        lines.append(
            f"{method}: {whole.n_train:,} training rows of another language give {number(whole.others)} on average;"
            f" as much as {worth} rows of the language itself."
        )
    return lines


def _kinds(shift: pd.DataFrame) -> list[tuple[str, dict[str, int]]]:
    latents = shift.drop_duplicates(["train_domain", "label", "latent"])
    counts = latents.groupby(["train_domain", "kind"]).size().unstack(fill_value=0)
    return [(str(domain), {str(kind): int(n) for kind, n in row.items()}) for domain, row in counts.iterrows()]


def _lines(shift: pd.DataFrame) -> list[ShiftLine]:
    """The shared latents that most domains' probes rely on, then the specific ones with the largest weights."""
    lines = []
    for kind in ("shared", "specific"):
        part = shift[shift["kind"] == kind].assign(strength=lambda rows: rows["weight"].abs())
        found = []
        for (label, latent), rows in part.groupby(["label", "latent"]):
            trained = sorted(set(rows["train_domain"]))
            one = rows[rows["train_domain"] == rows.sort_values("strength", ascending=False, kind="stable")["train_domain"].iloc[0]]
            records = one.sort_values("domain").to_dict("records")
            shares = {row["domain"]: (row["high_class"], row["high_rest"], bool(row["marks_class"])) for row in records}
            texts = {row["domain"]: row["strongest_text"] for row in records if present(row["strongest_text"])}
            weights = {row["domain"]: float(row["weight_here"]) for row in records if present(row["weight_here"])}
            pictures = {row["domain"]: row["strongest_picture"] for row in records if present(row.get("strongest_picture"))}
            line = ShiftLine(int(str(latent)), str(label), kind, trained, shares, weights, texts, pictures)
            found.append((-len(trained), -rows["strength"].max(), line))
        lines += [line for *_, line in sorted(found, key=lambda item: item[:2])[:_MOST_LATENTS]]
    return lines
