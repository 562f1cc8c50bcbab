"""Answers kept one by one in a file of JSON lines, so that whatever ends a process costs only what was being asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mosaic_sae.errors import StoreError


class AnswerLog:
    """A dictionary on disk that only grows: one ``{"key": ..., "value": ...}`` a line."""

    def __init__(self, path: Path) -> None:
        """Read what is there. A last line without an end was being written when a process was killed; it is cut off.

        Raises:
            StoreError: another line is damaged.
        """
        self.path = path
        self._found: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.is_file() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
        for number, line in enumerate(whole.decode("utf-8").split("\n")[:-1], start=1):
            try:
                entry = json.loads(line)
                self._found[entry["key"]] = entry["value"]
            except (json.JSONDecodeError, TypeError, KeyError) as error:
                raise StoreError(f"{path}: line {number} is damaged. Delete that line (it is asked again), or the file.") from error

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Any:
        return self._found[key]

    def add(self, entries: Mapping[str, Any]) -> None:
        """Append entries; they are on disk when this returns."""
        lines = [json.dumps({"key": key, "value": value}, allow_nan=False) + "\n" for key, value in entries.items()]
        with self.path.open("a", encoding="utf-8") as handle:
            handle.writelines(lines)
            handle.flush()
            os.fsync(handle.fileno())
        self._found |= entries
