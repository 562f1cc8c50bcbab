"""Adapters that ship with MOSAIC: a vision tower and a projector that make a LLaVA of a packaged language model.

A folder of ``adapters`` holds config.json (of the whole LLaVA), adapter.safetensors (its weights whose names begin with
``model.vision_tower.`` or ``model.multi_modal_projector.``), what the processor needs, and adapter.json, which names the language model
and the SHA-256 of every other file. The image token is a token that the language model has and does not use.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mosaic_sae.errors import ModelError
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.fsio import read_json, sha256_file
from mosaic_sae.models.packaged import PREFIX, RECEIPT, cache_folder, make_once, packaged_folder

ADAPTERS = Path(__file__).parent / "adapters"
_CONTRACT, _WEIGHTS = "adapter.json", "adapter.safetensors"
_PARTS = ("model.vision_tower.", "model.multi_modal_projector.")
_OF_THE_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "*.jinja", "*.model")


def adapter_names() -> list[str]:
    """Return the names of the adapters."""
    return sorted(path.parent.name for path in ADAPTERS.glob(f"*/{_CONTRACT}"))


def adapter_folder(name: str) -> Path:
    """Return a LLaVA's folder for "packaged/NAME", putting it together the first time.

    Raises:
        ModelError: a file of the adapter is not the expected one, or the language model cannot be had.
    """
    short = name.removeprefix(PREFIX)
    source = ADAPTERS / short
    contract = read_json(source / _CONTRACT)
    for file, expected in contract["sha256"].items():
        actual = sha256_file(source / file) if (source / file).is_file() else "no such file"
        if actual != expected:
            raise ModelError(f"The file {file} of the adapter {name} has SHA-256 {actual}, expected {expected}. Reinstall mosaic-sae.")
    language_model = packaged_folder(contract["language_model"])
    weights = read_json(language_model / RECEIPT)["sha256"]["model.safetensors"]
    key = fingerprint({"adapter": contract["sha256"], "language_model": weights})
    return make_once(
        name,
        cache_folder() / "models" / f"{short}-{key[:12]}",
        lambda folder: _assemble(source, language_model, folder),
        {"language_model": contract["language_model"], "licence": contract["licence"]},
    )


def _assemble(source: Path, language_model: Path, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapter = load_file(source / _WEIGHTS)
    if strangers := [name for name in adapter if not name.startswith(_PARTS)]:
        raise ModelError(f"{source / _WEIGHTS} holds weights of neither a vision tower nor a projector: {', '.join(strangers[:3])}.")
    weights: dict[str, Any] = {_inside(name): tensor for name, tensor in load_file(language_model / "model.safetensors").items()}
    # Counters of batch normalisation are no float16.
    weights |= {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in adapter.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    copied = [path for pattern in _OF_THE_TOKENIZER for path in language_model.glob(pattern)]
    # What the adapter says goes before what the language model says.
    for path in [*copied, *(path for path in source.iterdir() if path.suffix == ".json" and path.name != _CONTRACT)]:
        shutil.copyfile(path, folder / path.name)


def _inside(name: str) -> str:
    """Return the name that a weight of a language model has in a LLaVA."""
    return f"model.language_model.{name.removeprefix('model.')}" if name.startswith("model.") else name
