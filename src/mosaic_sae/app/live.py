"""The one point that decides on typed texts: loaded in the background, asked by one reader at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mosaic_sae.errors import MosaicError

if TYPE_CHECKING:
    from mosaic_sae.explain.explanation import Explanation

logger = logging.getLogger(__name__)


class Decider(Protocol):
    """What ``pipeline.live.LivePoint`` does."""

    def explain(self, text: str, about: str | None = None) -> Explanation:
        """Decide on a text."""


def load_point(run_folder: Path, folder: Path) -> Decider:
    """Load a point's model; torch is imported here and nowhere else in the app."""
    from mosaic_sae.pipeline.live import LivePoint

    return LivePoint(run_folder, folder)


class LivePoints:
    """Holds the point that was asked for last; another one takes its place, so that one model is in memory."""

    def __init__(self, load: Callable[[Path, Path], Decider] = load_point) -> None:
        self._load = load
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._folder: Path | None = None
        self._decider: Decider | None = None
        self._problem = ""
        self._thread: threading.Thread | None = None

    def state(self, run_folder: Path, folder: Path) -> str:
        """Return "loading", "ready", or why the point cannot be loaded; begin to load it if it is another one than before."""
        with self._lock:
            is_loading = self._thread is not None and self._thread.is_alive()
            if folder != self._folder and not is_loading:
                self._folder, self._decider, self._problem = folder, None, ""
                self._thread = threading.Thread(target=self._fetch, args=(run_folder, folder), daemon=True)
                self._thread.start()
            if folder != self._folder or (self._decider is None and not self._problem):
                return "loading"
            return self._problem or "ready"

    def explain(self, folder: Path, text: str, about: str | None) -> Explanation:
        """Decide on a text with a point that is ready; others wait.

        Raises:
            MosaicError: the point is not loaded, an empty text, or no such class.
        """
        with self._asking:
            with self._lock:
                decider = self._decider if folder == self._folder else None
            if decider is None:
                raise MosaicError("Another point was asked for meanwhile, and one model is loaded at a time. Reload the page.")
            return decider.explain(text, about)

    def _fetch(self, run_folder: Path, folder: Path) -> None:
        decider, problem = None, ""
        try:
            decider = self._load(run_folder, folder)
        except MosaicError as error:
            problem = str(error)
        except Exception as error:  # a thread's error would be seen by nobody: the page says it, the log has the rest
            logger.exception("The model could not be loaded.")
            problem = f"{type(error).__name__}: {error}"
        with self._lock:
            self._decider, self._problem = decider, problem
