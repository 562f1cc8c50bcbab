"""Configurations that ship with the package."""

from __future__ import annotations

from pathlib import Path

from mosaic_sae.errors import ConfigError, unknown_name

FOLDER = Path(__file__).parent.parent / "presets"


def preset_names() -> list[str]:
    """Return the names of all presets, sorted; a preset in a subfolder is "folder/name"."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))


def preset_path(name: str) -> Path:
    """Return the file of a preset.

    Raises:
        ConfigError: no preset has this name.
    """
    if name not in preset_names():
        raise ConfigError(unknown_name("preset", name, preset_names()))
    return FOLDER / f"{name}.yaml"


def preset_summary(name: str) -> str:
    """Return the first comment line of a preset, which says what it is."""
    with preset_path(name).open(encoding="utf-8") as handle:
        return handle.readline().removeprefix("#").strip()
