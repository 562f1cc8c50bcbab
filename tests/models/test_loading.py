"""How weights are loaded: spread over devices, quantised, or with a repository's own code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mosaic_sae.errors import ModelError
from mosaic_sae.models import loading as loading_module
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.loading import Loading
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import TextModel

IDS = torch.tensor([[1, 5, 9, 8, 4], [1, 7, 3, 3, 3]])
POINTS = [HookPoint(0, "mlp_out"), HookPoint(1, "attn_z"), HookPoint(2)]


@pytest.mark.parametrize(
    "device_map",
    [
        "auto",
        {"": "cpu"},
        dict.fromkeys(("embed_tokens", "rotary_emb", "layers.0", "norm"), "cpu")
        | dict.fromkeys(("layers.1", "layers.2", "layers.3"), "disk"),
    ],
    ids=["auto", "cpu", "disk"],
)
def test_a_model_spread_over_devices_gives_the_same(tiny_model: Path, device_map: str | dict[str, str]) -> None:
    located = locate_model(str(tiny_model))
    whole = TextModel(located, POINTS, "cpu", "float32").capture(IDS)
    spread = TextModel(located, POINTS, "cpu", "float32", Loading(device_map=device_map))
    if isinstance(device_map, dict) and "disk" in device_map.values():
        # Its weights are not in memory between passes.
        assert {parameter.device.type for parameter in spread.model.layers[1].parameters()} == {"meta"}
    assert spread.device == torch.device("cpu")
    torch.testing.assert_close(spread.capture(IDS), whole)


def test_quantisation_needs_a_gpu_and_bitsandbytes(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = locate_model(str(tiny_model))
    with pytest.raises(
        ModelError, match=r"quantisation is 8bit, which needs a CUDA device, but the model goes to cpu\..*quantisation: none"
    ):
        TextModel(located, POINTS, "cpu", "float32", Loading(quantisation="8bit"))
    monkeypatch.setattr(loading_module.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ModelError, match=r"needs bitsandbytes\. Install it with: pip install bitsandbytes"):
        TextModel(located, POINTS, "cuda", "float32", Loading(quantisation="4bit"))


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own_kind"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny Llama as a repository would hold it that brings its own code, with the causal model alone."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = shutil.copytree(tiny_model, tmp_path / "own")
    (folder / "own.py").write_text(OWN_CODE)
    config = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "own_kind", "architectures": ["OwnForCausalLM"], "auto_map": auto_map})
    )
    return folder


def test_own_code_runs_only_when_trusted(own_code: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"model_type own_kind\) is none that transformers knows.*trust_remote_code: true"):
        locate_model(str(own_code))
    points = [HookPoint(1, "resid_pre"), HookPoint(1)]
    model = TextModel(locate_model(str(own_code), trust_remote_code=True), points, "cpu", "float32")
    assert type(model.model).__name__ == "LlamaModel"
    torch.testing.assert_close(model.capture(IDS), TextModel(locate_model(str(tiny_model)), points, "cpu", "float32").capture(IDS))


def test_trusted_code_is_part_of_the_identity(own_code: Path) -> None:
    before = locate_model(str(own_code), trust_remote_code=True).identity
    (own_code / "own.py").write_text(OWN_CODE + "\n# changed\n")
    assert locate_model(str(own_code), trust_remote_code=True).identity != before


def test_a_known_model_that_also_brings_code_needs_no_trust(own_code: Path, tiny_model: Path) -> None:
    config = json.loads((own_code / "config.json").read_text())
    (own_code / "config.json").write_text(json.dumps(config | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    captured = TextModel(locate_model(str(own_code)), POINTS, "cpu", "float32").capture(IDS)
    torch.testing.assert_close(captured, TextModel(locate_model(str(tiny_model)), POINTS, "cpu", "float32").capture(IDS))


def test_a_folder_that_lacks_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(tiny_model, tmp_path / "lacking")
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights of .* are not in .*: layers\.2\.mlp\.up_proj\.weight\. Its files and its config"):
        TextModel(locate_model(str(copy)), POINTS, "cpu", "float32")
