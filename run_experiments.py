"""Extract features, then classify, as conf.yaml says. The same as ``mosaic run``."""

import argparse

from mosaic_sae.cli.main import main

parser = argparse.ArgumentParser(description="Extract features, then classify, as conf.yaml says. The same as 'mosaic run'.")
parser.add_argument("--config", metavar="F", default="conf.yaml", help="YAML file, or name of a preset (default: conf.yaml)")
step = parser.add_mutually_exclusive_group()
for option, what in (("--extract-only", "only run the model and store the latents"), ("--classify-only", "only fit and judge classifiers")):
    step.add_argument(option, action="append_const", const=option, dest="step", default=[], help=what)

if __name__ == "__main__":
    arguments = parser.parse_args()
    main(["run", arguments.config, *arguments.step])
