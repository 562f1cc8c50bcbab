"""A command line in this process: exit code, stdout, stderr; and stand-ins for the pipeline and the app."""

from __future__ import annotations

import importlib.util
import logging
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mosaic_sae.cli.main import main


class Ended(NamedTuple):
    code: int | str | None
    out: str
    err: str


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    """An empty working folder, and a log that is configured anew (its handler holds on to the stderr of one test)."""
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("mosaic_sae")
    before, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    yield
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.fixture
def mosaic(capsys) -> Callable[..., Ended]:
    def call(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ended(ended.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def stand_in(monkeypatch) -> Callable[..., types.ModuleType]:
    """Put a module with the given attributes in the place of a module of ours."""

    def put(name: str, **attributes: Any) -> types.ModuleType:
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        monkeypatch.setattr(importlib.import_module(parent), child, module, raising=False)
        return module

    return put


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """A finished run called "safety" in output/classifications, with its points and evidence."""
    spec = importlib.util.spec_from_file_location("run_folders", Path(__file__).parents[1] / "app" / "run_folders.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_run_folder(tmp_path / "output" / "classifications", n_points=40, name="safety")
