"""Save cards with the results, so that these keep their evidence wherever they go."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae import fsio
from mosaic_sae.explain.card_maker import CardMaker
from mosaic_sae.explain.cards import LatentCard
from mosaic_sae.explain.evidence import VERSION, StorePaths, read_evidence
from mosaic_sae.explain.neighbours import nearest_by_co_activation, nearest_by_decoder

if TYPE_CHECKING:
    import numpy as np

    from mosaic_sae.store.reader import LatentStore

logger = logging.getLogger(__name__)


def write_evidence(
    path: Path, store: LatentStore, paths: StorePaths, maker: CardMaker, w_dec: np.ndarray, latents: Iterable[int], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Save the cards of ``latents``, keeping those that an earlier run saved: a store never changes, so they still hold.

    Args:
        path: the file, ``evidence/<fingerprint of the store>.json``.
        store: token-level latents.
        paths: where it and what belongs to it are; kept relative to the folder of results.
        maker: makes its cards.
        w_dec: float32 [d_sae, d_out], decoder directions.
        latents: which; order and repeats do not matter.
        about: ``sae`` and ``dataset``, names for people.

    Returns:
        The whole file's content.
    """
    known = read_evidence(path) if path.is_file() else None
    if known and known["store"] != store.fingerprint:
        known = None
    cards: dict[str, LatentCard] = dict(known["latents"]) if known else {}
    missing = sorted(set(latents) - {int(latent) for latent in cards})
    near = zip(nearest_by_decoder(w_dec, missing), nearest_by_co_activation(store, missing), strict=True)
    for latent, (by_decoder, by_co_activation) in zip(missing, near, strict=True):
        cards[str(latent)] = maker.card(latent) | {"nearest": {"decoder": by_decoder, "co_activation": by_co_activation}}
    base = path.parent.parent
    evidence = {
        "version": VERSION,
        "store": store.fingerprint,
        "d_sae": store.d_sae,
        "rows": store.n_rows,
        "paths": {name: Path(os.path.relpath(place, base)).as_posix() for name, place in vars(paths).items()},
        "latents": cards,
        **about,
    }
    if evidence != known:
        fsio.write_json(path, evidence)
        logger.info("cards of %d latents: %s", len(cards), path.name)
    return evidence
