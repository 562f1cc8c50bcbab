"""The two kinds of failure: what the user can mend, and everything else (a bug, shown with its traceback)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MosaicError(Exception):
    """A failure the reader can act on. The command line shows the message alone and exits with 2."""


class ConfigError(MosaicError):
    """The YAML file or an override is wrong; the message lists every problem found."""


class SourceError(MosaicError):
    """A dataset is missing, unreadable, or holds rows that the policy does not allow."""


class ModelError(MosaicError):
    """A model is missing, not cached, or cannot be hooked where asked."""


class SaeError(MosaicError):
    """A sparse autoencoder is missing, of an unknown format, or does not fit its hook point."""


class StoreError(MosaicError):
    """A store on disk is damaged, incomplete, or of another format version."""


class ProbeError(MosaicError):
    """A split or a classifier cannot be made from these rows."""


class MissingExtra(MosaicError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs {package}, which is not installed. Install it with: pip install "mosaic-sae[{extra}]"')


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest allowed name, or an empty string."""
    found = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{found[0]}'?" if found else ""


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Say which name is unknown, which exist, and which is nearest."""
    names = sorted(allowed)
    return f"Unknown {kind} '{name}'.{nearest(name, names)} Available: {', '.join(names)}."
