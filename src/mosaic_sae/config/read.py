"""Any YAML file of ours, with overrides, into its schema; or one error that lists everything that is wrong and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from mosaic_sae.config import lines, overrides
from mosaic_sae.config.lines import Document, KeyPath, Problem, dotted
from mosaic_sae.config.overrides import Override
from mosaic_sae.config.problems import find_problems, validate
from mosaic_sae.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Read(Generic[Model]):
    """What a file and the overrides say."""

    value: Model
    data: dict[str, Any]
    """The same as plain values, without defaults and before the schema's conversions."""
    text: str
    """The file as it is, or, when values were overridden, the merged values as YAML."""


def read_yaml(path: Path, model: type[Model], override_texts: list[str]) -> Read[Model]:
    """Read ``path`` into ``model``.

    Raises:
        ConfigError: the file cannot be decoded, is empty or no block of keys, or has problems; all of them are listed.
    """
    text = _decoded(path)
    document = lines.parse(text)
    _require_mapping(document, path, model)
    applied, refused = overrides.apply(document.data, override_texts)
    places = _Places(path, document, applied)
    problems = [problem for problem in find_problems(model, document.data) if not places.is_unreadable(problem)]
    if document.problems or refused or problems:
        raise ConfigError(places.message([*document.problems, *problems], refused))
    if override_texts:
        given = " ".join(" ".join(override_texts).split())  # one line, whatever was typed
        text = f"# With values set on the command line: {given}\n{lines.dump(document.data)}"
    return Read(validate(model, document.data), document.data, text)


def _decoded(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8.") from error


def _require_mapping(document: Document, path: Path, model: type[BaseModel]) -> None:
    if isinstance(document.data, dict):
        return
    if document.problems:
        raise ConfigError(_Places(path, document, []).message(document.problems, []))
    if document.data is None:
        needed = ", ".join(f"{name}:" for name, field in model.model_fields.items() if field.is_required())
        raise ConfigError(f"{path}:1: the file is empty; it needs at least {needed}. To begin with a copy of a preset: mosaic init")
    got = "a list" if isinstance(document.data, list) else "a single value"
    keys = ", ".join(model.model_fields)
    raise ConfigError(f"{path}:{document.lines[()]}: got {got}; a config is a block of keys (key: value). Allowed: {keys}.")


class _Places:
    """Says where each problem is: a line of the file, or an override."""

    def __init__(self, path: Path, document: Document, applied: list[Override]) -> None:
        self._path, self._document, self._applied = path, document, applied

    def message(self, problems: list[Problem], refused: list[Problem]) -> str:
        """List problems, those of the file first and in its order; ``refused`` are overrides that could not be applied."""
        in_file, on_command_line = [], list(refused)
        for problem in problems:
            if problem.line is None and self._is_overridden(problem.path):
                on_command_line.append(problem)
            else:
                sentence = f"{dotted(problem.path)}: {problem.text}" if problem.path else problem.text
                in_file.append((problem.line or self._line(problem.path), sentence))
        messages = [f"{self._path}:{line}: {sentence}" for line, sentence in sorted(in_file)]
        messages += [f"-s {dotted(problem.path)}: {problem.text}" for problem in on_command_line]
        head = "1 problem" if len(messages) == 1 else f"{len(messages)} problems"
        return "\n".join([f"{head} in the configuration {self._path}", *messages])

    def is_unreadable(self, problem: Problem) -> bool:
        """Whether the text itself is at fault there, which is told already."""
        return any(problem.path[: len(path)] == path for path in self._document.unreadable)

    def _is_overridden(self, path: KeyPath) -> bool:
        inside = any(path[: len(item.path)] == item.path for item in self._applied)
        made_by_one = path not in self._document.lines and any(item.path[: len(path)] == path for item in self._applied)
        return inside or made_by_one

    def _line(self, path: KeyPath) -> int:
        while path and path not in self._document.lines:
            path = path[:-1]
        return self._document.lines.get(path, 1)
