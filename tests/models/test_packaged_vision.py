"""An adapter and a packaged language model put together are the LLaVA that they were taken from."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from mosaic_sae.config.schema import Chat, Tokens
from mosaic_sae.errors import ModelError
from mosaic_sae.fsio import read_json, sha256_file, write_json
from mosaic_sae.models import packaged_vision
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.pictures import load_processor, make_vision_policy
from mosaic_sae.models.text import load_tokenizer
from mosaic_sae.models.vision import VisionLanguageModel
from vision_models import TINY, make_picture, make_vision_model

POINT = HookPoint(1)


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A LLaVA, of which the language model is "packaged" and the rest an adapter."""
    whole = make_vision_model(tmp_path / "whole", TINY[1])
    model = AutoModelForImageTextToText.from_pretrained(whole, dtype=torch.float32)
    language_model = AutoModelForCausalLM.from_config(model.config.text_config)
    language_model.model.load_state_dict(model.model.language_model.state_dict())
    packaged = tmp_path / "packaged"
    language_model.save_pretrained(packaged)
    for path in whole.glob("tokenizer*"):
        shutil.copyfile(path, packaged / path.name)
    write_json(packaged / "converted.json", {"sha256": {"model.safetensors": sha256_file(packaged / "model.safetensors")}})
    adapter = tmp_path / "adapters/eyes"
    adapter.mkdir(parents=True)
    eyes = {name: tensor.half() for name, tensor in model.state_dict().items() if name.startswith(packaged_vision._PARTS)}
    save_file(eyes, adapter / "adapter.safetensors")
    # The whole model's weights are rounded as the adapter's are.
    model.load_state_dict({name: tensor.float() for name, tensor in eyes.items()}, strict=False)
    model.save_pretrained(whole)
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copyfile(whole / name, adapter / name)
    hashes = {path.name: sha256_file(path) for path in adapter.iterdir()}
    write_json(adapter / "adapter.json", {"language_model": "packaged/words", "licence": "none", "sha256": hashes})
    monkeypatch.setenv("MOSAIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packaged_vision, "ADAPTERS", tmp_path / "adapters")
    monkeypatch.setattr(packaged_vision, "packaged_folder", lambda name: packaged)
    return whole


def states(name: str) -> torch.Tensor:
    located = locate_model(name)
    policy = make_vision_policy(load_processor(located), load_tokenizer(located), located, True, Tokens(), Chat(), "a cake")
    model = VisionLanguageModel(located, [POINT], "cpu", "float32")
    return model.capture_pieces(model.tokenise([""], policy, [make_picture()]).pieces[0])[POINT]


def test_put_together_it_gives_the_same_states(whole: Path) -> None:
    located = locate_model("packaged/eyes")
    assert located.licence == "none"
    assert sorted(located.identity) == ["config", "packaged", "weights"]
    torch.testing.assert_close(states("packaged/eyes"), states(str(whole)), rtol=1e-5, atol=1e-5)
    receipt = read_json(located.folder / "converted.json")
    assert receipt["language_model"] == "packaged/words"
    assert {name: sha256_file(located.folder / name) for name in receipt["sha256"]} == receipt["sha256"]


def test_it_is_put_together_once(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packaged_vision.adapter_folder("packaged/eyes")
    monkeypatch.setattr(packaged_vision, "_assemble", lambda *_: pytest.fail("put together again"))
    assert packaged_vision.adapter_folder("packaged/eyes") == folder


def test_a_changed_file_and_strange_weights_are_refused(whole: Path) -> None:
    folder = packaged_vision.ADAPTERS / "eyes"
    contract = read_json(folder / "adapter.json")
    save_file({"lm_head.weight": torch.zeros(1)}, folder / "adapter.safetensors")
    with pytest.raises(ModelError, match=r"adapter\.safetensors of the adapter packaged/eyes has SHA-256 .*, expected .* Reinstall"):
        packaged_vision.adapter_folder("packaged/eyes")
    contract["sha256"]["adapter.safetensors"] = sha256_file(folder / "adapter.safetensors")
    (folder / "adapter.json").write_text(json.dumps(contract))
    with pytest.raises(ModelError, match=r"neither a vision tower nor a projector: lm_head\.weight"):
        packaged_vision.adapter_folder("packaged/eyes")


def test_an_unknown_name_lists_adapters_too(whole: Path) -> None:
    with pytest.raises(ModelError, match=r"Unknown packaged model 'eye'\. Did you mean 'eyes'\?"):
        locate_model("packaged/eye")


@pytest.mark.slow
@pytest.mark.parametrize("name", packaged_vision.adapter_names())
def test_a_shipped_adapter_loads_and_writes_the_image_tokens_that_it_promises(name: str) -> None:
    contract = read_json(packaged_vision.ADAPTERS / name / "adapter.json")
    located = locate_model(f"packaged/{name}")
    policy = make_vision_policy(load_processor(located), load_tokenizer(located), located, True, Tokens(), Chat(), "")
    model = VisionLanguageModel(located, [POINT], "cpu", "float32")
    texts = model.tokenise([""], policy, [make_picture(72, 72)])
    assert (texts.ids[0][texts.counts[0]] == contract["image_token_id"]).all()
    assert texts.counts[0].sum() == contract["n_image_tokens"]
    assert torch.isfinite(model.capture_pieces(texts.pieces[0])[POINT]).all()
