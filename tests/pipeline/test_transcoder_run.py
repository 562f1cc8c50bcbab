"""A transcoder as the encoder of a run: its latents are stored; what it predicts is looked at on the first few texts alone."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_checks import dense_rows, make_examples
from transformers import AutoModel, AutoTokenizer

from factories import D_MODEL, D_SAE, make_gemma_2
from mosaic_sae.errors import SaeError
from mosaic_sae.fsio import read_json
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.pipeline.doctor import diagnose
from mosaic_sae.pipeline.fit_check import check_path
from mosaic_sae.pipeline.signs import N_TEXTS
from mosaic_sae.store.reader import LatentStore

Arrays = dict[str, np.ndarray]
BASELINES = {"classification_params": {"baselines": ["majority"]}}


@pytest.fixture(scope="module")
def gemma_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gemma_2(tmp_path_factory.mktemp("models") / "gemma-2-2b")


def draw(seed: int, **shapes: tuple[int, ...]) -> Arrays:
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def encoder_and_decoder(d_out: int = D_MODEL) -> dict[str, tuple[int, ...]]:
    return {"W_enc": (D_MODEL, D_SAE), "b_enc": (D_SAE,), "W_dec": (D_SAE, d_out), "b_dec": (d_out,)}


@pytest.fixture
def write_transcoder(tmp_path: Path) -> Callable[..., tuple[Path, Arrays]]:
    """A skip transcoder in SAELens's format, from block 1's output to another place."""

    def write(d_out: int = D_MODEL, hook_name_out: str = "blocks.2.hook_mlp_out") -> tuple[Path, Arrays]:
        from safetensors.numpy import save_file

        folder = tmp_path / "transcoder"
        folder.mkdir()
        arrays = draw(0, **encoder_and_decoder(d_out), W_skip=(d_out, D_MODEL))
        save_file(arrays, folder / "sae_weights.safetensors")
        about = {"sae_lens_version": "6.54.12", "hook_name": "blocks.1.hook_resid_post", "hook_name_out": hook_name_out}
        config = {"architecture": "skip_transcoder", "d_in": D_MODEL, "d_sae": D_SAE, "d_out": d_out, "apply_b_dec_to_input": False}
        (folder / "cfg.json").write_text(json.dumps(config | {"metadata": about}))
        return folder, arrays

    return write


def seen_by_transformers(model_folder: Path, texts: list[str], **modules: tuple[str, bool]) -> dict[str, list[torch.Tensor]]:
    """What modules of the untouched model take (True) or give (False) for each text, BOS in front and left out of the result."""
    model, tokenizer = AutoModel.from_pretrained(model_folder, dtype=torch.float32), AutoTokenizer.from_pretrained(model_folder)
    found: dict[str, list[torch.Tensor]] = {name: [] for name in modules}
    for name, (path, reads_input) in modules.items():
        part = model.get_submodule(path)
        if reads_input:
            part.register_forward_pre_hook(lambda _module, args, name=name: found[name].append(args[0][0, 1:]))
        else:
            part.register_forward_hook(lambda _module, _args, output, name=name: found[name].append(output[0, 1:]))
    with torch.no_grad():
        for text in texts:
            model(torch.tensor([[1, *tokenizer(text, add_special_tokens=False).input_ids]]))
    return found


def explained(target: torch.Tensor, predicted: np.ndarray) -> float:
    exact = target.double().numpy()
    return float(1 - np.square(exact - predicted).sum() / np.square(exact - exact.mean(0)).sum())


def standard(x: torch.Tensor, arrays: Arrays) -> np.ndarray:
    return np.maximum(x.numpy() @ arrays["W_enc"] + arrays["b_enc"], 0)


@pytest.mark.parametrize("act_only", [False, True])
def test_a_skip_transcoder_into_a_deeper_block(run_extract, gemma_2, write_transcoder, toy_texts, caplog, act_only) -> None:
    folder, arrays = write_transcoder()
    models = [{"name": str(gemma_2), "layers": [1], "sae": {"path": str(folder)}}]
    settings = {"dtype": "float32", "act_only": act_only}
    with caplog.at_level(logging.INFO):
        model, where = run_extract(
            make_examples(toy_texts), models=models, settings=settings, tokens={"prepend_bos": "always"}, **BASELINES
        )
    seen = seen_by_transformers(gemma_2, toy_texts, read=("layers.1", False), predicted=("layers.2.post_feedforward_layernorm", False))
    store = LatentStore(where.latents["transcoder"].folder)
    for row, one in zip(dense_rows(store), seen["read"], strict=True):
        np.testing.assert_allclose(row, standard(one, arrays), atol=2e-3)
    first = torch.cat(seen["read"][:N_TEXTS])
    predicted = standard(first, arrays) @ arrays["W_dec"] + arrays["b_dec"] + first.numpy() @ arrays["W_skip"].T
    check = read_json(check_path(store.folder))
    expected = explained(torch.cat(seen["predicted"][:N_TEXTS]), predicted)
    assert check["explained_variance"] == pytest.approx(expected, rel=1e-3)
    assert check["fit_tokens"] == len(first) < check["n_tokens"]
    assert f"of what it predicts for {len(first)} tokens" in caplog.text
    # What it predicts was looked at; it is no store, and nothing else is read there.
    assert model.points == (HookPoint(1),)
    assert sorted(path.name for path in store.folder.parents[1].glob("blocks*")) == ["blocks.1.hook_resid_post"]


def test_gemma_scopes_transcoder_reads_the_norm_without_its_gain(run_extract, make_experiment, gemma_2, toy_texts, tmp_path) -> None:
    folder = tmp_path / "gemma-scope-2b-pt-transcoders/layer_1/width_16k/average_l0_6"
    folder.mkdir(parents=True)
    arrays = draw(1, **encoder_and_decoder()) | {"threshold": np.full(D_SAE, 0.3, np.float32)}
    np.savez(folder / "params.npz", **arrays)
    sae = {"format": "gemma_scope", "path": str(folder)}
    settings = {"dtype": "float32", "sae_location": "mlp"}
    over = {"models": [{"name": str(gemma_2), "layers": [1], "sae": sae}], "settings": settings, **BASELINES}
    model, where = run_extract(make_examples(toy_texts), **over)
    assert model.policy.prepend_bos and [str(point) for point in model.points] == ["blocks.1.ln2.hook_normalized"]
    seen = seen_by_transformers(
        gemma_2,
        toy_texts,
        stream=("layers.1.pre_feedforward_layernorm", True),
        predicted=("layers.1.post_feedforward_layernorm", False),
    )

    def latents(stream: torch.Tensor) -> np.ndarray:
        x = stream / (stream.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        z = x.numpy() @ arrays["W_enc"] + arrays["b_enc"]
        return np.maximum(z, 0) * (z > 0.3)

    store = LatentStore(where.latents[model.readings[0].name].folder)
    for row, stream in zip(dense_rows(store), seen["stream"], strict=True):
        np.testing.assert_allclose(row, latents(stream), atol=2e-3)
    predicted = latents(torch.cat(seen["stream"][:N_TEXTS])) @ arrays["W_dec"] + arrays["b_dec"]
    check = read_json(check_path(store.folder))
    assert check["explained_variance"] == pytest.approx(explained(torch.cat(seen["predicted"][:N_TEXTS]), predicted), rel=1e-3)
    # The doctor in full says the same of the same texts.
    experiment = make_experiment(**over)
    full = diagnose(experiment, experiment.models[0], toy_texts[:N_TEXTS])[0].measured
    assert full.quality.explained_variance == pytest.approx(check["explained_variance"], rel=1e-4)
    assert sorted(full.layers) == [0, 1, 2]


def test_the_doctor_keeps_the_distance_to_what_is_predicted(make_experiment, gemma_2, write_transcoder, toy_texts) -> None:
    folder, arrays = write_transcoder()
    models = [{"name": str(gemma_2), "layers": [1], "sae": {"path": str(folder)}}]
    experiment = make_experiment(models=models, settings={"dtype": "float32"}, tokens={"prepend_bos": "always"}, **BASELINES)
    found = diagnose(experiment, experiment.models[0], toy_texts)[0].measured
    seen = seen_by_transformers(
        gemma_2, toy_texts, **{f"read{n}": (f"layers.{n}", False) for n in (0, 1)},
        **{f"predicted{n}": (f"layers.{n + 1}.post_feedforward_layernorm", False) for n in (0, 1)},
    )  # fmt: skip
    assert sorted(found.layers) == [0, 1]  # no block 3 is there to be predicted from block 2
    for near in (0, 1):
        x, target = torch.cat(seen[f"read{near}"]), torch.cat(seen[f"predicted{near}"])
        predicted = standard(x, arrays) @ arrays["W_dec"] + arrays["b_dec"] + x.numpy() @ arrays["W_skip"].T
        assert found.layers[near] == pytest.approx(explained(target, predicted), rel=1e-3)


@pytest.mark.parametrize(("hook_name_out", "texts"), [("somewhere", None), ("blocks.2.hook_mlp_out", ["bomb"] * 9 + ["a nice cake"])])
def test_a_prediction_that_cannot_be_measured_is_no_error(
    run_extract, gemma_2, write_transcoder, toy_texts, caplog, hook_name_out: str, texts: Any
) -> None:
    folder, _ = write_transcoder(hook_name_out=hook_name_out)
    models = [{"name": str(gemma_2), "layers": [1], "sae": {"path": str(folder)}}]
    with caplog.at_level(logging.INFO):
        _, where = run_extract(make_examples(texts or toy_texts), models=models, **BASELINES)
    check = read_json(check_path(where.latents["transcoder"].folder))
    assert (check["fvu"], check["explained_variance"], "fit_tokens" in check) == (None, None, False)
    assert 0 < check["l0"] < D_SAE
    assert "a transcoder, whose prediction is not checked here; mosaic doctor does" in caplog.text


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"d_out": 10}, r"of width 10 at blocks\.2\.hook_mlp_out, but .* layers 0 to 2, of width 16 there"),
        ({"hook_name_out": "blocks.3.hook_mlp_out"}, r"at blocks\.3\.hook_mlp_out, but .* layers 0 to 2"),
    ],
)
def test_one_of_another_model_is_refused(run_extract, gemma_2, write_transcoder, toy_texts, over, message) -> None:
    folder, _ = write_transcoder(**over)
    with pytest.raises(SaeError, match=message):
        run_extract(make_examples(toy_texts), models=[{"name": str(gemma_2), "layers": [1], "sae": {"path": str(folder)}}], **BASELINES)


def test_its_random_control_is_refused_before_the_model_runs(run_extract, gemma_2, write_transcoder, toy_texts) -> None:
    models = [{"name": str(gemma_2), "layers": [1], "sae": {"path": str(write_transcoder()[0])}}]
    with pytest.raises(SaeError, match=r"Remove random_sae from classification_params\.baselines"):
        run_extract(make_examples(toy_texts), models=models)
