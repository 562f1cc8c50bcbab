"""The doctor on the real model and the shipped SAE: nothing is wrong as it ships, and each planted fault is named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mosaic_sae.config.load import load_experiment
from mosaic_sae.pipeline.doctor import Diagnosis, diagnose
from mosaic_sae.sae.load import PACKAGED_FOLDER
from mosaic_sae.sources.load import load_examples

pytestmark = pytest.mark.slow
NAME = "smollm2-135m-instruct-l13"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    experiment = load_experiment("default").experiment
    return load_examples(experiment.datasets[0].model_copy(update={"max_rows": 50}), 42).texts


@pytest.fixture
def examine(texts: list[str], tmp_path: Path):
    """Change the shipped SAE's files, its place in the config, or both, and ask the doctor."""

    def run(config=None, metadata=None, arrays=None, over=()) -> Diagnosis:
        folder = tmp_path / "sae"
        shutil.copytree(PACKAGED_FOLDER / NAME, folder)
        read = json.loads((folder / "cfg.json").read_text())
        read |= config or {}
        read["metadata"] |= metadata or {}
        (folder / "cfg.json").write_text(json.dumps(read))
        if arrays:
            weights = {name: array.astype(np.float32) for name, array in load_file(folder / "sae_weights.safetensors").items()}
            save_file(weights | arrays(weights), folder / "sae_weights.safetensors")
        experiment = load_experiment("default", [f"models.0.sae.path={folder}", *over]).experiment
        return diagnose(experiment, experiment.models[0], texts)[0]

    return run


def problems(found: Diagnosis) -> list[str]:
    return [finding.text for finding in found.findings if finding.level == "problem"]


def remedies(found: Diagnosis) -> str:
    return " ".join(finding.remedy for finding in found.findings)


def test_as_it_ships_it_fits(examine) -> None:
    found = examine()
    assert found.findings == [] and found.fits
    assert found.measured.quality.explained_variance > 0.8
    assert max(found.measured.layers, key=found.measured.layers.get) == 13
    assert found.measured.module == "output of layers.13"
    assert found.measured.first_tokens[0] == {"id": 1, "piece": "<|im_start|>", "counts": False}
    assert found.measured.norms.first > 50 * found.measured.norms.median


@pytest.mark.parametrize("layer", [11, 12, 14, 15])
def test_a_wrong_layer_is_named(examine, layer: int) -> None:
    found = examine(metadata={"hook_name": None}, over=[f"models.0.layers=[{layer}]"])
    assert len(problems(found)) == 1
    assert f"fits layer 13 better than layer {layer}" in problems(found)[0]
    assert "Set layers: [13]" in remedies(found)


def test_a_missing_factor_is_named(examine) -> None:
    # The same SAE, as it would be if it had been trained on activations of mean norm sqrt(d_model).
    factor = 0.15

    def scaled(weights):
        return {"W_enc": weights["W_enc"] / factor, "W_dec": weights["W_dec"] * factor, "b_dec": weights["b_dec"] * factor}

    found = examine(arrays=scaled)
    assert "trained on activations scaled by one factor" in problems(found)[0]
    assert "norm_scaling_factor" in remedies(found)


def test_a_needless_factor_is_named(examine) -> None:
    found = examine(config={"normalize_activations": "expected_average_only_in"}, over=["models.0.sae.norm_scaling_factor=0.15"])
    assert "The norm_scaling_factor 0.15 is applied" in problems(found)[0]


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_a_wrong_normalisation_is_named(examine, kind: str) -> None:
    found = examine(config={"normalize_activations": kind})
    assert f"normalised by '{kind}', but this SAE was trained on activations as they are" in problems(found)[0]
    assert "Set normalize_activations to none" in remedies(found)


def test_the_wrong_b_dec_convention_is_named(examine) -> None:
    found = examine(
        config={"apply_b_dec_to_input": not json.loads((PACKAGED_FOLDER / NAME / "cfg.json").read_text())["apply_b_dec_to_input"]}
    )
    assert "b_dec is" in problems(found)[0]
    assert "Set apply_b_dec_to_input" in remedies(found)


def test_an_sae_of_the_base_model_is_noted(examine) -> None:
    found = examine(metadata={"model_name": "HuggingFaceTB/SmolLM2-135M"})
    assert found.fits
    assert "the base model" in found.findings[0].text and "instruction-tuned one" in found.findings[0].text


def test_wrong_thresholds_are_named_by_their_sparsity(examine) -> None:
    found = examine(arrays=lambda weights: {"threshold": weights["threshold"] * 0.3})
    assert "latents are active per token, but the SAE's makers measured 58.0" in " ".join(problems(found))


def test_another_models_weights_are_named(examine) -> None:
    def shuffled(weights):
        order = np.random.default_rng(0).permutation(weights["W_enc"].shape[0])
        return {"W_enc": weights["W_enc"][order], "W_dec": weights["W_dec"][:, order], "b_dec": weights["b_dec"][order]}

    found = examine(arrays=shuffled)
    assert "no layer nearby or other convention does clearly better" in problems(found)[0]
    assert "another model" in remedies(found)


def test_massive_tokens_that_count_are_named(examine) -> None:
    found = examine(over=["tokens.bos=include", "tokens.max_norm=null"])
    assert any("times the median" in text for text in problems(found))
    assert "tokens.bos: exclude" in remedies(found)
