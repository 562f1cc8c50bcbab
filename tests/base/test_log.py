"""Progress on a terminal and in log files."""

import logging
import sys

import pytest

from mosaic_sae.log import Progress, configure, log_file


@pytest.fixture
def logger():
    logger = logging.getLogger("mosaic_sae")
    before, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_progress_is_in_the_log_file_and_once_on_the_screen(logger, is_terminal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    configure()
    with log_file(tmp_path / "log.txt"), Progress("Extracting", 4, "texts", every=0.0) as progress:
        progress.add(1)
        progress.add(3)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert lines[-1].split("Extracting: ")[1].startswith("4/4 texts (100 %)")
    assert capsys.readouterr().err.count("4/4 texts") == 1
