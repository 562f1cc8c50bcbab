"""From token ids to token batches at each hook point: length-sorted batches, one pass for all hook points, out-of-memory back-off."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch

from mosaic_sae.errors import ModelError
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.text import TextModel
from mosaic_sae.models.tokenise import TokenisedTexts, make_batches
from mosaic_sae.pipeline.sinks import TokenBatch

logger = logging.getLogger(__name__)

# Padded tokens in one pass. Small batches keep a CPU's caches warm; a GPU wants large ones.
_CPU_TOKENS, _GPU_TOKENS = 1024, 16384


def run_rows(
    model: TextModel, texts: TokenisedTexts, ids: list[str], batch_size: int | None
) -> Iterator[tuple[int, dict[HookPoint, TokenBatch]]]:
    """Run all rows of a shard; yield (number of rows, token batches by hook point) per forward pass.

    Raises:
        ModelError: NaN or infinity in the activations, or one row alone does not fit into memory.
    """
    for rows in make_batches(texts.lengths, batch_size, token_budget(model.device.type)):
        for part, captured in _with_backoff(model, texts, rows):
            yield len(part), {point: _counted_tokens(acts, texts, part, ids, point) for point, acts in captured.items()}


def _with_backoff(model: TextModel, texts: TokenisedTexts, rows: np.ndarray) -> Iterator[tuple[np.ndarray, dict[HookPoint, torch.Tensor]]]:
    try:
        captured = model.capture(padded([texts.ids[row] for row in rows], model.tokenizer.pad_token_id or 0))
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(rows) == 1:
            length = len(texts.ids[rows[0]])
            raise ModelError(
                f"Not enough memory for one text of {length} tokens. Set tokens.max_length lower, or use a larger device."
            ) from error
    else:
        yield rows, captured
        return
    # Outside the handler, or the failed pass would stay alive in the exception's traceback.
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    logger.warning("Out of memory with %d texts at once; trying two halves.", len(rows))
    for half in np.array_split(rows, 2):
        yield from _with_backoff(model, texts, half)


def _is_out_of_memory(error: Exception) -> bool:
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


def token_budget(device_type: str) -> int:
    """Padded tokens in one pass."""
    return _CPU_TOKENS if device_type == "cpu" else _GPU_TOKENS


def padded(ids: list[np.ndarray], pad: int) -> torch.Tensor:
    """Return int64 [batch seq], padded on the right."""
    batch = np.full((len(ids), max(len(row) for row in ids)), pad, dtype=np.int64)
    for line, row in zip(batch, ids, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(batch)


def _counted_tokens(acts: torch.Tensor, texts: TokenisedTexts, rows: np.ndarray, ids: list[str], point: HookPoint) -> TokenBatch:
    """Take the tokens that count out of a padded batch [batch seq d_model], row by row."""
    counts = np.zeros(acts.shape[:2], dtype=bool)
    for line, row in zip(counts, rows, strict=True):
        line[: len(texts.counts[row])] = texts.counts[row]
    places, positions = np.nonzero(counts)
    chosen = acts[torch.from_numpy(counts).to(acts.device)]
    if not torch.isfinite(chosen).all():
        bad = ~torch.isfinite(chosen).all(dim=-1).cpu().numpy()
        names = sorted({ids[rows[place]] for place in places[bad]})
        raise ModelError(
            f"NaN or infinity in the activations at {point} of {len(names)} examples: {', '.join(names[:10])}. "
            "This is mostly an overflow of float16 or a damaged model; "
            "set settings.dtype: float32 and run again (finished shards are kept)."
        )
    return TokenBatch(chosen, rows[places].astype(np.int64), positions.astype(np.int32))
