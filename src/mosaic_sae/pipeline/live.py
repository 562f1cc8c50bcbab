"""A finished point that decides on new texts: model and SAE are loaded once; token policy, pooling and probe are the point's own."""

from __future__ import annotations

from pathlib import Path

from mosaic_sae.config.load import load_experiment
from mosaic_sae.config.schema import Experiment
from mosaic_sae.errors import ConfigError, MosaicError
from mosaic_sae.explain.decision import load_decision
from mosaic_sae.explain.evidence import evidence_of
from mosaic_sae.explain.example import explain_row
from mosaic_sae.explain.explanation import Explanation
from mosaic_sae.explain.rows import ExampleRow
from mosaic_sae.fsio import read_json
from mosaic_sae.pipeline.forward import run_rows
from mosaic_sae.pipeline.readings import ModelReadings, Reading, resolve_model
from mosaic_sae.pipeline.sinks import LatentSink
from mosaic_sae.store.format import TokenLatents


class LivePoint:
    """Decides on texts as the point did on those of its dataset; one text at a time."""

    def __init__(self, run_folder: Path, folder: Path) -> None:
        """Load what the point was made with; a relative path in the run's config is relative to the working directory.

        Args:
            run_folder: holds the run's ``config.yaml``; results lie beside it.
            folder: of the point.

        Raises:
            MosaicError: the point is not on latents of a language model's SAE, or its model or SAE cannot be had or has changed.
        """
        self.point = read_json(folder / "point.json")
        if self.point["key"]["representation"] != "sae":
            raise MosaicError(f"The point {self.point['fingerprint']} is not on the latents of an SAE. Choose one that is.")
        experiment = load_experiment(run_folder / "config.yaml").experiment
        if experiment.settings.model_type == "vlm":
            raise MosaicError("This run reads pictures. New texts can be typed for runs of language models only (model_type: llm).")
        self._readings, self._reading = _find(experiment, self.point["key"]["model"], self.point["key"]["sae"])
        self._check_same()
        self._probe = load_decision(folder, self.point)
        self._evidence = evidence_of(run_folder.parent, self.point)
        self._store_dtype = experiment.settings.store_dtype
        self._model = self._readings.load([self._reading.point], experiment.settings.device)
        self._reading.sae.to(self._model.device)

    def explain(self, text: str, about: str | None = None) -> Explanation:
        """Decide on a text and explain the decision; its ``label`` is "", for nobody knows it.

        Raises:
            MosaicError: an empty text, or no such class.
        """
        if not text.strip():
            raise MosaicError("There is no text to decide on. Type one.")
        texts = self._model.tokenise([text], self._readings.policy)
        sink = LatentSink(1, self._reading.sae, self._store_dtype)
        for _, batches in run_rows(self._model, texts, ["the text"], None):
            sink.add(batches[self._reading.point].below(self._readings.max_norm[self._reading.point]))
        row = TokenLatents(**sink.arrays()[0], d_sae=self._reading.sae.d_sae)
        pieces = [self._readings.tokenizer.decode([token]) for token in texts.ids[0].tolist()]
        return explain_row(self.point, self._probe, row, pieces, ExampleRow(-1, "", text, "", None), self._evidence, about)

    def _check_same(self) -> None:
        """Refuse a model, SAE or token policy other than those the point was made with."""
        made, readings = self.point["provenance"], self._readings
        now = {
            "model": readings.located.identity,
            "tokens": readings.policy.identity,
            "sae": {"fingerprint": self._reading.sae.fingerprint},
        }
        for what, identity in now.items():
            if changed := [name for name, value in identity.items() if made[what].get(name) != value]:
                raise MosaicError(
                    f"The {what} read now differs from what the point was made with, in {', '.join(changed)}. Run the experiment again."
                )


def _find(experiment: Experiment, model: str, sae: str) -> tuple[ModelReadings, Reading]:
    for entry in experiment.models:
        readings = resolve_model(experiment, entry)
        for reading in readings.readings:
            if readings.located.name == model and reading.name == sae:
                return readings, reading
    raise ConfigError(f"The run's config names no model {model} with the SAE {sae}, which the point was made with.")
