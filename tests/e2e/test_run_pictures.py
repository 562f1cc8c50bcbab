"""A whole run of a tiny vision-language model on texts and pictures: from a csv file to the table and the report."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from factories import make_sae
from mosaic_sae.config.load import Loaded, load_experiment
from mosaic_sae.errors import MosaicError
from mosaic_sae.pipeline.plan import make_plan
from mosaic_sae.pipeline.run import run
from vision_models import TINY, make_vision_model

CONFIG = """
settings: {{base_save_dir: {folder}/stores, base_classify_dir: {folder}/results, model_type: vlm, dtype: float32}}
models:
  - name: {folder}/model
    layers: [1]
    sae: {{path: {folder}/sae}}
datasets:
  - name: {folder}/toy.csv
    text_field: text
    image_field: picture
    label_field: label
    group_field: item
    splits:
      - kind: random
      - {{kind: modality, min_train: 10}}
classification_params:
  top_n_values: [mean]
  binarize_values: [null]
  baselines: [majority, pixels, vision_tower, dense_mean]
  cv_folds: 3
  n_bootstrap: 100
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Items of two classes, each as a text and as a picture: "bomb" and red, or "cake" and blue."""
    random = np.random.default_rng(0)
    make_vision_model(tmp_path / "model", TINY[0])
    make_sae(tmp_path / "sae", layer=1)
    with (tmp_path / "toy.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["item", "text", "picture", "label"])
        for item in range(60):
            word, channel = (("bomb", 0), ("cake", 2))[item % 2]
            pixels = random.integers(0, 60, size=(28, 28, 3), dtype=np.uint8)
            pixels[..., channel] += 180
            Image.fromarray(pixels).save(tmp_path / f"{item}.png")
            others = random.choice(["alpha", "beta", "gamma", "delta", "nice", "a"], size=6).tolist()
            rows.writerow([item, " ".join([*others, word]), "", word])
            rows.writerow([item, "", f"{item}.png", word])
    (tmp_path / "toy.yaml").write_text(CONFIG.format(folder=tmp_path))
    return load_experiment(tmp_path / "toy.yaml")


@pytest.mark.slow
def test_a_run_on_texts_and_pictures(loaded: Loaded) -> None:
    planned = make_plan(loaded)
    assert {point.action for point in planned} == {"run"}
    summary = run(loaded)
    assert not summary.failed
    results = pd.read_parquet(summary.run_folder / "results.parquet")
    assert len(results) == len(planned)
    # Red and blue are told apart by the pixels and by what the vision tower makes of them, on pictures trained and tested on.
    for representation in ("pixels", "vision_tower"):
        (row,) = results[results["representation"] == representation].to_dict("records")
        assert "image" in row["split"], "the random split mixes texts and pictures, which these cannot read"
        assert row["macro_f1"] == 1.0
    text_to_image = pd.read_parquet(summary.run_folder / "transfer.parquet").query("train_domain == 'text' and test_domain == 'image'")
    assert set(text_to_image["representation"]) >= {"sae", "dense_mean"}
    assert not {"pixels", "vision_tower"} & set(text_to_image["representation"])
    assert (summary.run_folder / "report.html").is_file()
    assert {point.action for point in make_plan(loaded)} == {"skip"}


def test_pool_and_prompt_need_a_vision_language_model(loaded: Loaded, tmp_path: Path) -> None:
    text = (tmp_path / "toy.yaml").read_text().replace("model_type: vlm, ", "").replace("image_field: picture", "").replace("pixels, ", "")
    text = text.replace("vision_tower, ", "").replace("{kind: modality, min_train: 10}", "{kind: random, name: again}")
    (tmp_path / "llm.yaml").write_text(text)
    load_experiment(tmp_path / "llm.yaml")
    with pytest.raises(MosaicError, match=r"tokens\.pool: image needs settings\.model_type: vlm"):
        load_experiment(tmp_path / "llm.yaml", ["tokens.pool=image"])
    with pytest.raises(MosaicError, match=r"models\.prompt of .* needs settings\.model_type: vlm"):
        load_experiment(tmp_path / "llm.yaml", ["models.0.prompt=describe"])
