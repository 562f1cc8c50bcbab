"""The printed form of every token id that a token store holds, kept beside it, so that reading texts needs no tokenizer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_sae.errors import StoreError
from mosaic_sae.fsio import read_json, write_json
from mosaic_sae.store.format import read_manifest, read_shard

PIECES = "pieces.json"


def write_pieces(folder: Path, tokenizer: Any) -> None:
    """Write ``pieces.json`` of a complete token store, unless it is there: a store never changes.

    Args:
        folder: of the token store.
        tokenizer: decodes one id at a time, so that blanks are kept; a character cut in two becomes U+FFFD.
    """
    if (folder / PIECES).is_file():
        return
    shards = [shard["file"] for shard in read_manifest(folder)["shards"]]
    distinct = [np.unique(read_shard(folder / name)["token_ids"]) for name in shards]
    ids = np.unique(np.concatenate(distinct)).tolist() if distinct else []
    write_json(folder / PIECES, {"ids": ids, "pieces": [tokenizer.decode([token]) for token in ids]})


def read_pieces(folder: Path) -> dict[int, str]:
    """Return the piece of each token id.

    Raises:
        StoreError: the store has none.
    """
    path = folder / PIECES
    if not path.is_file():
        raise StoreError(
            f"{folder} holds token ids without their text: {PIECES} is missing. Run the experiment again; it writes that file."
        )
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, version: int) -> dict[int, str]:  # noqa: ARG001
    content = read_json(path)
    return dict(zip(content["ids"], content["pieces"], strict=True))
