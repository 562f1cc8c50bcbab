"""Stores small enough to count by hand, with their examples and by-latent index."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mosaic_sae.explain.card_maker import CardMaker
from mosaic_sae.store.by_latent import write_by_latent
from store_folders import write_stores

WORDS = ["<s>", " the", " bomb", " cake", " big", " red"]
# Position 0 is "<s>" and never counts. Row 2 keeps no token at all. Row 4 repeats row 0's text, a little weaker.
TOKENS = [[0, 1, 2], [0, 1, 3, 4], [0], [0, 2, 2, 5], [0, 1, 2]]
KEPT = [[1, 2], [1, 2, 3], [], [1, 2, 3], [1, 2]]
ACTS = [
    [{7: 0.5}, {3: 8.0, 7: 1.0}],
    [{7: 0.25}, {9: 3.0}, {}],
    [],
    [{3: 2.0}, {3: 6.0}, {3: 6.0, 9: 1.0}],
    [{7: 0.5}, {3: 7.0}],
]
COLUMNS = {
    "id": ["a", "b", "c", "d", "e"],
    "text": ["the bomb", "the cake big", "", "bomb bomb red", "the bomb"],
    "label": ["harmful", "benign", "benign", "harmful", "harmful"],
    "language": ["en", "de", "de", "en", "en"],
}


def make(base: Path, acts=ACTS, kept=KEPT, tokens=TOKENS, columns=COLUMNS, shard_rows=2) -> CardMaker:
    rows = [list(zip(places, found, strict=True)) for places, found in zip(kept, acts, strict=True)]
    latents, token_store = write_stores(base, rows, tokens, 10, shard_rows)
    token_store.write_pieces(lambda ids: WORDS[ids[0]])
    write_by_latent(latents, token_store)
    pq.write_table(pa.table(columns), base / "examples.parquet")
    return CardMaker(base / "latents", base / "tokens", base / "examples.parquet")
