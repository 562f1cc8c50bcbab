"""Every problem of a configuration at once, one plain sentence per key.

Pydantic does not check a block as a whole (may these keys go together?) while one of its keys is wrong. So what was found is mended in a
copy (the likely word, the default, or a stand-in) and the copy is checked again, until nothing new turns up. What a whole-block check
says about a key with a stand-in is not reported: it would not be about what the user wrote.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mosaic_sae.config.explain import DELETE, Finding, explain
from mosaic_sae.config.lines import KeyPath, Problem

Model = TypeVar("Model", bound=BaseModel)
_ROUNDS = 12


def validate(model: type[Model], data: Any) -> Model:
    """Build ``model`` strictly: no text becomes a number, no number a boolean.

    Raises:
        ValidationError: see :func:`find_problems` for its meaning in words.
    """
    # Strict JSON mode is the one in which pydantic takes text for a path and 1 for 1.0, and converts nothing else.
    return model.model_validate_json(json.dumps(data), strict=True)


def find_problems(model: type[BaseModel], data: Any) -> list[Problem]:
    """Return everything that keeps ``data`` from being a ``model``; empty when it is one."""
    search = _Search(data)
    for _ in range(_ROUNDS):
        try:
            validate(model, search.data)
        except ValidationError as error:
            if not search.take(explain(error, model, search.data)):
                break
        else:
            break
    return search.problems


class _Search:
    """The mended copy, and what was found so far."""

    def __init__(self, data: Any) -> None:
        self.data = copy.deepcopy(data)
        self.problems: list[Problem] = []
        self._renamed: dict[KeyPath, KeyPath] = {}  # where a misspelt key went in the copy -> what the user wrote
        self._stand_ins: set[KeyPath] = set()

    def take(self, findings: list[Finding]) -> bool:
        """Note the new findings and mend the copy; False when nothing was mended."""
        outside = [finding for finding in findings if not any(finding.path[: len(path)] == path for path in self._stand_ins)]
        fresh = [finding for finding in outside if not (finding.whole_block and self._mentions_a_stand_in(finding.text))]
        self.problems += [Problem(self._as_written(finding.path), finding.text) for finding in fresh]
        edits = dict(edit for finding in outside for edit in finding.edits)
        for path, value in edits.items():
            _edit(self.data, path, value)
        self._renamed |= {finding.renamed: self._as_written(finding.path) for finding in fresh if finding.renamed}
        self._stand_ins |= {path for finding in outside if finding.is_stand_in for path, _ in finding.edits}
        return bool(edits)

    def _mentions_a_stand_in(self, text: str) -> bool:
        names = {next(part for part in reversed(path) if isinstance(part, str)) for path in self._stand_ins}
        return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)

    def _as_written(self, path: KeyPath) -> KeyPath:
        for new, old in self._renamed.items():
            if path[: len(new)] == new:
                return old + path[len(new) :]
        return path


def _edit(data: Any, path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        data = data[part]
    if value is DELETE:
        del data[path[-1]]
    else:
        data[path[-1]] = value
