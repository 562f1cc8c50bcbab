"""``mosaic sae train`` on a tiny model: what it leaves out, what it writes, and that a killed training goes on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from factories import D_MODEL, make_texts
from mosaic_sae.config.sae_recipe import SaeRecipe
from mosaic_sae.errors import SourceError
from mosaic_sae.pipeline import train_sae as training
from mosaic_sae.sae.formats import saelens
from mosaic_sae.sae.quality import QualityMeter
from mosaic_sae.store.reader import ActivationStore

pytestmark = pytest.mark.saelens


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SaeRecipe:
    monkeypatch.setattr(training, "_SHARD_ROWS", 64)
    pq.write_table(pa.table({"text": make_texts(600, seed=3)[0]}), tmp_path / "texts.parquet")
    return SaeRecipe(
        name="tiny", model=str(tiny_model), layer=2, texts=tmp_path / "texts.parquet", d_sae=32, k=4, epochs=6, batch_size=128,
        learning_rate=3e-3, heldout_share=0.1, norm_factor=1.5, checkpoints=2, device="cpu", max_length=64,
        work_dir=tmp_path / "work", out_dir=tmp_path / "saes", licence="none",
    )  # fmt: skip


def stored(recipe: SaeRecipe) -> ActivationStore:
    return ActivationStore(next(recipe.work_dir.rglob("activations-*")))


def test_training_explains_held_out_text_and_writes_a_usable_folder(recipe: SaeRecipe) -> None:
    folder = training.train_sae(recipe)
    figures = json.loads((folder / "figures.json").read_text())
    sae = saelens.read(folder, "tiny")
    assert sae.architecture == "jumprelu" and (sae.d_model, sae.d_sae) == (D_MODEL, 32)
    assert sae.metadata.hook_name == "blocks.2.hook_resid_post" and sae.metadata.prepend_bos is True
    # The figures are those of the written weights on the last shard, with the stored limit applied.
    acts = torch.from_numpy(list(stored(recipe).iter_arrays())[-1][1]["activations"])
    kept = acts[torch.linalg.vector_norm(acts, dim=-1) <= sae.metadata.max_norm]
    assert 0 < len(kept) < len(acts)
    meter = QualityMeter(sae)
    meter.add(kept)
    assert figures["n_tokens"] == len(kept)
    assert figures["explained_variance"] == pytest.approx(meter.result().explained_variance, abs=1e-6)
    assert figures["explained_variance"] > 0.5 and sae.metadata.l0 == pytest.approx(meter.result().l0)
    card = (folder / "README.md").read_text()
    assert f"{figures['explained_variance']:.3f}" in card and "none" in card


def test_saelens_reads_the_folder_and_agrees(recipe: SaeRecipe) -> None:
    from sae_lens import SAE

    folder = training.train_sae(recipe)
    acts = torch.randn(20, D_MODEL, generator=torch.Generator().manual_seed(0)) * 3
    theirs = SAE.load_from_disk(folder, dtype="float32").encode(acts).detach().numpy()
    np.testing.assert_allclose(saelens.read(folder, "tiny").encode_dense(acts).numpy(), theirs, atol=1e-5)


def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_weights(recipe: SaeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = training.train_sae(recipe)
    whole = (folder / "sae_weights.safetensors").read_bytes()
    work = next(recipe.work_dir.glob("train-*"))
    checkpoints = sorted((work / "checkpoints").iterdir(), key=lambda path: int(path.name))
    assert len(checkpoints) == 2
    # What a kill after the first checkpoint leaves, with a half-written second one.
    (checkpoints[1] / "activation_scaler.json").unlink()
    shutil.rmtree(work / "trained")
    shutil.rmtree(folder)
    skipped = []
    batches = training._Activations.batches
    monkeypatch.setattr(training._Activations, "batches", lambda self, skip: skipped.append(skip) or batches(self, skip))
    assert (training.train_sae(recipe) / "sae_weights.safetensors").read_bytes() == whole
    assert skipped == [int(checkpoints[0].name)]


def test_a_missing_column_is_named(recipe: SaeRecipe) -> None:
    with pytest.raises(SourceError, match=r"Unknown column 'txt'\. Did you mean 'text'\?"):
        training.train_sae(recipe.model_copy(update={"text_field": "txt"}))
