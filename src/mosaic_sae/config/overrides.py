"""Single values set on the command line: ``-s settings.seed=7``, ``-s models.0.layers=[12]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mosaic_sae.config import lines
from mosaic_sae.config.lines import KeyPath, Problem, dotted


@dataclass(frozen=True)
class Override:
    """One override. ``path`` has list positions as integers once it was applied."""

    path: KeyPath
    value: Any


def apply(data: dict[str, Any], texts: list[str]) -> tuple[list[Override], list[Problem]]:
    """Put every override into ``data`` (changed in place). Blocks that are absent are made; list items have to exist.

    Returns:
        The overrides applied, and what is wrong with the others. The schema judges the values later, with the rest of the file.
    """
    applied, problems = [], []
    for text in texts:
        override, problem = _apply_one(data, text)
        if problem:
            problems.append(problem)
        elif override:
            applied.append(override)
    return applied, problems


def _apply_one(data: dict[str, Any], text: str) -> tuple[Override | None, Problem | None]:
    key, equals, value_text = text.partition("=")
    parts = tuple(key.strip().split("."))
    if not equals or not all(parts):
        return None, Problem((text,), "write key.path=value, for example settings.seed=7.")
    document = lines.parse(value_text)
    if document.problems:
        return None, Problem(parts, f"the value cannot be read: {document.problems[0].text}")
    here: Any = data
    path: KeyPath = ()
    for position, part in enumerate(parts):
        step, problem = _step(here, part)
        if problem:
            where = dotted(path) or "the file"
            return None, Problem(parts, f"{where} {problem}")
        path = (*path, step)
        if position == len(parts) - 1:
            here[step] = document.data
        elif isinstance(here, dict) and here.get(step) is None:
            here[step] = {}
        here = here[step]
    return Override(path, document.data), None


def _step(here: Any, part: str) -> tuple[str | int, str | None]:
    if isinstance(here, dict):
        return part, None
    if not isinstance(here, list):
        return part, f"holds a single value, so nothing can be set inside it ('{part}')."
    if not part.isdecimal():
        return part, f"is a list: name one of its {len(here)} items by number, beginning with 0, before '{part}'."
    if int(part) >= len(here):
        return part, f"has {len(here)} items, numbered from 0; there is no item {part}."
    return int(part), None
