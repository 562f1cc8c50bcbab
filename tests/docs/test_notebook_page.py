"""The code of docs/notebook.md runs, on a small run in the place of the one it names, and its figures agree with each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from stored_point import make_point, make_run

PAGE = (Path(__file__).parents[2] / "docs/notebook.md").read_text(encoding="utf-8")
STAND_INS = {"packaged/vader_sentiment": "d<i>", "movie-3411": "e<9>", "2130": "3"}


def test_every_block_runs(tmp_path: Path) -> None:
    run = make_run([make_point(tmp_path)])
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 4
    values = []
    for block in blocks:
        code = block.replace('"output/classifications/two-models"', repr(str(run)))
        for said, stands in STAND_INS.items():
            code = code.replace(said, stands)
        for statement in ast.parse(code).body:
            if isinstance(statement, ast.Expr):
                values.append(eval(compile(ast.Expression(statement.value), "notebook.md", "eval"), names))
            else:
                exec(compile(ast.Module([statement], []), "notebook.md", "exec"), names)
    shown, results, wrong, latents, said, parts, without, card, tables = values
    assert shown is names["run"] and list(results.columns) == ["dataset", "split", "classifier", "macro_f1"] and len(results) == 1
    assert (wrong["label"] != wrong["predicted"]).all() and list(wrong.columns) == ["id", "label", "predicted", "p_<a>", "p_<b>"]
    assert len(latents) == len(parts) == 3
    assert said[0] == names["explanation"].predicted and without == names["explanation"].without([3])
    assert len(card) == 2 and tables == (None, None)


def test_its_members_exist(tmp_path: Path) -> None:
    run = make_run([make_point(tmp_path)])
    import mosaic_sae

    opened = mosaic_sae.open_run(run)
    things = {"Run": opened, "Point": opened.point(), "Latent": opened.latent(3), "Explanation": opened.explain("e<9>")}
    for kind, members in re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, flags=re.MULTILINE):
        for member in re.findall(r"`(\w+)[`(]", members):
            assert hasattr(things[kind], member), f"{kind}.{member}"
