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
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from torch import Tensor

from mosaic_sae.probes.bootstrap import macro_f1_interval
from mosaic_sae.probes.metrics import macro_f1_of

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
    """Near-equal emoji, which the bootstrap draws as one."""


@torch.no_grad()
def image_states(adapter: Adapter, model: LanguageModel, pixels: np.ndarray, batch_size: int = 64) -> Tensor:
    """Return the states of the image tokens [n 4 d_model]."""
    parts = [normalised(pixels[start : start + batch_size]) for start in range(0, len(pixels), batch_size)]
    return torch.cat([model.states(adapter(part)) for part in parts])


@torch.no_grad()
def pooled(states: list[Tensor], sae: Reconstruction) -> dict[str, np.ndarray | csr_matrix]:
    """Return each way of pooling token states [seq d_model] into one row per example; rows of latents are sparse."""
    latents = sae.latents(torch.cat(states)).split([len(one) for one in states])
    made = {
        "mean hidden state": [one.mean(0) for one in states],
        "max hidden state": [one.amax(0) for one in states],
        "SAE latents, max": [one.amax(0) for one in latents],
        "SAE latents, mean": [one.mean(0) for one in latents],
    }
    dense = {name: torch.stack(rows).numpy() for name, rows in made.items()}
    return {name: csr_matrix(rows) if name in SAE_FEATURES else rows for name, rows in dense.items()}


def probe(is_sparse: bool) -> Pipeline:
    """Return a logistic regression with a fixed penalty; ``mosaic run pictures`` chooses it by cross-validation."""
    logistic = LogisticRegression(C=1.0 if is_sparse else 0.01, class_weight="balanced", max_iter=200)
    return make_pipeline(MaxAbsScaler() if is_sparse else StandardScaler(), logistic)


def scored(truth: np.ndarray, predicted: np.ndarray, families: np.ndarray) -> dict[str, float]:
    """Return macro F1 with its 95 % bootstrap interval, in which whole families are drawn."""
    kinds, numbers = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    true, guessed = numbers[: len(truth)], numbers[len(truth) :]
    low, high = macro_f1_interval(true, guessed, len(kinds), families.tolist(), N_BOOT, seed=0)
    return {"macro_f1": macro_f1_of(true, guessed, len(kinds)), "low": low, "high": high}


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
            fitted = probe(features in SAE_FEATURES).fit(rows[learnt, "train"][features], train.labels)
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
        fitted = probe(False).fit(learnt_rows, train.labels)
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
