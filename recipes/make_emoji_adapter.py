"""Make the adapter ``gemma-3-270m-emoji``: a vision tower and projector for packaged Gemma 3 270M, trained on pictures of emoji.

    pip install --no-deps resvg_py==0.5.0
    python recipes/make_emoji_adapter.py WORK                train, evaluate on the held-out ids, write the adapter folder
    python recipes/make_emoji_adapter.py WORK --evaluate     evaluate the adapter folder as it is, and print the table

WORK keeps the downloads (npm packages by name, SHA-256 pinned), what was read once, and checkpoints: a killed run goes on from the
last one, two minutes back at most. One thread; where cores are shared, more threads are slower here.

Stage 1 needs no language model: from a picture a head has to find its name among all names, in the space of their mean states after
block 9, and the image tokens have to lie where the name's token embeddings lie. Then the image tokens
are moved away from their mean as far as serves the validation pictures best, and stage 2 sends them through the frozen
language model up to block 9 and asks that
their mean state find the name, that pictures and names have one mean, and that the SAE rebuild each state. Labels are
never used. The pictures of the test ids are not opened before the adapter is written.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from adapter_card import write_card
from adapter_evaluation import Items, evaluate
from adapter_model import Adapter, write_adapter
from adapter_pictures import fetch, read_names, read_pictures
from adapter_states import N_DIRECTIONS, LanguageModel, NameSpace, Reconstruction
from adapter_training import (
    Learner,
    Names,
    Pictures,
    Stage,
    apply_contrast,
    inference,
    loss_through_model,
    loss_without_model,
    normalised,
    run_stage,
)
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mosaic_sae

PACKAGE = Path(mosaic_sae.__file__).parent
NAMES = PACKAGE / "sources/data/emoji_names.parquet"
OUT = PACKAGE / "models/adapters/gemma-3-270m-emoji"
TESTED_VENDOR = "google"
STAGE_1 = Stage("stage 1", n_steps=2200, batch_size=32, learning_rate=1e-3, seed=1)
STAGE_2 = Stage("stage 2", n_steps=60, batch_size=32, learning_rate=2e-4, seed=2)
CONTRASTS = (1.0, 2.0, 3.0, 4.0, 6.0)
# A mirrored arrow, letter or clock is another thing.
ONE_WAY = r"\b(?:left|right|clockwise|anticlockwise)\b|letter|button|clock|o’"

logger = logging.getLogger("make_emoji_adapter")


@dataclass(frozen=True)
class Data:
    """Names with what the language model makes of them, in the order of the names table."""

    table: pd.DataFrame
    states: list[torch.Tensor]
    embeddings: torch.Tensor

    @property
    def means(self) -> torch.Tensor:
        """Mean states [n d_model]."""
        return torch.stack([one.mean(0) for one in self.states])

    def rows(self, *parts: str) -> list[int]:
        """Rows of the given parts (fit, validation, test)."""
        return np.flatnonzero(self.table["part"].isin(parts)).tolist()


def read_data(work: Path, model: LanguageModel) -> Data:
    """Read all names with the language model, once."""
    table = read_names(NAMES)
    kept = work / "names.pt"
    if not kept.exists():
        logger.info("reading %d names", len(table))
        states, embeddings = model.read(table["text"].tolist())
        torch.save({"states": states, "embeddings": embeddings}, kept)
    read = torch.load(kept, weights_only=True)
    return Data(table, read["states"], read["embeddings"])


def pictures_of(work: Path, data: Data, part: str) -> pd.DataFrame:
    """Return the pictures of the emoji of one part, with the ``row`` of the names table that each shows."""
    chosen = data.table[data.table["part"] == part]
    kept = work / f"pictures-{part}.npz"
    if not kept.exists():
        logger.info("drawing the pictures of the part %s", part)
        drawn = read_pictures(work, set(chosen["code"]))
        np.savez(
            kept,
            code=drawn["code"].to_numpy(dtype=str),
            vendor=drawn["vendor"].to_numpy(dtype=str),
            pixels=np.stack(drawn["pixels"].tolist()),
        )
    read = np.load(kept)
    row_of = dict(zip(chosen["code"], chosen.index, strict=True))
    return pd.DataFrame({"row": [row_of[code] for code in read["code"]], "vendor": read["vendor"], "pixels": list(read["pixels"])})


def items(work: Path, data: Data, *parts: str) -> Items:
    """Return the emoji of some parts that have a picture of the vendor that is tested."""
    drawn = pd.concat([pictures_of(work, data, part) for part in parts])
    drawn = drawn[drawn["vendor"] == TESTED_VENDOR]
    table = data.table.loc[drawn["row"]]
    labels, families = (table[column].to_numpy(dtype=str) for column in ("label", "family"))
    return Items([data.states[row] for row in drawn["row"]], np.stack(drawn["pixels"].tolist()), labels, families)


def validation_score(
    work: Path, data: Data, names: Names, model: LanguageModel, sae: Reconstruction, through_model: bool
) -> Callable[[Learner], tuple[float, str]]:
    """Return what says, on the validation ids, how well a classifier of the fit names does on pictures."""
    fit, drawn = data.rows("fit"), pictures_of(work, data, "validation")
    drawn = drawn[drawn["vendor"] == TESTED_VENDOR]
    pixels = normalised(np.stack(drawn["pixels"].tolist()))
    truth = data.table.loc[drawn["row"], "label"].to_numpy(dtype=str)
    places = names.space.place(data.means[drawn["row"].tolist()])
    known = names.means if through_model else names.places
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, class_weight="balanced"))
    classifier.fit(known.numpy(), data.table.loc[fit, "label"].to_numpy(dtype=str))

    @torch.no_grad()
    def score(learner: Learner) -> tuple[float, str]:
        if through_model:
            states = torch.cat([model.states(learner.adapter(part)) for part in pixels.split(64)])
            asked = states.mean(1)
            found = names.space.place(asked)
            more = f", FVU {sae.fvu(states, names.variance).item():.3f}"
        else:
            found, _ = learner(pixels)
            asked, more = found, ""
        f1 = f1_score(truth, classifier.predict(asked.numpy()), average="macro")
        ranks = (found @ places.T).argsort(1, descending=True).argsort(1).diag().float()
        # What is chosen by it is chosen without labels.
        return (
            -ranks.mean().item(),
            f"validation macro F1 {f1:.3f}, median rank of the name {ranks.median().item():.0f} of {len(truth)}{more}",
        )

    return score


def train(work: Path, data: Data, model: LanguageModel, sae: Reconstruction, stages: tuple[Stage, Stage]) -> Adapter:
    """Train both stages and return the adapter in evaluation mode."""
    fit = data.rows("fit")
    tokens = torch.cat([data.states[row] for row in fit])
    names = Names(data.embeddings[fit], data.means[fit], NameSpace.fit(data.means[fit]), tokens.var(0).sum())
    drawn = pictures_of(work, data, "fit")
    place = {row: number for number, row in enumerate(fit)}
    one_way = data.table.loc[drawn["row"], "text"].str.contains(ONE_WAY).to_numpy(dtype=bool)
    pictures = Pictures(np.stack(drawn["pixels"].tolist()), drawn["row"].map(place).to_numpy(dtype=np.int64), one_way)
    logger.info("learning from %d pictures of %d emoji; validated on %d", len(drawn), len(fit), len(data.rows("validation")))
    torch.manual_seed(0)
    learner = Learner(N_DIRECTIONS)
    apart, through = (validation_score(work, data, names, model, sae, through_model=through) for through in (False, True))
    learner = run_stage(stages[0], learner, pictures, loss_without_model(names), apart, 100, work / "stage-1.pt")
    found = {}
    for contrast in CONTRASTS:
        found[contrast] = through(apply_contrast(learner, names, contrast))
        logger.info("contrast %.0f: %s", contrast, found[contrast][1])
    best = max(CONTRASTS, key=lambda contrast: found[contrast][0])
    learner = apply_contrast(learner, names, best)
    learner = run_stage(stages[1], learner, pictures, loss_through_model(names, model, sae), through, 10, work / "stage-2.pt")
    return inference(learner).adapter


def shipped(folder: Path) -> Adapter:
    """Return the adapter of a folder as users get it, from its float16 weights."""
    adapter = Adapter()
    weights = {name.removeprefix("model."): tensor for name, tensor in load_file(folder / "adapter.safetensors").items()}
    adapter.load_state_dict({name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()})
    return adapter.eval().requires_grad_(False)


def main() -> None:
    """Train, write, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for downloads and checkpoints")
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the adapter folder")
    parser.add_argument("--steps", type=int, nargs=2, default=[STAGE_1.n_steps, STAGE_2.n_steps], help="steps of both stages")
    parser.add_argument("--out", type=Path, default=OUT, help="adapter folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    fetch(arguments.work)
    model, sae = LanguageModel(), Reconstruction()
    data = read_data(arguments.work, model)
    started, cpu_started = time.monotonic(), time.process_time()
    if not arguments.evaluate:
        sizes = zip((STAGE_1, STAGE_2), arguments.steps, strict=True)
        stages = tuple(Stage(one.name, n_steps, one.batch_size, one.learning_rate, one.seed) for one, n_steps in sizes)
        adapter = train(arguments.work, data, model, sae, (stages[0], stages[1]))
        about: dict[str, Any] = {
            "steps": arguments.steps,
            "seconds": round(time.monotonic() - started),
            "cpu_seconds": round(time.process_time() - cpu_started),
        }
        write_adapter(adapter, arguments.out, about)
    found = evaluate(
        items(arguments.work, data, "fit", "validation"), items(arguments.work, data, "test"), shipped(arguments.out), model, sae
    )
    print(json.dumps(found, indent=1))
    write_card(arguments.out, found)


if __name__ == "__main__":
    main()
