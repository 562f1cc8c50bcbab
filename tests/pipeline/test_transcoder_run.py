"""A transcoder as the encoder of a run: its latents are stored, what it predicts is not captured."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline_checks import dense_rows, make_examples
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from factories import D_MODEL, D_SAE
from mosaic_sae.errors import SaeError
from mosaic_sae.fsio import read_json
from mosaic_sae.pipeline.fit_check import check_path
from mosaic_sae.store.reader import LatentStore


@pytest.fixture
def transcoder(tmp_path: Path) -> Path:
    folder = tmp_path / "transcoder"
    folder.mkdir()
    shapes = {"W_enc": (D_MODEL, D_SAE), "b_enc": (D_SAE,), "W_dec": (D_SAE, 10), "b_dec": (10,), "W_skip": (10, D_MODEL)}
    save_file({name: torch.randn(shape) for name, shape in shapes.items()}, folder / "sae_weights.safetensors")
    about = {"sae_lens_version": "6.54.12", "hook_name": "blocks.2.hook_resid_post", "hook_name_out": "blocks.3.hook_mlp_out"}
    config = {"architecture": "skip_transcoder", "d_in": D_MODEL, "d_sae": D_SAE, "d_out": 10, "apply_b_dec_to_input": False}
    (folder / "cfg.json").write_text(json.dumps(config | {"metadata": about}))
    return folder


def test_latents_are_stored_and_the_check_says_what_it_can(run_extract, tiny_model, transcoder, toy_texts, caplog) -> None:
    models = [{"name": str(tiny_model), "layers": [2], "sae": {"path": str(transcoder)}}]
    baselines = {"classification_params": {"baselines": ["majority"]}}
    with caplog.at_level(logging.INFO):
        _, where = run_extract(make_examples(toy_texts), models=models, tokens={"prepend_bos": "always"}, **baselines)
    store = LatentStore(where.latents["transcoder"].folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(toy_texts[0], add_special_tokens=False).input_ids]])
    with torch.no_grad():
        reference = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        acts = reference(ids, output_hidden_states=True).hidden_states[3][0, 1:]
    arrays = {name: array.numpy() for name, array in load_file(transcoder / "sae_weights.safetensors").items()}
    wanted = np.maximum(acts.numpy() @ arrays["W_enc"] + arrays["b_enc"], 0)
    np.testing.assert_allclose(dense_rows(store)[0], wanted, atol=1e-3)
    check = read_json(check_path(where.latents["transcoder"].folder))
    assert (check["fvu"], check["explained_variance"]) == (None, None)
    assert 0 < check["l0"] < D_SAE
    assert "a transcoder, whose prediction is not checked" in caplog.text


def test_its_random_control_is_refused_before_the_model_runs(run_extract, tiny_model, transcoder, toy_texts) -> None:
    models = [{"name": str(tiny_model), "layers": [2], "sae": {"path": str(transcoder)}}]
    with pytest.raises(SaeError, match=r"Remove random_sae from classification_params\.baselines"):
        run_extract(make_examples(toy_texts), models=models)
