"""Kill -9 at many moments, run again: the same bytes as an uninterrupted run, and no finished shard is made twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mosaic_sae.fsio import sha256_file


def files(base: Path) -> dict[str, str]:
    return {path.relative_to(base).as_posix(): sha256_file(path) for path in sorted(base.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("mode", ["fused", "act_only"])
def test_killed_at_many_moments(tiny_model: Path, tiny_sae: Path, tmp_path: Path, mode: str) -> None:
    script = Path(__file__).with_name("kill_extraction.py")
    environment = os.environ | {"PYTHONPATH": f"{Path(__file__).parents[1]}{os.pathsep}{script.parent}"}
    command = [sys.executable, str(script), str(tiny_model), str(tiny_sae), str(tmp_path), mode, "7"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["kills"] >= 10
    assert outcome["rewritten"] == 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
