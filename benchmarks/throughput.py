"""Extraction against the bare forward pass of the same truncated model on the same batches.

    python benchmarks/throughput.py [--texts 512] [--rounds 5]

Extraction is everything: tokenise, forward, norm limit, pool hidden states, encode with the SAE, check its fit, write and fsync the
stores. Both sides use one loaded model and run in turn; the share is taken round by round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from mosaic_sae.config.load import load_experiment
from mosaic_sae.models.allocator import keep_freed_memory
from mosaic_sae.models.text import TextModel
from mosaic_sae.models.tokenise import make_batches
from mosaic_sae.pipeline import extract as extraction
from mosaic_sae.pipeline.forward import padded, token_budget
from mosaic_sae.pipeline.readings import ModelReadings, places, resolve_model
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.load import load_examples


def bare_batches(model: TextModel, readings: ModelReadings, examples: Examples) -> list[torch.Tensor]:
    """The very batches that extraction makes of one shard."""
    texts = model.tokenise(examples.texts, readings.policy)
    batches = make_batches(texts.lengths, None, token_budget(model.device.type))
    return [padded([texts.ids[row] for row in rows], model.tokenizer.pad_token_id) for rows in batches]


def time_bare(model: TextModel, batches: list[torch.Tensor]) -> float:
    """Seconds of the forward pass alone."""
    started = time.perf_counter()
    with torch.inference_mode():
        for ids in batches:
            model.model(input_ids=ids.to(model.device), use_cache=False)
    return time.perf_counter() - started


def time_extraction(model: TextModel, readings: ModelReadings, examples: Examples, settings: object) -> tuple[float, int]:
    """Seconds of a whole extraction into an empty folder, and the bytes written."""
    extraction.TextModel = lambda *_: model  # type: ignore[assignment,misc]
    with tempfile.TemporaryDirectory() as folder:
        where = places(readings, examples, Path(folder), "float32")
        started = time.perf_counter()
        extraction.extract(readings, examples, where, settings)  # type: ignore[arg-type]
        seconds = time.perf_counter() - started
        return seconds, sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--control", action="store_true", help="also encode with the random SAE, as the default preset does")
    options = parser.parse_args()

    baselines = "[random_sae]" if options.control else "[]"
    overrides = [
        f"classification_params.baselines={baselines}",
        f"datasets.1.max_rows={options.texts}",
        f"settings.shard_rows={options.texts}",
    ]
    experiment = load_experiment("default", overrides).experiment
    examples = load_examples(experiment.datasets[1], experiment.settings.seed)
    readings = resolve_model(experiment, experiment.models[0])
    keep_freed_memory()
    model = TextModel(readings.located, readings.points, experiment.settings.device, readings.dtype, readings.loading)
    batches = bare_batches(model, readings, examples)
    tokens = sum(batch.numel() for batch in batches)
    time_bare(model, batches)
    bare, whole, written = [], [], 0
    for _ in range(options.rounds):
        bare.append(time_bare(model, batches))
        seconds, written = time_extraction(model, readings, examples, experiment.settings)
        whole.append(seconds)
    shares = [b / w for b, w in zip(bare, whole, strict=True)]
    print(f"{len(examples)} texts, {tokens:,} padded tokens in {len(batches)} batches, {torch.get_num_threads()} threads, {readings.dtype}")
    print(f"bare forward pass: median {statistics.median(bare):.2f} s ({tokens / statistics.median(bare):,.0f} tokens/s)")
    rate = tokens / statistics.median(whole)
    print(f"whole extraction:  median {statistics.median(whole):.2f} s ({rate:,.0f} tokens/s), {written / 1e6:.1f} MB written")
    print(f"extraction reaches {statistics.median(shares):.1%} of the bare pass (rounds: {min(shares):.1%} to {max(shares):.1%})")


if __name__ == "__main__":
    main()
