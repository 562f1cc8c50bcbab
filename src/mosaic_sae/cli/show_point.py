"""One point as text: its scores, its mistakes, and the latents it looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaic_sae.cli.places import POINT_FILE, results_folder
from mosaic_sae.cli.tables import aligned
from mosaic_sae.explain.cards import visible
from mosaic_sae.explain.evidence import evidence_of
from mosaic_sae.fsio import read_json
from mosaic_sae.report.content import latent_lines
from mosaic_sae.report.names import configuration, interval, method_name, number, signed, whole
from mosaic_sae.report.rules import tree_rules

_MOST_LATENTS = 10


def point_text(folder: Path) -> str:
    """Return a point as text."""
    point = read_json(folder / POINT_FILE)
    evidence = evidence_of(results_folder(folder), point)
    lines = [*_scores(point), "", *_classes(point), "", *_confusion(point)]
    for label, found in latent_lines(point, evidence, _MOST_LATENTS).items():
        rows = [[str(line.latent), signed(line.weight), line.summary] for line in found]
        lines += ["", f"Latents that speak for {label}", aligned(["latent", "weight", ""], rows) if rows else "  none among the strongest"]
    rules = tree_rules(point, evidence)
    if rules:
        lines += ["", "The tree as rules"]
    for rule in rules:
        came = f"{rule.came}: " if rule.came else ""
        what = rule.label if rule.leaf else f"{rule.question} {rule.fires_on}"
        lines.append(f"{'  ' * rule.depth}{came}{what} ({rule.n})")
    return "\n".join(visible(line) for block in lines for line in block.split("\n"))  # data may hold control characters


def _scores(point: dict[str, Any]) -> list[str]:
    key, test, cv = point["key"], point["test"], point["cv"]
    spread = interval(test["macro_f1_low"], test["macro_f1_high"])
    where = [f"layer {whole(key['layer'])} ({key['site']})" if key.get("layer") is not None else None, key.get("sae")]
    features = [method_name(key["representation"], key["classifier"]), configuration(key)]
    settings = ", ".join(f"{name} {value}" for name, value in (point["hyperparameters"] or {}).items())
    return [
        f"Point {point['fingerprint']}: {key['dataset']}, split {key['split']}",
        "  " + ", ".join(part for part in [*features, key["model"], *where] if part and part != "–"),
        f"  test macro F1 {number(test['macro_f1'])} {spread}, accuracy {number(test['accuracy'])}, ROC AUC {number(test['roc_auc'])}",
        f"  CV macro F1 {number(cv['macro_f1_mean'])} ± {number(cv['macro_f1_sd'])} in training; {settings or 'nothing to choose'}",
        f"  train {whole(point['n_train'])}, test {whole(point['n_test'])}, latents used {whole(point['n_nonzero'])}",
    ]


def _classes(point: dict[str, Any]) -> list[str]:
    rows = [
        [visible(str(row["class"]), 40), number(row["precision"]), number(row["recall"]), number(row["f1"]), whole(row["support"])]
        for row in point["test"]["per_class"]
    ]
    return [aligned(["class", "precision", "recall", "F1", "test n"], rows)]


def _confusion(point: dict[str, Any]) -> list[str]:
    names = [visible(str(name), 40) for name in point["classes"]]
    rows = [[name, *(whole(count) for count in counts)] for name, counts in zip(names, point["test"]["confusion"], strict=True)]
    return ["Rows: the true class; columns: what was predicted", aligned(["", *names], rows)]
