"""docs/config.md and docs/cli.md say what the schema and the help pages say."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path

import pytest

from mosaic_sae.config.dataset_entry import DatasetEntry
from mosaic_sae.config.schema import Experiment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make_docs(monkeypatch):
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "recipes" / "make_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    logger = logging.getLogger("mosaic_sae")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logger.level)
    return module


def test_the_pages_are_current(make_docs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "57")  # the pages do not depend on the terminal
    for name, page in (("config.md", make_docs.config_page()), ("cli.md", make_docs.cli_page())):
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page, f"docs/{name} is stale; run python recipes/make_docs.py"


def test_a_stale_page_is_found_and_only_then_written(make_docs, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(make_docs, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_docs.py", "--check"])
    assert make_docs.main() == 1
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "argv", ["make_docs.py"])
    assert make_docs.main() == 0
    monkeypatch.setattr(sys, "argv", ["make_docs.py", "--check"])
    assert make_docs.main() == 0
    with (tmp_path / "cli.md").open("a") as handle:
        handle.write("x")
    capsys.readouterr()
    assert make_docs.main() == 1
    assert capsys.readouterr().out == f"{tmp_path / 'cli.md'}: stale; run python recipes/make_docs.py\n"


def test_every_key_and_every_verb_has_its_place(make_docs):
    config, cli = make_docs.config_page(), make_docs.cli_page()
    for name in [*Experiment.model_fields, *DatasetEntry.model_fields]:
        assert f"| `{name}` | " in config
    for section in ("## settings\n", "## models[].sae\n", "## datasets[].splits[]\n"):
        assert section in config
    for verb in ("init", "validate", "plan", "run", "show", "ls", "app"):
        assert f"## mosaic {verb}\n" in cli
    assert max(len(line) for line in cli.splitlines()) <= 140
