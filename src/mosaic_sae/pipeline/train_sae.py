"""``mosaic sae train``: activations of a text file, an SAE trained on them, its figures on held-out text, a model card."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from mosaic_sae import __version__
from mosaic_sae.config.sae_recipe import SaeRecipe
from mosaic_sae.config.schema import Chat, Settings, Tokens
from mosaic_sae.errors import SourceError, unknown_name
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.fsio import write_json, write_text, write_with
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import load_tokenizer, make_policy, resolve_device, resolve_dtype
from mosaic_sae.pipeline.extract import keep_activations
from mosaic_sae.pipeline.readings import ModelReadings, places
from mosaic_sae.pipeline.sae_card import model_card
from mosaic_sae.pipeline.sinks import from_stored
from mosaic_sae.sae.formats import saelens
from mosaic_sae.sae.quality import QualityMeter
from mosaic_sae.sae.train import train
from mosaic_sae.sources.base import Examples
from mosaic_sae.store.format import read_shard
from mosaic_sae.store.reader import ActivationStore

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_SHARD_ROWS = 1024
# Shards mixed before they are cut into batches.
_MIXED_SHARDS = 4


def train_sae(recipe: SaeRecipe) -> Path:
    """Do all of it; a killed run goes on from its last shard or checkpoint.

    Returns:
        The folder of the finished SAE.

    Raises:
        MosaicError: texts or model cannot be read, or SAELens is not installed.
    """
    examples = _read_texts(recipe)
    model = _readings(recipe)
    where = places(model, examples, recipe.work_dir, "float32")
    keep_activations(model, examples, where, Settings(act_only=True, shard_rows=_SHARD_ROWS, device=recipe.device))
    store = _Activations(ActivationStore(where.activations[model.points[0]].folder), recipe)
    logger.info(
        f"{store.n_train:,} tokens to train on; norms above {store.max_norm:.1f} are left out ({store.massive_share:.3%} of the tokens)"
    )
    key = fingerprint({
        "activations": store.fingerprint,
        "recipe": recipe.model_dump(mode="json", exclude={"device", "texts", "work_dir", "out_dir", "about_texts", "licence", "name"}),
    })
    work = recipe.work_dir / f"train-{key}"
    train(recipe, store.batches, store.mean, store.mean_norm, int(store.n_train * recipe.epochs), resolve_device(recipe.device), work)
    return _finish(recipe, model, store, work / "trained")


def _read_texts(recipe: SaeRecipe) -> Examples:
    if not recipe.texts.is_file():
        raise SourceError(f"texts: there is no file {recipe.texts}.")
    names = pq.read_schema(recipe.texts).names
    if recipe.text_field not in names:
        raise SourceError(f"text_field of {recipe.texts}: {unknown_name('column', recipe.text_field, names)}")
    texts = pq.read_table(recipe.texts, columns=[recipe.text_field])[recipe.text_field].to_pylist()[: recipe.max_rows]
    ids = [str(row) for row in range(len(texts))]
    blank = [""] * len(texts)
    return Examples(
        name=recipe.texts.stem, ids=ids, texts=texts, labels=blank, groups=None, languages=None, splits=None, fields={},
        fingerprint=fingerprint(texts), skipped=[], provenance={"rows": len(texts)},
    )  # fmt: skip


def _readings(recipe: SaeRecipe) -> ModelReadings:
    located = locate_model(recipe.model, recipe.revision)
    tokenizer = load_tokenizer(located)
    point = HookPoint(recipe.layer)
    return ModelReadings(
        located=located,
        tokenizer=tokenizer,
        dtype=resolve_dtype("auto", resolve_device(recipe.device), located),
        policy=make_policy(tokenizer, located, recipe.prepend_bos, Tokens(max_length=recipe.max_length), Chat()),
        points=(point,),
        readings=(),
        max_norm={point: None},
    )


class _Activations:
    """The stored activations, parted into training and held-out shards, without massive activations."""

    def __init__(self, store: ActivationStore, recipe: SaeRecipe) -> None:
        import torch

        self.fingerprint = store.fingerprint
        self._recipe = recipe
        files = [store.folder / shard["file"] for shard in store.manifest["shards"]]
        n_heldout = max(1, round(len(files) * recipe.heldout_share))
        self._train, self._heldout = files[:-n_heldout], files[-n_heldout:]
        norms = np.concatenate([torch.linalg.vector_norm(_load(path), dim=-1).numpy() for path in self._train])
        self.max_norm = float(np.float32(recipe.norm_factor * np.median(norms)))
        kept = norms <= self.max_norm
        self.massive_share = float(1 - kept.mean())
        self.n_train = int(kept.sum())
        self.mean_norm = float(norms[kept].mean())
        total = torch.stack([self._kept(path).double().sum(0) for path in self._train]).sum(0)
        self.mean = (total / self.n_train).float()

    def _kept(self, path: Path) -> torch.Tensor:
        import torch

        acts = _load(path)
        return acts[torch.linalg.vector_norm(acts, dim=-1) <= self.max_norm]

    def batches(self, skip: int) -> Iterator[torch.Tensor]:
        """Yield batches without end: shards in random order, some at a time mixed; the first ``skip`` tokens are passed over."""
        import torch

        size = self._recipe.batch_size
        random = torch.Generator().manual_seed(self._recipe.seed)
        rest = torch.empty(0, len(self.mean))
        while True:
            order = torch.randperm(len(self._train), generator=random).tolist()
            for start in range(0, len(order), _MIXED_SHARDS):
                mixed = torch.cat([rest, *(self._kept(self._train[number]) for number in order[start : start + _MIXED_SHARDS])])
                mixed = mixed[torch.randperm(len(mixed), generator=random)]
                whole = len(mixed) // size * size
                for batch in mixed[:whole].split(size):
                    if skip > 0:
                        skip -= size
                    else:
                        yield batch
                rest = mixed[whole:]

    def heldout(self) -> Iterator[torch.Tensor]:
        """Yield the held-out activations, shard by shard."""
        for path in self._heldout:
            yield self._kept(path)


def _load(path: Path) -> torch.Tensor:
    return from_stored(read_shard(path)["activations"]).float()


def _finish(recipe: SaeRecipe, model: ModelReadings, store: _Activations, trained: Path) -> Path:
    """Measure on held-out text what will be shipped (float16 weights), and write it with its card."""
    from safetensors.torch import load_file, save_file

    out = recipe.out_dir / recipe.name
    weights = {name: array.half() for name, array in load_file(trained / "sae_weights.safetensors").items()}
    # A threshold rounded to float16 is still one number; float32 costs nothing and keeps it exact.
    weights["threshold"] = load_file(trained / "sae_weights.safetensors")["threshold"]
    write_with(out / "sae_weights.safetensors", lambda path: save_file(weights, path))
    config: dict[str, Any] = json.loads((trained / "cfg.json").read_text(encoding="utf-8"))
    about = {
        "model_name": model.located.name,
        "hook_name": str(model.points[0]),
        "prepend_bos": recipe.prepend_bos,
        "context_size": recipe.max_length,
        "max_norm": store.max_norm,
    }
    config |= {"dtype": "float16", "device": "cpu", "metadata": config["metadata"] | about}
    write_json(out / "cfg.json", config)
    meter = QualityMeter(sae := saelens.read(out, recipe.name))
    for acts in store.heldout():
        for part in acts.split(8192):
            meter.add(part)
    figures = dataclasses.asdict(meter.result())
    config["metadata"] |= {"l0": figures["l0"]}
    write_json(out / "cfg.json", config)
    figures |= {
        "training_tokens": int(store.n_train * recipe.epochs),
        "distinct_training_tokens": store.n_train,
        "massive_share": store.massive_share,
        "sae_fingerprint": sae.fingerprint,
        "mosaic_version": __version__,
    }
    write_json(out / "figures.json", figures)
    write_text(out / "README.md", model_card(recipe, model.located, store.max_norm, figures))
    logger.info(
        f"{recipe.name}: explained variance {figures['explained_variance']:.3f}, L0 {figures['l0']:.1f}, "
        f"dead {figures['dead_share']:.1%} on {figures['n_tokens']:,} held-out tokens -> {out}"
    )
    return out
