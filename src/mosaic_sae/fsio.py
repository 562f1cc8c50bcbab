"""Files that are either whole or absent: write to a temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on a clean exit fsync it and rename it into place.

    The temporary name carries the process id, so two writers never share one. After a crash a ``*.tmp-*`` file may
    stay behind; readers ignore it and the next writer of the same path removes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # A rename is durable only once the folder itself is synced.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed writer left in ``folder``."""
    for leftover in folder.glob("*.tmp-*"):
        leftover.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted keys, no NaN, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Let a library write to a temporary path, then move the file into place."""
    with atomic_path(path) as temporary:
        write(temporary)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def slug(name: str) -> str:
    """Turn a model, dataset or SAE name into one folder name: characters outside [A-Za-z0-9._-] become "_".

    File systems take 255 bytes a name; a name over 100 keeps its end and gets a hash in place of its beginning.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "_"
    if len(plain) <= 100:
        return plain
    return f"{hashlib.sha256(name.encode('utf-8')).hexdigest()[:12]}_{plain[-80:]}"
