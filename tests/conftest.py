"""Shared fixtures. Nothing here imports heavy packages at collection."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach the network; loopback is allowed."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in {"127.0.0.1", "::1", "localhost"}:  # type: ignore[index]
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama in a Hugging Face folder; read-only."""
    from factories import make_model

    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_sae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SAE for its layer 2; read-only."""
    from factories import make_sae

    return make_sae(tmp_path_factory.mktemp("saes") / "tiny")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """With MOSAIC_NO_SKIP, as make test sets it, a test that finds its library missing fails: there all of them are installed."""
    report = yield
    if report.skipped and os.environ.get("MOSAIC_NO_SKIP"):
        report.outcome, report.longrepr = "failed", f"skipped, though MOSAIC_NO_SKIP is set: {report.longrepr}"
    return report
