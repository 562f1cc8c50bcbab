"""Run an extraction in child processes that are killed at random moments until one of them finishes.

Called by test_kill.py: python kill_extraction.py MODEL SAE FOLDER ACT_ONLY SEED. Prints one JSON line. Heavy imports are done once, in
the parent, so that a child lives for less than a second and many moments can be tried.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from pipeline_checks import make_examples

from factories import make_texts
from mosaic_sae.config.schema import Experiment
from mosaic_sae.pipeline.extract import extract
from mosaic_sae.pipeline.readings import places, resolve_model

torch.set_num_threads(1)


def finished_shards(base: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every finished shard: both change when a file is written again."""
    found = {}
    for path in base.rglob("shard-*.safetensors"):
        state = path.stat()
        found[str(path)] = (state.st_ino, state.st_mtime_ns)
    return found


def main(model_folder: str, sae_folder: str, base: Path, act_only: bool, seed: int) -> None:
    texts, labels = make_texts(120)
    examples = make_examples(texts, labels)

    def job(folder: Path) -> None:
        experiment = Experiment.model_validate({
            "settings": {"base_save_dir": str(folder), "act_only": act_only, "shard_rows": 8, "batch_size": 8},
            "models": [{"name": model_folder, "layers": [2], "sae": {"path": sae_folder}}],
            "datasets": [{"name": "toy", "text_field": "text", "label_field": "label"}],
        })
        model = resolve_model(experiment, experiment.models[0])
        extract(model, examples, places(model, examples, folder, "float32"), experiment.settings)

    job(base / "warm")  # the first run in a process is slower than all later ones
    started = time.monotonic()
    job(base / "whole")
    whole = time.monotonic() - started
    moments = random.Random(seed)
    kills, rewritten = 0, 0
    while True:
        before = finished_shards(base / "killed")
        child = os.fork()
        if child == 0:
            job(base / "killed")
            os._exit(0)
        # Short lives at first, so that every stage of the work is hit; longer ones once enough were killed.
        time.sleep(moments.uniform(0, whole * (0.3 if kills < 30 else 1.5)))
        done, status = os.waitpid(child, os.WNOHANG)
        if done == 0:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        after = finished_shards(base / "killed")
        rewritten += sum(after.get(path) != state for path, state in before.items())
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        kills += 1
        assert kills < 500, "the extraction makes no headway"
    sys.stdout.write(json.dumps({"kills": kills, "rewritten": rewritten, "seconds": whole}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4] == "act_only", int(sys.argv[5]))
