"""What a result's reader has to know to make it again: versions, git state, data, model, SAE, tokens."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.models.hook_points import VISION_TOWER, HookPoint
from mosaic_sae.pipeline.fit_check import read_check
from mosaic_sae.pipeline.readings import ModelReadings, StorePlaces, describe
from mosaic_sae.pipeline.signs import read_signs

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples

_PACKAGES = ("mosaic-sae", "torch", "transformers", "scikit-learn", "numpy", "scipy", "datasets", "pillow", "safetensors", "skops")


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers can depend on."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}


@cache
def git_state() -> dict[str, Any] | None:
    """Commit of the code and whether it was changed since; None when it is not run from a checkout."""
    here = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside somebody else's repository; ours tracks this very file.
    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}


def of_dataset(examples: Examples, seed: int) -> dict[str, Any]:
    """Provenance of points that need no model."""
    return {
        "versions": versions(),
        "git": git_state(),
        "dataset": {"name": examples.name, "fingerprint": examples.fingerprint, **examples.provenance},
        "seed": seed,
        "rows": {"kept": len(examples), "skipped": len(examples.skipped)},
    }


def of_reading(
    model: ModelReadings, examples: Examples, places: StorePlaces, key: dict[str, Any], seed: int, manifests: dict[str, Any]
) -> dict[str, Any]:
    """Provenance of a point, given by its key, on one SAE's latents or on the hidden states of a hook point."""
    about = of_dataset(examples, seed) | describe(model, examples)
    about["rows"] = about["rows"] | {name: manifests["tokens"]["totals"][name] for name in ("truncated", "windowed")}
    about["n_tokens"] = manifests["tokens"]["totals"]["tokens"]
    if key["layer"] is None:
        return about | {"read": {"hook_point": str(VISION_TOWER)}}
    point = HookPoint(key["layer"], key["site"])
    about["read"] = {"hook_point": str(point), **read_signs(places.activations[point].folder)}
    name = key["sae"]
    reading = next((reading for reading in model.readings if reading.name == name), None)
    if reading is not None:
        latents = manifests[name]
        about["latent_store"] = places.latents[name].fingerprint
        about["n_tokens_counted"] = latents["totals"]["tokens"]
        about["tokens"] = about["tokens"] | {"max_norm": model.max_norm[reading.point]}
        about["sae"] = {
            "name": name,
            "fingerprint": reading.sae.fingerprint,
            "hook_point": str(reading.point),
            "check": read_check(places, name),
        }
    return about
