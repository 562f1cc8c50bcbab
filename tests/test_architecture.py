"""The shape of the code: imports go one way, modules stay small, names say something, the app is free of torch."""

import ast
import statistics
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src/mosaic_sae"
MODULES = sorted(PACKAGE.rglob("*.py"))
# A package may import from those before it, and from itself.
ORDER = ["base", "sources", "models", "sae", "store", "features", "probes", "transfer", "explain", "report", "pipeline", "app", "cli"]
BASE = {"errors", "config", "registry", "fingerprint", "fsio", "log", "chat_endpoint"}
HOMES = {
    "dash": {"app"},
    "dash_ag_grid": {"app"},
    "sklearn": {"probes"},
    "typer": {"cli"},
    "sae_lens": {"sae"},
    "jinja2": {"models", "report"},
}


def part_of(dotted: list[str]) -> str:
    """The package that a module of ours belongs to."""
    first = dotted[0] if dotted else "base"
    if first == "__main__":
        return "cli"
    return "base" if first in BASE or first.startswith("__") else first


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            if node.module == "mosaic_sae":
                found.extend(f"mosaic_sae.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way_and_libraries_stay_at_home(path: Path) -> None:
    own = part_of(list(path.relative_to(PACKAGE).with_suffix("").parts))
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "mosaic_sae":
            other = part_of(parts[1:])
            if other != "base":
                assert ORDER.index(other) <= ORDER.index(own), f"{own} must not import {name}"
        assert own in HOMES.get(parts[0], {own}), f"{name} belongs in {HOMES[parts[0]]}"


def test_modules_are_small_and_their_names_say_something() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES if path.name != "__init__.py"}
    assert max(lines.values()) <= 400
    assert statistics.median(lines.values()) < 150
    assert not {path.stem for path in MODULES} & {"utils", "helpers", "common", "manager", "misc"}


def test_the_app_imports_no_torch() -> None:
    for path in (PACKAGE / "app").rglob("*.py"):
        assert not {"torch", "transformers", "sklearn"} & {name.split(".")[0] for name in imports(path)}, path
