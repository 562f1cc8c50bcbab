"""Write docs/config.md from the schema and docs/cli.md from the help pages.

With ``--check`` nothing is written, and the exit code is 1 when one of them is stale.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.core import TyperGroup
from typer.main import get_command

from mosaic_sae.cli import main as command_line
from mosaic_sae.config import describe as schema
from mosaic_sae.config.behaviour import Behaviour
from mosaic_sae.config.poolings import ALLOWED
from mosaic_sae.config.sae_recipe import SaeRecipe
from mosaic_sae.config.schema import Experiment
from mosaic_sae.config.translation import TranslationJob

DOCS = Path(__file__).parent.parent / "docs"
_NOTE = "<!-- Made by recipes/make_docs.py; change the source, not this page. -->"
_WIDTH = "100"


def config_page() -> str:
    """Return docs/config.md."""
    parts = [_CONFIG_HEAD]
    sections = [*_blocks(Experiment, ""), ("The recipe of an SAE (mosaic sae train)", SaeRecipe)]
    sections += [("The questions for a model (mosaic behaviour)", Behaviour), *list(_blocks(Behaviour, "behaviour: "))[1:]]
    (_, job), *parts_of_job = _blocks(TranslationJob, "")
    sections.append(("A translation job (mosaic translate)", job))
    for title, block in parts_of_job:
        kind = block.model_fields.get("kind")
        sections.append((f"{title} of a translation job{f', kind {schema.describe(kind.annotation)}' if kind else ''}", block))
    for title, model in sections:
        parts.append(f"\n## {title or 'Top level'}\n\n{_prose(model.__doc__ or '')}\n")
        parts.append("| key | type | default | meaning |\n|---|---|---|---|")
        parts += [_row(name, field) for name, field in model.model_fields.items()]
    return "\n".join(parts) + "\n"


def _blocks(model: type[BaseModel], title: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield title, model
    for name, field in model.model_fields.items():
        kind = schema.field_type(field)
        item = schema.item_of(kind)
        found = schema.blocks(item if item else kind)
        for block in found:
            # Blocks that stand for each other are told apart by their kind.
            which = f" ({schema.words(schema.field_type(block.model_fields['kind']))[0]})" if len(found) > 1 else ""
            dot = "." if title and not title.endswith(" ") else ""
            yield from _blocks(block, f"{title}{dot}{name}{'[]' if item else ''}{which}")


def _row(name: str, field: FieldInfo) -> str:
    kind = schema.field_type(field)
    default = (
        "**required**" if field.is_required() else f"`{schema.show(field.get_default(call_default_factory=True))}`".replace("\n", "\\n")
    )
    item = schema.item_of(kind)
    if schema.blocks(item if item else kind):
        what = f"{'a list of blocks' if item else 'a block'}, see below"
        default = default if field.is_required() or field.default is None else "its defaults"
    else:
        what = schema.describe(kind).replace(ALLOWED, "a pooling")
    cells = [f"`{name}`", what, default, _prose(field.description or "")]
    shown = [cell.replace("|", "\\|").replace("\n", "\\n") for cell in cells]
    return f"| {' | '.join(shown)} |"


def _prose(docstring: str) -> str:
    return " ".join(docstring.split()).replace("``", "`")


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = [_CLI_HEAD]
    parts += [f"\n## {' '.join(['mosaic', *words])}\n\n```\n{help_text(words)}\n```" for words in _command_paths()]
    return "\n".join(parts) + "\n"


def _command_paths() -> Iterator[list[str]]:
    yield []
    root = get_command(command_line.app)
    assert isinstance(root, TyperGroup)
    for name in root.commands:
        yield [name]
        if name in command_line.SUB_APPS:
            group = get_command(importlib.import_module(command_line.SUB_APPS[name]).app)
            assert isinstance(group, TyperGroup)
            yield from ([name, verb] for verb in group.commands)


def help_text(words: list[str]) -> str:
    """Return what ``mosaic WORDS --help`` prints on a terminal of 100 columns."""
    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            command_line.main([*words, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).strip()


_CONFIG_HEAD = f"""# The config file

{_NOTE}

One YAML file drives everything. `mosaic init` copies a preset to begin with, `mosaic validate` checks a file and reports every problem
at once, `mosaic validate --print` writes it with every default spelt out.

- A key that is not listed here is an error, never ignored; so is a value of another type: text is not taken for a number.
- Relative paths are relative to the working directory.
- Single values can be set on the command line, any number of times: `-s settings.seed=7`, `-s models.0.layers=[12]` (items of a list are
  numbered from 0), `-s "classification_params.top_n_values=[sum, max]"`. The value is YAML; nothing after `=` means null.
- YAML is read by the rules of version 1.2: only `true` and `false` are booleans, so `no` and `off` are text; `1e-3` is a number.
- Poolings have names. The integers of older configs are aliases, logged when they are used: `0` = `sum`, `N` > 0 = `count_top_n(N)`,
  `-1` = `last`. `count_top_n(N)` counts the tokens in which the latent was among that token's N largest non-zero ones."""

_CLI_HEAD = f"""# The command mosaic

{_NOTE}

`mosaic`, `mosaic-sae` and `python -m mosaic_sae` are the same command. Results go to stdout, the log to stderr.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | some points failed, and are listed (or a bug, with a traceback) |
| 2 | something you can mend: the message says what, where and how |
| 130 | interrupted; the same command goes on where it stopped |

`python run_experiments.py [--extract-only | --classify-only] [--config F]` is `mosaic run`, and `python app/main.py [--config F]` is
`mosaic app`."""


def main() -> int:
    """Write the pages, or check them."""
    stale = []
    for name, text in (("config.md", config_page()), ("cli.md", cli_page())):
        path = DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'stale; run python recipes/make_docs.py' if '--check' in sys.argv else 'written'}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
