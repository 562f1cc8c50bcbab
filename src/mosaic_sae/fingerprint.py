"""Sixteen hexadecimal digits that stand for everything that can change a number, and for nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(value: Any) -> str:
    """Hash JSON-like ``value`` canonically: key order and float spelling do not matter, types do.

    Never put paths, batch sizes, devices or worker counts in ``value``.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
