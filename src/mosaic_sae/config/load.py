"""From a file name (or a preset's name) and overrides to a valid :class:`Experiment`, or another kind of YAML file."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_sae.config import lines
from mosaic_sae.config.behaviour import Behaviour
from mosaic_sae.config.describe import closest
from mosaic_sae.config.poolings import canonical_pooling
from mosaic_sae.config.presets import preset_names, preset_path
from mosaic_sae.config.read import read_yaml
from mosaic_sae.config.sae_recipe import SaeRecipe
from mosaic_sae.config.schema import Experiment
from mosaic_sae.config.translation import TranslationJob
from mosaic_sae.errors import ConfigError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A valid configuration."""

    experiment: Experiment
    name: str
    """Name of the run: the file's ``name:``, else the file's own name."""
    path: Path
    text: str
    """A config that gives this experiment again: the file as it is, or, when values were overridden, the merged values."""


def load_experiment(path_or_preset: str | Path, overrides: list[str] | None = None) -> Loaded:
    """Read a config. Relative paths inside it are relative to the working directory.

    Args:
        path_or_preset: a YAML file; if there is none of that name, the name of a preset.
        overrides: "key.path=value" texts, the value in YAML.

    Raises:
        ConfigError: lists all problems, each with its line or override, key, what was got and what is allowed.
    """
    presets = preset_names()
    path = preset_path(str(path_or_preset)) if _names_a_preset(path_or_preset, presets) else _existing(path_or_preset, presets)
    read = read_yaml(path, Experiment, overrides or [])
    _log_aliases(read.data)
    return Loaded(read.value, read.value.name or path.stem, path, read.text)


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> SaeRecipe:
    """Read the recipe of an SAE.

    Raises:
        ConfigError: as for :func:`load_experiment`.
    """
    return read_yaml(_existing(path, []), SaeRecipe, overrides or []).value


def load_translation(path: str | Path, overrides: list[str] | None = None) -> TranslationJob:
    """Read a translation job.

    Raises:
        ConfigError: as for :func:`load_experiment`.
    """
    return read_yaml(_existing(path, []), TranslationJob, overrides or []).value


def load_behaviour(path: str | Path, overrides: list[str] | None = None) -> Behaviour:
    """Read what a model is asked.

    Raises:
        ConfigError: as for :func:`load_experiment`.
    """
    return read_yaml(_existing(path, []), Behaviour, overrides or []).value


def to_yaml(experiment: Experiment) -> str:
    """Write an experiment with every default spelt out."""
    return lines.dump(experiment.model_dump(mode="json"))


def _names_a_preset(name: str | Path, presets: list[str]) -> bool:
    return not Path(name).is_file() and str(name) in presets


def _existing(name: str | Path, presets: list[str]) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    folder = next((candidate for candidate in (path, path.parent) if candidate.is_dir()), Path())
    files = sorted(item.name for pattern in ("*.yaml", "*.yml") for item in folder.glob(pattern))
    near = closest(path.name, [*files, *presets])
    problem = "is a folder" if path.is_dir() else "is neither a file nor a preset" if presets else "is not a file"
    hint = f" Did you mean '{near if near in presets else (folder / near).as_posix()}'?" if near else ""
    known = f" Presets: {', '.join(presets)}. To begin with a copy of a preset: mosaic init" if presets else ""
    raise ConfigError(f"'{name}' {problem}.{hint} YAML files in {folder.resolve()}: {', '.join(files) or 'none'}.{known}")


def _log_aliases(data: dict[str, Any]) -> None:
    """Say once what the integers among the poolings stand for."""
    params = data.get("classification_params") or {}
    given = [*(params.get("top_n_values") or []), params.get("extra_top_n")]
    integers = dict.fromkeys(value for value in given if isinstance(value, int))
    if integers:
        logger.info("poolings: %s", ", ".join(f"{value} = {canonical_pooling(value)}" for value in integers))
