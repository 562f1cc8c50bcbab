"""``transfer: {by: language}``: a split of that kind for every dataset with the column."""

from pathlib import Path

import pytest

from mosaic_sae.config.load import load_experiment, to_yaml
from mosaic_sae.errors import ConfigError

CONFIG = """
models: [{{name: m, layers: [1], sae: {{path: s}}}}]
datasets:
  - {{name: a.csv, text_field: text, label_field: label, language_field: language, group_field: item{more}}}
  - {{name: b.csv, text_field: text, label_field: label}}
transfer: {{by: {by}}}
"""


def splits(tmp_path: Path, by: str = "language", more: str = "") -> list[list[tuple[str, tuple[float, ...]]]]:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.format(by=by, more=more))
    experiment = load_experiment(path).experiment
    path.write_text(to_yaml(experiment))
    assert load_experiment(path).experiment == experiment  # written out and read again, no split is added twice
    return [[(split.kind, tuple(split.train_shares)) for split in entry.splits] for entry in experiment.datasets]


def test_a_dataset_with_the_column_gets_the_split(tmp_path: Path) -> None:
    assert splits(tmp_path) == [[("language", (1.0,))], [("random", (1.0,))]]
    assert splits(tmp_path, more=", splits: [{kind: random}]") == [[("random", (1.0,)), ("language", (1.0,))], [("random", (1.0,))]]


def test_a_split_of_that_kind_is_kept_as_it_is(tmp_path: Path) -> None:
    more = ", splits: [{kind: language, train_shares: [0.5, 1.0]}]"
    assert splits(tmp_path, more=more) == [[("language", (0.5, 1.0))], [("random", (1.0,))]]


def test_data_without_the_column_and_unknown_kinds_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"transfer\.by: modality needs a dataset that names image_field"):
        splits(tmp_path, by="modality")
    with pytest.raises(ConfigError, match="langage"):
        splits(tmp_path, by="langage")
