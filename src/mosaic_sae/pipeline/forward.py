"""From token ids to token batches at each hook point: length-sorted batches, one pass for all hook points, out-of-memory back-off."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch

from mosaic_sae.errors import ModelError
from mosaic_sae.models.hook_points import VISION_TOWER, HookPoint
from mosaic_sae.models.text import TextModel
from mosaic_sae.models.tokenise import Piece, TokenisedTexts, batches_of, make_batches
from mosaic_sae.pipeline.sinks import TokenBatch, join

logger = logging.getLogger(__name__)

# Padded tokens in one pass. Small batches keep a CPU's caches warm; a GPU wants large ones.
_CPU_TOKENS, _GPU_TOKENS = 1024, 16384

Placed: TypeAlias = tuple[int, Piece]
"""A row within the shard, and what is run of it."""


def run_rows(
    model: TextModel, texts: TokenisedTexts, ids: list[str], batch_size: int | None, first_row: int = 0
) -> Iterator[tuple[int, dict[HookPoint, TokenBatch]]]:
    """Run consecutive rows of a shard; yield (number of rows, token batches by hook point) for whole rows.

    Args:
        model: the model.
        texts: the rows.
        ids: of the whole shard's rows, for messages.
        batch_size: most rows in one pass; None = as many as the budget of tokens allows.
        first_row: row within the shard of the first of the texts.

    Raises:
        ModelError: NaN or infinity in the activations, or one text (or window) alone does not fit into memory.
    """
    whole = np.flatnonzero(~texts.windowed)
    budget = token_budget(model.device.type)
    for rows in batches_of([texts.pieces[row][0] for row in whole], batch_size, budget):
        pieces = [(first_row + int(row), texts.pieces[row][0]) for row in whole[rows]]
        for part, captured in with_backoff(model, pieces):
            yield len(part), {point: _counted_tokens(acts, part, ids, point) for point, acts in captured.items()}
    for row in np.flatnonzero(texts.windowed):
        windows = [(first_row + int(row), piece) for piece in texts.pieces[row]]
        sizes = np.array([len(piece.ids) for _, piece in windows])
        # Windows have one length but for the last, so batches keep their order, and the row's tokens theirs.
        parts: list[dict[HookPoint, TokenBatch]] = []
        for places in make_batches(np.full(len(windows), sizes.max()), batch_size, budget):
            for part, captured in with_backoff(model, [windows[place] for place in places]):
                parts.append({point: _counted_tokens(acts, part, ids, point) for point, acts in captured.items()})
        yield 1, {point: join([batches[point] for batches in parts]) for point in model.points}


def with_backoff(model: TextModel, pieces: list[Placed]) -> Iterator[tuple[list[Placed], dict[HookPoint, torch.Tensor]]]:
    """Run pieces as one batch, in halves where memory is short; yield the pieces of each pass with what was captured.

    Raises:
        ModelError: one piece alone does not fit into memory.
    """
    try:
        captured = model.capture_pieces([piece for _, piece in pieces])
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(pieces) == 1:
            length = len(pieces[0][1].ids)
            raise ModelError(
                f"Not enough memory for one text of {length} tokens. Set tokens.max_length lower, or use a larger device."
            ) from error
    else:
        yield pieces, captured
        return
    # Outside the handler, or the failed pass would stay alive in the exception's traceback.
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    logger.warning("Out of memory with %d texts at once; trying two halves.", len(pieces))
    middle = len(pieces) // 2
    for half in (pieces[:middle], pieces[middle:]):
        yield from with_backoff(model, half)


def _is_out_of_memory(error: Exception) -> bool:
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


def token_budget(device_type: str) -> int:
    """Padded tokens in one pass."""
    return _CPU_TOKENS if device_type == "cpu" else _GPU_TOKENS


def _counted_tokens(acts: torch.Tensor, pieces: list[Placed], ids: list[str], point: HookPoint) -> TokenBatch:
    """Take the tokens that count out of a padded batch [batch seq d_model], piece by piece."""
    counts = np.zeros(acts.shape[:2], dtype=bool)
    for line, (_, piece) in zip(counts, pieces, strict=True):
        line[: len(piece.counts)] = True if point == VISION_TOWER else piece.counts
    places, columns = np.nonzero(counts)
    rows = np.array([row for row, _ in pieces], dtype=np.int64)
    starts = np.array([piece.start for _, piece in pieces], dtype=np.int64)
    chosen = acts[torch.from_numpy(counts).to(acts.device)]
    if not torch.isfinite(chosen).all():
        bad = ~torch.isfinite(chosen).all(dim=-1).cpu().numpy()
        names = sorted({ids[rows[place]] for place in places[bad]})
        raise ModelError(
            f"NaN or infinity in the activations at {point} of {len(names)} examples: {', '.join(names[:10])}. "
            "This is mostly an overflow of float16 or a damaged model; "
            "set settings.dtype: float32 and run again (finished shards are kept)."
        )
    return TokenBatch(chosen, rows[places], (starts[places] + columns).astype(np.int32))
