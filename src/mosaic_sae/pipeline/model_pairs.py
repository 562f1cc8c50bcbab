"""Whether the features of two models mean the same: the same hook points, widths and SAEs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mosaic_sae.config.schema import ModelPair
from mosaic_sae.errors import ConfigError
from mosaic_sae.models.locate import width_at
from mosaic_sae.pipeline.readings import ModelReadings


def check_pairs(pairs: Sequence[ModelPair], models: Sequence[ModelReadings]) -> None:
    """Refuse pairs of models whose features do not mean the same, before anything is computed.

    Raises:
        ConfigError: a hook point or an SAE of the trained model is not read from the tested one, or widths differ.
    """
    by_name = {model.located.name: model for model in models}
    problems = [problem for pair in pairs for problem in _problems(pair, by_name[pair.train], by_name[pair.test])]
    if problems:
        raise ConfigError("\n".join(problems))


def _problems(pair: ModelPair, train: ModelReadings, test: ModelReadings) -> Iterator[str]:
    where = f"transfer.models: {pair.train} -> {pair.test}"
    for point in train.points:
        if point not in test.points:
            yield f"{where}: {pair.test} is not read at {point}. Give both models the same layers and SAEs."
        elif (ours := width_at(train.located, point.site)) != (theirs := width_at(test.located, point.site)):
            yield f"{where}: activations at {point} have widths {ours} and {theirs}; a classifier of one cannot read the other."
    read = {reading.sae.fingerprint for reading in test.readings}
    for reading in train.readings:
        if reading.sae.fingerprint not in read and not reading.is_control:
            yield (
                f"{where}: the SAE {reading.name} is not read from {pair.test}, so that latents of one number mean different things. "
                "Give both entries the same sae: block."
            )
