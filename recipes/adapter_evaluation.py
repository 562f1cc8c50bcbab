"""What the adapter is worth: a classifier of the names of train ids, tested on the pictures of ids that nothing has learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from adapter_model import Adapter
from adapter_states import LanguageModel, Reconstruction
from adapter_training import normalised
from PIL import Image
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from torch import Tensor

N_BOOT = 1000
PIXEL_SIDE = 20
SAE_FEATURES = ("SAE latents, max", "SAE latents, mean")


@dataclass(frozen=True)
class Items:
    """Emoji with a name and a picture each."""

    states: list[Tensor]
    """States of the name's tokens [seq d_model]."""
    pixels: np.ndarray
    """uint8 [n 64 64 3]"""
    labels: np.ndarray
    families: np.ndarray
    """Near-equal emoji, which cross-validation keeps together and the bootstrap draws as one."""


@torch.no_grad()
def image_states(adapter: Adapter, model: LanguageModel, pixels: np.ndarray, batch_size: int = 64) -> Tensor:
    """Return the states of the image tokens [n 4 d_model]."""
    parts = [normalised(pixels[start : start + batch_size]) for start in range(0, len(pixels), batch_size)]
    return torch.cat([model.states(adapter(part)) for part in parts])


@torch.no_grad()
def pooled(states: list[Tensor], sae: Reconstruction) -> dict[str, np.ndarray]:
    """Return each way of pooling token states [seq d_model] into one row per example."""
    latents = [sae.latents(one) for one in states]
    made = {
        "mean hidden state": [one.mean(0) for one in states],
        "max hidden state": [one.amax(0) for one in states],
        "SAE latents, max": [one.amax(0) for one in latents],
        "SAE latents, mean": [one.mean(0) for one in latents],
    }
    return {name: torch.stack(rows).numpy() for name, rows in made.items()}


def probe(is_sparse: bool, families: np.ndarray, labels: np.ndarray) -> Pipeline:
    """Return a logistic regression whose penalty is chosen by cross-validation over families inside the training rows."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = list(StratifiedGroupKFold(3, shuffle=True, random_state=0).split(labels, labels, families))
    strengths = [0.1, 1.0, 10.0] if is_sparse else [1e-3, 1e-2, 1e-1]
    logistic = LogisticRegressionCV(
        Cs=strengths, cv=folds, class_weight="balanced", scoring="f1_macro", max_iter=300, l1_ratios=(0.0,), use_legacy_attributes=False
    )
    return make_pipeline(MaxAbsScaler() if is_sparse else StandardScaler(), logistic)


def scored(truth: np.ndarray, predicted: np.ndarray, families: np.ndarray) -> dict[str, float]:
    """Return macro F1 with its 95 % bootstrap interval, in which whole families are drawn."""
    kinds = sorted(set(truth))
    members = [np.flatnonzero(families == family) for family in dict.fromkeys(families)]
    random = np.random.default_rng(0)
    draws = []
    for _ in range(N_BOOT):
        rows = np.concatenate([members[one] for one in random.integers(len(members), size=len(members))])
        draws.append(f1_score(truth[rows], predicted[rows], labels=kinds, average="macro", zero_division=0))
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"macro_f1": float(f1_score(truth, predicted, labels=kinds, average="macro")), "low": float(low), "high": float(high)}


def evaluate(train: Items, test: Items, adapter: Adapter, model: LanguageModel, sae: Reconstruction) -> dict[str, Any]:
    """Score every representation trained on names and on pictures, each tested on both; and how well the SAE fits image tokens.

    Args:
        train: emoji whose names, or pictures, the classifiers are trained on.
        test: emoji that neither the adapter nor a classifier has learnt from.
        adapter: in evaluation mode.
        model: the language model.
        sae: the packaged SAE.
    """
    seen = {"train": image_states(adapter, model, train.pixels), "test": image_states(adapter, model, test.pixels)}
    rows = {
        ("name", "train"): pooled(train.states, sae),
        ("name", "test"): pooled(test.states, sae),
        ("picture", "train"): pooled(list(seen["train"]), sae),
        ("picture", "test"): pooled(list(seen["test"]), sae),
    }
    table: dict[str, Any] = {}
    for features in rows["name", "train"]:
        for learnt in ("name", "picture"):
            fitted = probe(features in SAE_FEATURES, train.families, train.labels).fit(rows[learnt, "train"][features], train.labels)
            for asked in ("name", "picture"):
                predicted = fitted.predict(rows[asked, "test"][features])
                table[f"{features}: {learnt} to {asked}"] = scored(test.labels, predicted, test.families)
    with torch.no_grad():
        towers = [
            torch.cat([adapter.features(normalised(pixels[start : start + 64])).mean(1) for start in range(0, len(pixels), 64)]).numpy()
            for pixels in (train.pixels, test.pixels)
        ]
    small = [_small(pixels) for pixels in (train.pixels, test.pixels)]
    for name, (learnt_rows, asked_rows) in {"vision tower": towers, "pixels": small}.items():
        fitted = probe(False, train.families, train.labels).fit(learnt_rows, train.labels)
        table[f"{name}: picture to picture"] = scored(test.labels, fitted.predict(asked_rows), test.families)
    kinds, counts = np.unique(train.labels, return_counts=True)
    drawn = np.random.default_rng(0).choice(kinds, size=len(test.labels))
    table["chance"] = scored(test.labels, drawn, test.families)
    table["majority class"] = scored(test.labels, np.full(len(test.labels), kinds[counts.argmax()]), test.families)
    words = torch.cat(test.states)
    variance = (words - words.mean(0)).square().sum(-1).mean()
    tokens = seen["test"].flatten(0, 1)
    with torch.no_grad():
        fit = {
            "fvu_names": sae.fvu(words, variance).item(),
            # Against the variance of names, so that both errors have one unit.
            "fvu_pictures": sae.fvu(tokens, variance).item(),
            "l0_names": (sae.latents(words) > 0).sum(-1).float().mean().item(),
            "l0_pictures": (sae.latents(tokens) > 0).sum(-1).float().mean().item(),
            "norm_names": words.norm(dim=-1).median().item(),
            "norm_pictures": tokens.norm(dim=-1).median().item(),
        }
    return {"scores": table, "sae": fit, "n_train": len(train.labels), "n_test": len(test.labels)}


def _small(pixels: np.ndarray) -> np.ndarray:
    """Return pictures as rows of 20 x 20 RGB values between 0 and 1."""
    side = (PIXEL_SIDE, PIXEL_SIDE)
    return np.stack([np.asarray(Image.fromarray(one).resize(side, Image.Resampling.BOX), dtype=np.float32).ravel() / 255 for one in pixels])
