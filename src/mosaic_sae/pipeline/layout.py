"""Every path of a run is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mosaic_sae.fsio import slug
from mosaic_sae.models.hook_points import HookPoint


@dataclass(frozen=True)
class StoreLayout:
    """Folders of the stores of one model on one dataset."""

    base: Path
    model: str
    dataset: str

    @property
    def root(self) -> Path:
        """Folder of this model and dataset."""
        return self.base / slug(self.model) / slug(self.dataset)

    def examples(self, fingerprint: str) -> Path:
        """Ids, texts and labels in row order."""
        return self.root / f"examples-{fingerprint}.parquet"

    def tokens(self, fingerprint: str) -> Path:
        """Token ids."""
        return self.root / f"tokens-{fingerprint}"

    def dense(self, point: HookPoint, fingerprint: str) -> Path:
        """Pooled hidden states."""
        return self.root / str(point) / f"dense-{fingerprint}"

    def activations(self, point: HookPoint, fingerprint: str) -> Path:
        """Token-level hidden states."""
        return self.root / str(point) / f"activations-{fingerprint}"

    def latents(self, point: HookPoint, sae: str, fingerprint: str) -> Path:
        """Token-level sparse latents of one SAE."""
        return self.root / str(point) / f"latents-{slug(sae)}-{fingerprint}"


def point_folder(base: Path, key: Mapping[str, object], fingerprint: str) -> Path:
    """Folder of one point below ``base_classify_dir``; ``key`` as in point.json."""
    where = base / "points"
    if key["model"] is not None:
        where = where / slug(str(key["model"]))
    where = where / slug(str(key["dataset"])) / slug(str(key["split"]))
    name = f"{key['classifier']}-{fingerprint}"
    if key["layer"] is None:
        # "column NAME" has a name from the data in it.
        return where / "baselines" / f"{slug(str(key['representation']))}-{name}"
    where = where / f"layer_{key['layer']}"
    if key["sae"] is None:
        return where / "baselines" / f"{key['representation']}-{name}"
    features = f"{slug(str(key['pooling']))}-{'values' if key['binarise'] is None else key['binarise']}"
    return where / slug(str(key["sae"])) / f"{features}-{name}"


def evidence_path(base: Path, latent_store_fingerprint: str) -> Path:
    """Evidence of the latents of one store."""
    return base / "evidence" / f"{latent_store_fingerprint}.json"


def split_path(base: Path, dataset: str, split: str, fingerprint: str) -> Path:
    """Ids of the two sides of a split."""
    return base / "splits" / f"{slug(dataset)}-{slug(split)}-{fingerprint}.json"


def run_folder(base: Path, name: str) -> Path:
    """Folder of a run's own files: table, report, log."""
    return base / slug(name)
