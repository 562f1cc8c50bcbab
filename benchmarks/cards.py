"""How long a latent card takes: a store of many texts is made up, indexed, and cards of latents from rare to dense are made from it.

    python benchmarks/cards.py --texts 100000

The made-up store has the shape of a real one: texts of 5 to 60 tokens, a vocabulary and latents whose frequencies fall off by a power law
(the most frequent latent fires on about 40 % of all tokens, the rarest on a few), L0 of about 57. Twenty different shards are drawn and
repeated. Times are processor time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mosaic_sae.explain.card_maker import CardMaker
from mosaic_sae.store.by_latent import write_by_latent
from mosaic_sae.store.reader import LatentStore, TokenStore
from mosaic_sae.store.writer import StoreWriter

VOCABULARY, SHARD_ROWS, L0, DIFFERENT_SHARDS = 30_000, 512, 60, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--d-sae", type=int, default=16_384)
    parser.add_argument("--cards", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        latents, tokens = make_stores(base, chosen.texts, chosen.d_sae)
        totals = latents.manifest["totals"]
        print(f"{chosen.texts:,} texts, {totals['tokens']:,} tokens, {totals['nnz']:,} pairs, store {totals['bytes'] / 1e6:,.0f} MB")
        before = peak_mb()
        seconds, size = timed(lambda: write_by_latent(latents, tokens))
        print(f"index: {seconds:.1f} s, {size / 1e6:,.0f} MB; peak memory {before:,.0f} MB before, {peak_mb():,.0f} MB after")
        seconds, maker = timed(lambda: CardMaker(base / "latents", base / "tokens", base / "examples.parquet"))
        print(f"opening: {1000 * seconds:.0f} ms")
        counts = np.diff(maker.index.latent_offsets)
        by_count = np.argsort(-counts)
        alive = int((counts > 0).sum())
        # Evenly by rank, the most frequent first: from dense latents to rare ones.
        shown = by_count[np.linspace(0, alive - 1, chosen.cards).astype(int)]
        wall = np.array([timed(lambda latent=latent: maker.card(int(latent)))[0] for latent in shown])
        print(f"{len(shown)} cards: p50 {quantile(wall, 50)}, p95 {quantile(wall, 95)}, slowest {1000 * wall.max():.0f} ms")
        dense = [timed(lambda latent=latent: maker.card(int(latent)))[0] for latent in by_count[:5]]
        times = ", ".join(f"{1000 * one:.0f}" for one in dense)
        print(f"the five densest ({counts[by_count[0]] / totals['tokens']:.0%} of tokens): {times} ms")


def timed(work):
    """Processor time: on a machine that does other things too, wall time says more about those."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def quantile(seconds: np.ndarray, percent: float) -> str:
    return f"{1000 * np.percentile(seconds, percent):.0f} ms"


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def make_stores(base: Path, n_texts: int, d_sae: int) -> tuple[LatentStore, TokenStore]:
    """Write made-up stores of latents and tokens, and the examples."""
    draw = np.random.default_rng(0)
    # Shares of tokens on which each latent fires: a power law cut off at one half, with a mean of L0 in all.
    share = np.minimum(0.5, 8 / np.arange(1, d_sae + 1) ** 1.0)
    share *= L0 / share.sum()
    word_share = 1 / np.arange(5, VOCABULARY + 5)
    word_edges = np.cumsum(word_share / word_share.sum())
    latents = StoreWriter(base / "latents", "latents", "a" * 16, n_texts, SHARD_ROWS, {"d_sae": d_sae, "sae": "made-up"})
    tokens = StoreWriter(base / "tokens", "tokens", "b" * 16, n_texts, SHARD_ROWS, {})
    edges = np.cumsum(share / share.sum())
    drawn: dict[tuple[int, int], tuple[dict[str, np.ndarray], np.ndarray]] = {}
    for number, (start, stop) in enumerate(latents.ranges):
        kind = (number % DIFFERENT_SHARDS, stop - start)
        if kind not in drawn:
            drawn[kind] = draw_shard(draw, stop - start, edges, word_edges)
        arrays, ids = drawn[kind]
        counts = {"tokens": len(ids), "nnz": len(arrays["indices"]), "rows_without_tokens": 0}
        latents.write(number, arrays, counts)
        row_offsets = {"row_offsets": arrays["row_offsets"]}
        tokens.write(number, {**row_offsets, "token_ids": ids, "truncated": np.zeros(stop - start, dtype=np.uint8)}, {"tokens": len(ids)})
    latents.finish()
    tokens.finish()
    texts = [f"text {row}" for row in range(n_texts)]
    columns = {"id": [str(row) for row in range(n_texts)], "text": texts, "label": [f"class {row % 4}" for row in range(n_texts)]}
    pq.write_table(pa.table(columns), base / "examples.parquet")
    store = TokenStore(base / "tokens")
    store.write_pieces(lambda ids: f" w{ids[0]}")
    return LatentStore(base / "latents"), store


def draw_shard(
    draw: np.random.Generator, n_rows: int, edges: np.ndarray, word_edges: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw the arrays of a shard of latents, and the token ids of its tokens."""
    lengths = draw.integers(5, 61, size=n_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n = int(offsets[-1])
    ids = np.searchsorted(word_edges, draw.random(n)).clip(max=VOCABULARY - 1).astype(np.int32)
    # Drawn with repeats, which are then dropped: the densest latents fire a little less often than their share.
    latents = np.searchsorted(edges, draw.random((n, L0))).clip(max=len(edges) - 1)
    pair = np.unique(np.arange(n)[:, None] * len(edges) + latents)
    token, index = np.divmod(pair, len(edges))
    arrays = {
        "row_offsets": offsets,
        "positions": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        "token_offsets": np.searchsorted(token, np.arange(n + 1)),
        "indices": index.astype(np.uint16),
        "values": draw.gamma(2.0, 4.0, size=len(pair)).astype(np.float32),
    }
    return arrays, ids


if __name__ == "__main__":
    main()
