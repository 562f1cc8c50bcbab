"""What becomes of the activations at a hook point: kept, pooled, or encoded. One sink fills one shard of one store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from mosaic_sae.store.collect import RaggedCollector, join_pairs

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sae.quality import QualityMeter


@dataclass(frozen=True)
class TokenBatch:
    """Activations of the tokens that count, of some whole rows of a shard."""

    activations: torch.Tensor
    """float32 or bfloat16 [n_tokens d_model]."""
    rows: np.ndarray
    """int64 [n_tokens]: row within the shard; the tokens of one row are consecutive."""
    positions: np.ndarray
    """int32 [n_tokens]: place in the row's token sequence, ascending within a row."""

    def below(self, max_norm: float | None) -> TokenBatch:
        """Leave out tokens whose activation norm is larger than ``max_norm`` (massive activations)."""
        if max_norm is None or not len(self.rows):
            return self
        keep = torch.linalg.vector_norm(self.activations.float(), dim=-1) <= max_norm
        chosen = keep.cpu().numpy()
        return self if chosen.all() else TokenBatch(self.activations[keep], self.rows[chosen], self.positions[chosen])


def join(batches: list[TokenBatch]) -> TokenBatch:
    """Put the windows of one row together."""
    if len(batches) == 1:
        return batches[0]
    return TokenBatch(
        torch.cat([batch.activations for batch in batches]),
        np.concatenate([batch.rows for batch in batches]),
        np.concatenate([batch.positions for batch in batches]),
    )


class Sink(Protocol):
    """Takes batches of a shard in any order; gives the shard's arrays and counts at the end."""

    def add(self, batch: TokenBatch) -> None:
        """Take in some rows."""

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Return the arrays and counts of the shard."""


class ActivationSink:
    """Keeps token-level activations in the model's precision."""

    def __init__(self, n_rows: int) -> None:
        self._tokens = RaggedCollector(n_rows)
        self._parts: list[np.ndarray] = []

    def add(self, batch: TokenBatch) -> None:
        """Take in some rows."""
        self._tokens.add(batch.rows, batch.positions)
        self._parts.append(to_stored(batch.activations))

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Return row_offsets, positions and activations."""
        offsets, positions, order = self._tokens.finish()
        return {"row_offsets": offsets, "positions": positions, "activations": np.concatenate(self._parts)[order]}, {
            "tokens": len(positions)
        }


class DenseSink:
    """Pools activations over the tokens of each row. A row without tokens is all zero."""

    def __init__(self, n_rows: int, d_model: int, poolings: tuple[str, ...] = ("mean", "last", "max")) -> None:
        self._pooled = {name: np.zeros((n_rows, d_model), dtype=np.float32) for name in poolings}

    def add(self, batch: TokenBatch) -> None:
        """Take in some rows."""
        if not len(batch.rows):
            return
        starts = np.flatnonzero(np.diff(batch.rows, prepend=-1))
        rows = batch.rows[starts]
        lengths = torch.from_numpy(np.diff(starts, append=len(batch.rows))).to(batch.activations.device)
        values = batch.activations.float()
        for name, pooled in self._pooled.items():
            if name == "last":
                pooled[rows] = values[lengths.cumsum(0) - 1].cpu().numpy()
            else:
                pooled[rows] = torch.segment_reduce(values, name, lengths=lengths, axis=0).cpu().numpy()

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Return mean, last and max, or those asked for: float32 [n_rows d_model]."""
        return self._pooled, {}


class LatentSink:
    """Encodes activations with one SAE and keeps the active latents."""

    def __init__(self, n_rows: int, sae: SparseAutoencoder, value_dtype: str) -> None:
        self._sae, self._value_dtype = sae, value_dtype
        self.meter: QualityMeter | None = None
        self._tokens = RaggedCollector(n_rows)
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, batch: TokenBatch) -> None:
        """Take in some rows."""
        latents = self._sae.encode(batch.activations)
        if self.meter is not None:
            self.meter.add(batch.activations, latents)
        self._tokens.add(batch.rows, batch.positions)
        self._parts.append((latents.token_offsets, latents.indices, latents.values))

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Return the arrays of a TokenLatents."""
        row_offsets, positions, order = self._tokens.finish()
        offsets, indices, values = join_pairs(self._parts, order, self._sae.d_sae, self._value_dtype)
        arrays = {"row_offsets": row_offsets, "positions": positions, "token_offsets": offsets, "indices": indices, "values": values}
        return arrays, {"tokens": len(positions), "nnz": len(indices), "rows_without_tokens": int((np.diff(row_offsets) == 0).sum())}


def to_stored(activations: torch.Tensor) -> np.ndarray:
    """Return activations as numpy: float32, or the bits of bfloat16 as uint16 (numpy has no bfloat16)."""
    if activations.dtype == torch.bfloat16:
        return activations.view(torch.uint16).cpu().numpy()
    return activations.float().cpu().numpy()


def from_stored(array: np.ndarray) -> torch.Tensor:
    """Undo ``to_stored``."""
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if array.dtype == np.uint16 else tensor
