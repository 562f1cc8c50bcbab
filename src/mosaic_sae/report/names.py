"""How representations, classifiers and configurations are called in tables, figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

REPRESENTATIONS = {
    "sae": "SAE",
    "random_sae": "Random SAE",
    "dense_mean": "Mean hidden state",
    "dense_last": "Last hidden state",
    "dense_max": "Max hidden state",
    "vision_tower": "Vision tower",
    "pixels": "Pixels",
    "tfidf": "TF-IDF",
    "columns": "All columns",
    "majority": "Majority class",
    "shuffled_labels": "Shuffled labels",
}
IN_SENTENCES = {
    "dense_mean": "the mean hidden state",
    "dense_last": "the last hidden state",
    "dense_max": "the max hidden state",
    "vision_tower": "the vision tower",
    "pixels": "pixels",
    "random_sae": "a random SAE",
    "majority": "chance (the majority class)",
}
CLASSIFIERS = {"logistic": "logistic", "tree": "tree", "majority": "constant"}
CONTROLS = frozenset({"random_sae", "majority", "shuffled_labels"})
KINDS = {
    "language": {"shared": "shared", "partly shared": "some languages", "specific": "language-specific", "unclear": "unclear"},
    "modality": {"shared": "shared", "specific": "specific", "unclear": "unclear"},
}
"""How kinds of latents are called in a transfer by language or modality; of two modalities none can be some."""
ROLES = {"sae": "SAE probe", "baseline": "baseline", "control": "control"}


def present(value: Any) -> bool:
    """Whether a table cell holds something: not None and not NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def role_of(representation: str) -> str:
    """Return "sae", "baseline" or "control"."""
    if representation == "sae":
        return "sae"
    return "control" if representation in CONTROLS else "baseline"


def called(representation: str) -> str:
    """Name a representation inside a sentence: "the mean hidden state", "a random SAE", "TF-IDF"."""
    return IN_SENTENCES.get(representation) or REPRESENTATIONS.get(representation, representation)


def method_name(representation: str, classifier: str) -> str:
    """Name a family: "SAE (tree)", "TF-IDF (logistic)", "Majority class"."""
    name = REPRESENTATIONS.get(representation, representation)
    if representation == "majority":
        return name
    return f"{name} ({CLASSIFIERS.get(classifier, classifier)})"


def binarise_name(value: Any) -> str:
    """Name a threshold: "≥ 1", or "values" when pooled values are kept."""
    return f"≥ {value:g}" if present(value) else "values"


def configuration(key: Mapping[str, Any]) -> str:
    """Name the pooling and the threshold of a point: "max", "max, ≥ 1"; "–" when it has none."""
    if not present(key.get("pooling")):
        return "–"
    return f"{key['pooling']}, {binarise_name(key['binarise'])}" if present(key.get("binarise")) else str(key["pooling"])


def where(key: Mapping[str, Any], several: Collection[str]) -> str:
    """Name the model and the layer of a point, as far as there are ``several`` of them: "gemma-3-270m, layer 9"; empty without a model."""
    if not present(key.get("model")):
        return ""
    model = [str(key["model"]).rsplit("/", 1)[-1]] if "model" in several else []
    layer = [f"layer {int(key['layer'])}"] if several and present(key.get("layer")) else []
    return ", ".join(model + layer)


def pooling_in_words(key: Mapping[str, Any]) -> str:
    """Say the pooling and the threshold of a point: "max pooling binarised at ≥ 1"; empty when it has none."""
    if not present(key.get("pooling")):
        return ""
    threshold = f" binarised at {binarise_name(key['binarise'])}" if present(key.get("binarise")) else ""
    return f"{key['pooling']} pooling{threshold}"


def signed(value: float, digits: int = 3) -> str:
    """Format a weight or a difference with its sign: "+0.789", "−0.971"."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def moment(text: Any) -> str:
    """Format an ISO time as "2026-11-24 09:14 UTC"; "–" when there is none, and as given when it is no time."""
    if not text:
        return "–"
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return str(text)
    if when.tzinfo is None:
        return f"{when:%Y-%m-%d %H:%M}"
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def number(value: Any, digits: int = 3) -> str:
    """Format a score: "0.796"; "–" when there is none."""
    return f"{value:.{digits}f}" if present(value) else "–"


def interval(low: Any, high: Any) -> str:
    """Format an interval: "[0.752, 0.831]"; empty when there is none."""
    return f"[{low:.3f}, {high:.3f}]".replace("-0.000", "0.000").replace("-", "−") if present(low) and present(high) else ""


def whole(value: Any) -> str:
    """Format a count: "4,608"; "–" when there is none."""
    return f"{int(value):,}" if present(value) else "–"


def percent(value: Any, digits: int = 1) -> str:
    """Format a share: "12.5 %"; "–" when there is none."""
    return f"{100 * value:.{digits}f} %" if present(value) else "–"
