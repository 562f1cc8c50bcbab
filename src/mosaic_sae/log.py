"""Logging for the command line, and progress that reads well on a terminal and in a log file."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("mosaic_sae")


def configure(verbose: bool = False) -> None:
    """Send the package's log to stderr. Called by the command line only; calling it again changes the level alone."""
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    if not any(getattr(handler, "mosaic_console", False) for handler in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        handler.addFilter(lambda record: not getattr(record, "is_redrawn", False))
        handler.mosaic_console = True  # type: ignore[attr-defined]
        logger.addHandler(handler)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Also append the package's log to ``path`` while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


class Progress:
    """Count work done; say how much, how fast and how long still, at most once per ``every`` seconds.

    On a terminal the line is redrawn there, and logged for files alone; elsewhere each report is a log line.
    """

    def __init__(self, label: str, total: int, unit: str = "rows", every: float = 10.0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._terminal = sys.stderr.isatty()
        self._every, self._every_log = 0.2 if self._terminal else every, every
        self._start = self._last = self._last_logged = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._terminal and self._last > self._start:
            sys.stderr.write("\n")

    def add(self, count: int, note: str = "") -> None:
        """Record ``count`` more units done."""
        self.done += count
        now = time.monotonic()
        if now - self._last < self._every and self.done < self.total:
            return
        self._last = now
        line = self._line(now - self._start, note)
        if self._terminal:
            sys.stderr.write(f"\r\x1b[2K{line}")
            sys.stderr.flush()
        if now - self._last_logged >= self._every_log or self.done >= self.total:
            self._last_logged = now
            logger.info(line, extra={"is_redrawn": self._terminal})

    def _line(self, seconds: float, note: str) -> str:
        rate = self.done / seconds if seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else 0.0
        share = 100 * self.done / self.total if self.total else 100.0
        done = f"{self.done:,}/{self.total:,} {self.unit} ({share:.0f} %)"
        text = f"{self.label}: {done}, {rate:,.1f} {self.unit}/s, {format_seconds(left)} left"
        return f"{text}, {note}" if note else text


def format_seconds(seconds: float) -> str:
    """Format a duration as "45 s", "3 min 05 s" or "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
