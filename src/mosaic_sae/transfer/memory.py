"""What was translated so far, in a file that outlives a killed job."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


class Memory:
    """Translations by fingerprint, one JSON object a line; each portion is on disk before the next is asked for."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a last line that was cut off is removed, so that the next one begins on a line of its own."""
        self._path = path
        self._found: dict[str, str] = {}
        if not path.is_file():
            return
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            entry = json.loads(line)
            self._found[entry["key"]] = entry["text"]

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def get(self, key: str) -> str | None:
        """Return a translation, or None."""
        return self._found.get(key)

    def add(self, texts: Mapping[str, str]) -> None:
        """Keep translations, by their keys."""
        if not texts:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as handle:
            handle.write("".join(json.dumps({"key": key, "text": text}) + "\n" for key, text in texts.items()).encode())
            handle.flush()
            os.fsync(handle.fileno())
        self._found |= texts
