"""Peak memory of an extraction at two sizes, each in a process of its own.

python benchmarks/memory.py [--sizes 1000 10000]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile


def measure(n_texts: int) -> None:
    """Extract ``n_texts`` texts and print the peak resident memory in MB."""
    from pathlib import Path

    from mosaic_sae.config.load import load_experiment
    from mosaic_sae.pipeline.extract import extract
    from mosaic_sae.pipeline.readings import places, resolve_model
    from mosaic_sae.sources.load import load_examples

    experiment = load_experiment("default", [f"datasets.1.max_rows={n_texts}", "settings.shard_rows=512"]).experiment
    examples = load_examples(experiment.datasets[1], experiment.settings.seed)
    readings = resolve_model(experiment, experiment.models[0])
    with tempfile.TemporaryDirectory() as folder:
        extract(readings, examples, places(readings, examples, Path(folder), "float32"), experiment.settings)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one)
        return
    peaks = []
    for size in options.sizes:
        done = subprocess.run([sys.executable, __file__, "--one", str(size)], capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.split()[-1]))
        print(f"{size:>7,} texts: peak {peaks[-1]:,.0f} MB ({peaks[-1] / peaks[0] - 1:+.1%})", flush=True)


if __name__ == "__main__":
    main()
