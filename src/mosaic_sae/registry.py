"""Names of components and where they live; a component is imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from mosaic_sae.errors import MosaicError, unknown_name


class Registry:
    """Map names to ``"package.module:attribute"`` targets.

    Args:
        kind: what the names stand for, as a reader would say it ("SAE format"); used in messages.
        targets: name -> ``"module:attribute"``.
        error: exception that an unknown name raises.
    """

    def __init__(self, kind: str, targets: Mapping[str, str], error: type[MosaicError] = MosaicError) -> None:
        self.kind = kind
        self._error = error
        self._targets: dict[str, str] = {}
        for name, target in targets.items():
            self.add(name, target)

    def add(self, name: str, target: str) -> None:
        """Register one more name.

        Raises:
            ValueError: the name is taken, or the target is not ``"module:attribute"``.
        """
        if name in self._targets:
            raise ValueError(f"{self.kind} '{name}' is already registered as {self._targets[name]}")
        module, separator, attribute = target.partition(":")
        if not (module and separator and attribute):
            raise ValueError(f"{self.kind} '{name}': the target must be 'module:attribute', got '{target}'")
        self._targets[name] = target

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        return sorted(self._targets)

    def load(self, name: str) -> Any:
        """Import and return the component called ``name``.

        Raises:
            MosaicError: (or the class given) no such name; the message lists those which exist.
        """
        if name not in self._targets:
            raise self._error(unknown_name(self.kind, name, self._targets))
        module, _, attribute = self._targets[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
