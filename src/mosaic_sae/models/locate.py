"""Find a model's files and say which model they are, without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_sae.errors import ModelError, unknown_name
from mosaic_sae.fsio import read_json, sha256_file
from mosaic_sae.models.hub import snapshot
from mosaic_sae.models.packaged import PACKAGED, PREFIX, RECEIPT, packaged_folder
from mosaic_sae.models.packaged_vision import adapter_folder, adapter_names

_WEIGHTS = ("*.safetensors", "*.bin")
_SMALL = ["*.json", "*.model", "*.txt", "*.jinja"]
_CODE = "*.py"


@dataclass(frozen=True)
class LocatedModel:
    """A model's folder and what identifies it."""

    name: str
    folder: Path
    identity: dict[str, Any]
    """What changes the numbers: a commit hash (hub) or hashes of the files (local)."""
    n_layers: int
    d_model: int
    family: str
    """Hugging Face's model type, e.g. "llama"."""
    licence: str | None = None
    trust_remote_code: bool = False
    """Whether Python code from the model's folder may run."""
    text_family: str = ""
    """Model type of the language model inside a vision-language model; else the same as ``family``."""


def locate_model(name: str, revision: str | None = None, trust_remote_code: bool = False) -> LocatedModel:
    """Resolve "packaged/NAME", a local folder, or a hub name.

    Args:
        name: what to resolve.
        revision: commit, tag or branch of a hub repository.
        trust_remote_code: whether Python code from the model's folder may run.

    Raises:
        ModelError: the model cannot be had, its folder is no Hugging Face model, or it needs code that is not trusted.
    """
    if name.startswith(PREFIX):
        return _locate_packaged(name)
    local = Path(name).expanduser()
    if local.is_dir():
        return _describe(name, local, _file_hashes(local, trust_remote_code), trust_remote_code)
    if name.startswith((".", "/", "~")) or local.exists():
        raise ModelError(f"The model '{name}' is not a folder. Give a folder in Hugging Face format, a hub name, or packaged/NAME.")
    small = [*_SMALL, _CODE] if trust_remote_code else _SMALL
    folder = snapshot(name, revision, [*small, _WEIGHTS[0]])
    if not any(folder.glob(_WEIGHTS[0])):
        folder = snapshot(name, revision, [*small, _WEIGHTS[1]])
    return _describe(name, folder, {"hub": name, "commit": folder.name}, trust_remote_code)


def _locate_packaged(name: str) -> LocatedModel:
    short, adapters = name.removeprefix(PREFIX), adapter_names()
    if short not in PACKAGED and short not in adapters:
        raise ModelError(unknown_name("packaged model", short, [*PACKAGED, *adapters]))
    folder = adapter_folder(name) if short in adapters else packaged_folder(name)
    receipt = read_json(folder / RECEIPT)
    # The converted weights, not the GGUF file, are what the numbers come from.
    identity = {"packaged": short, "weights": receipt["sha256"]["model.safetensors"]}
    if short in adapters:
        identity["config"] = receipt["sha256"]["config.json"]
    return _describe(name, folder, identity, licence=receipt["licence"])


def _file_hashes(folder: Path, trust_remote_code: bool) -> dict[str, Any]:
    kinds = ("config.json", "tokenizer*", "special_tokens_map.json", *_WEIGHTS, *([_CODE] if trust_remote_code else []))
    files = sorted({path for kind in kinds for path in folder.glob(kind) if path.is_file()})
    return {"files": {path.name: sha256_file(path) for path in files}}


def _describe(
    name: str, folder: Path, identity: dict[str, Any], trust_remote_code: bool = False, licence: str | None = None
) -> LocatedModel:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"The model folder {folder} has no config.json; it is not in Hugging Face format.")
    try:
        config = read_json(path)
    except json.JSONDecodeError as error:
        raise ModelError(f"{path} is not valid JSON: {error}.") from error
    if not trust_remote_code and needs_own_code(config):
        raise ModelError(
            f"The model {name} (model_type {config.get('model_type')}) is none that transformers knows; it needs the Python code in its "
            "repository. Read that code, then set trust_remote_code: true in the model entry to let it run."
        )
    family, text = str(config.get("model_type")), config.get("text_config", config)
    text_family = str(text.get("model_type", family))
    n_layers = text.get("num_hidden_layers", text.get("n_layer"))
    d_model = text.get("hidden_size", text.get("n_embd"))
    if "text_config" in config and not (isinstance(n_layers, int) and isinstance(d_model, int)):
        n_layers, d_model = _default_sizes(folder)
    if not isinstance(n_layers, int) or not isinstance(d_model, int):
        raise ModelError(f"{path} does not say num_hidden_layers and hidden_size; this is not a transformer language model.")
    return LocatedModel(name, folder, identity, n_layers, d_model, family, licence, trust_remote_code, text_family)


def _default_sizes(folder: Path) -> tuple[Any, Any]:
    """Return number of layers and width of a language model whose config leaves out what is usual (LLaVA 1.5 does)."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    return getattr(text, "num_hidden_layers", None), getattr(text, "hidden_size", None)


def needs_own_code(config: dict[str, Any]) -> bool:
    """Whether a model of this config can be loaded with the Python code of its repository only."""
    if "auto_map" not in config:
        return False
    from transformers import CONFIG_MAPPING

    return config.get("model_type") not in CONFIG_MAPPING


def width_at(located: LocatedModel, site: str) -> int:
    """Return the width of the activations at a site: d_model, or all heads side by side for ``attn_z``."""
    if site != "attn_z":
        return located.d_model
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        located.folder, local_files_only=True, trust_remote_code=located.trust_remote_code
    ).get_text_config()
    n_heads: int = config.num_attention_heads
    d_head: int = getattr(config, "head_dim", None) or located.d_model // n_heads
    return n_heads * d_head
