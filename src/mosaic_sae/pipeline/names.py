"""Names of latents that a config asks for, brought into the folder of results."""

from __future__ import annotations

import logging
from pathlib import Path

from mosaic_sae.explain.name_files import read_name_file
from mosaic_sae.explain.names import names_file, write_names
from mosaic_sae.explain.neuronpedia import fetch_names
from mosaic_sae.pipeline.work import Work

logger = logging.getLogger(__name__)


def gather_names(work: Work, base: Path) -> None:
    """Copy named files, which may have changed, and fetch from Neuronpedia what has not been fetched yet.

    Args:
        work: whose SAEs are named.
        base: ``base_classify_dir``.

    Raises:
        MosaicError: a file or a source cannot be read, or names latents that its SAE does not have.
    """
    readings = {reading.name: reading for pairing in work.pairings for reading in pairing.model.readings if reading.names}
    for name, reading in readings.items():
        assert reading.names is not None
        if reading.names.file:
            found = read_name_file(Path(reading.names.file), reading.sae.d_sae, reading.names.neuronpedia)
            logger.info("%d of %d latents of %s have a name in %s", len(found), reading.sae.d_sae, name, reading.names.file)
            write_names(base, name, "file", found)
        if reading.names.fetch and reading.names.neuronpedia and not names_file(base, name, "neuronpedia").is_file():
            found = fetch_names(reading.names.neuronpedia, reading.sae.d_sae)
            logger.info("%d of %d latents of %s have a name on Neuronpedia", len(found), reading.sae.d_sae, name)
            write_names(base, name, "neuronpedia", found)
