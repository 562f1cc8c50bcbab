"""What ``run.json`` says of data, SAE fit, failures and provenance, as rows of text for the report and the app."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mosaic_sae.explain.cards import visible
from mosaic_sae.log import format_seconds
from mosaic_sae.report import names

DOMAINS = {"language": "languages", "modality": "modalities"}
"""What a split may train on in turn, and the plural."""
FIT_NOTE = (
    "Measured on the first examples of each dataset, when they were extracted. A low explained variance means that the layer, the"
    " model or the normalisation does not belong to the SAE; `mosaic doctor` says which. Massive tokens, whose norm drowns the rest,"
    " count in no feature."
)
FIT_HEAD = [
    ("Model", False),
    ("Layer", True),
    ("SAE", False),
    ("Dataset", False),
    ("Explained variance", True),
    ("L0", True),
    ("L0 stated", True),
    ("Read", False),
    ("Silent here", True),
    ("Tokens looked at", True),
    ("Massive among them", True),
    ("Texts without a token left", True),
]
DATA_HEAD = [
    ("Dataset", False),
    ("Rows", True),
    ("Classes", False),
    ("Train / test", False),
    ("Skipped", True),
    ("Truncated", True),
    ("In windows", True),
    ("Licence", False),
]


@dataclass(frozen=True)
class Failed:
    """A failed point."""

    key: str
    error: str


def dataset_rows(run: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each dataset, with the columns of ``DATA_HEAD``."""
    rows = []
    for dataset in run.get("datasets") or []:
        classes = ", ".join(f"{visible(str(label), 60)} {count:,}" for label, count in (dataset.get("classes") or {}).items())
        splits = "; ".join(_split_sizes(dataset.get("splits") or {}))
        rows.append([
            visible(str(dataset.get("name") or "–"), 80),
            names.whole(dataset.get("rows")),
            visible(classes, 2000),
            visible(splits, 2000),
            names.whole(dataset.get("skipped")),
            names.whole(dataset.get("truncated")),
            names.whole(dataset.get("windowed")),
            visible(str(dataset.get("licence") or "not stated"), 80),
        ])
    return rows


def is_domain_split(split: Mapping[str, Any]) -> bool:
    """Whether a split, as ``run.json`` holds it, trains on one language of several, or on texts or images alone."""
    return "domain" in (split.get("notes") or {})


def domain_splits(run: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return (dataset, split) of all splits that train on one domain: the report sums them up, for there are many."""
    return {
        (str(dataset.get("name")), name)
        for dataset in run.get("datasets") or []
        for name, split in (dataset.get("splits") or {}).items()
        if is_domain_split(split)
    }


def _split_sizes(splits: Mapping[str, Any]) -> list[str]:
    """Name each split with its sizes; those of languages are one item, and those of modalities."""
    single = {name: split for name, split in splits.items() if not is_domain_split(split)}
    words = [f"{visible(str(name), 40)} {_sizes(split)}" for name, split in single.items()]
    for by, plural in DOMAINS.items():
        wanted = {"by": by, "share": 1}.items()
        spread = [split for split in splits.values() if is_domain_split(split) and wanted <= split["notes"].items()]
        if not spread:
            continue
        sizes = sorted({split["train"] for split in spread})
        shown = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        words.append(f"{len(spread)} {plural}, each {shown} / {spread[0]['test']:,} of all")
    return words


def _sizes(split: Mapping[str, Any]) -> str:
    if "error" in split:
        return f"failed: {split['error']}"
    return f"{split['train']:,} / {split['test']:,}"


def fit_rows(run: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each SAE on each dataset, with the columns of ``FIT_HEAD``."""
    rows = []
    for model in run.get("models") or []:
        sae = visible(str(model.get("sae") or "–"), 80)
        rows.append([
            visible(str(model.get("name") or "–"), 80),
            names.whole(model.get("layer")),
            f"{sae} (control)" if model.get("control") else sae,
            visible(str(model.get("dataset") or "–"), 80),
            names.number(model.get("explained_variance")),
            names.number(model.get("l0"), 1),
            names.number(model.get("stated_l0"), 1),
            visible(f"{model.get('module') or '–'}, {model.get('dtype') or '–'}", 120),
            names.percent(model.get("dead_share")),
            names.whole(model.get("n_tokens")),
            names.whole(model.get("massive_tokens")),
            names.whole(model.get("rows_without_tokens")),
        ])
    return rows


def status_of(run: Mapping[str, Any]) -> str:
    """State of a run: "running", "done", "failed", "interrupted", or "killed": its record says running, but its process is gone."""
    status, process = str(run.get("status") or "unknown"), run.get("process") or {}
    if status == "running" and process.get("host") == platform.node() and not _is_alive(process["pid"]):
        return "killed"
    return status


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


def fit_findings(run: Mapping[str, Any]) -> list[str]:
    """Return what the check of the SAEs found to be wrong, in words, each with what to change."""
    return [
        visible(f"{model.get('sae')} on {model.get('dataset')}: {finding['text']} {finding['remedy']}".strip(), 1000)
        for model in run.get("models") or []
        for finding in model.get("findings") or []
    ]


def failed_points(run: Mapping[str, Any]) -> list[Failed]:
    """Return the failed points with their keys in words."""
    found = []
    for failure in (run.get("points") or {}).get("failed") or []:
        key = ", ".join(f"{name} {value}" for name, value in (failure.get("key") or {}).items() if names.present(value))
        found.append(Failed(visible(key, 400), visible(str(failure.get("error") or "no message"), 2000)))
    return found


def n_points(run: Mapping[str, Any]) -> int:
    """Return how many points are there: made by this run, or found from an earlier one."""
    points = run.get("points") or {}
    return int(points.get("done") or 0) + int(points.get("skipped") or 0)


def provenance_pairs(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values of what made the run."""
    versions, seconds = run.get("versions") or {}, run.get("seconds") or {}
    return [
        ("Status", status_of(run)),
        ("Started", names.moment(run.get("started"))),
        ("Finished", names.moment(run.get("finished"))),
        ("Time", ", ".join(f"{visible(stage)} {format_seconds(value)}" for stage, value in seconds.items() if names.present(value)) or "–"),
        ("Command", visible(str(run.get("command") or "–"), 500)),
        ("Code", commit(run.get("git"))),
        ("Versions", visible(", ".join(f"{name} {number}" for name, number in versions.items()), 1000) or "–"),
    ]


def commit(git: Mapping[str, Any] | None) -> str:
    """Return the commit of the code in words."""
    if not git or not git.get("commit"):
        return "not in a git repository"
    return visible(str(git["commit"])) + (" with uncommitted changes" if git.get("dirty") else "")
