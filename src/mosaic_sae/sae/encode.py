"""The fused encode: one matrix product per block of tokens, then only the active latents are looked at.

Nothing of size n_tokens x d_sae exists beyond one block. On the CPU the search for active latents runs in NumPy, where it
costs a few percent of the product; elsewhere it runs in torch on the device, and only pairs are copied back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.architectures import FoldedEncoder
from mosaic_sae.sae.latents import SparseLatents, index_dtype
from mosaic_sae.sae.normalise import normalise

_BLOCK_BYTES_CPU = 16 << 20
# A larger block on an accelerator: its product takes well under a millisecond, so fewer, larger steps waste less on launches.
_BLOCK_BYTES_DEVICE = 256 << 20


class _Pairs(NamedTuple):
    """Active latents of one block."""

    counts: np.ndarray  # int64 [rows]
    indices: np.ndarray  # [nnz]
    values: np.ndarray  # float32 [nnz]


class _Buffers(NamedTuple):
    pre: torch.Tensor  # float32 [rows d_sae]
    mask: np.ndarray | None  # bool, flat, its length a multiple of 8; CPU only


class FusedEncoder:
    """Turn activations into ``SparseLatents``; holds the folded weights and reuses its buffers from call to call.

    Args:
        folded: the encoder as one product.
        normalisation: what is done to activations first.
        block_rows: tokens per block; None = as many as keep a block near 16 MB (256 MB on an accelerator).
        numpy_search: search active latents in NumPy; None = on the CPU yes, elsewhere no.
    """

    def __init__(self, folded: FoldedEncoder, normalisation: str, block_rows: int | None = None, numpy_search: bool | None = None) -> None:
        self._folded = folded
        self._normalisation = normalisation
        self.d_model, self.d_sae = folded.weight.shape
        self._device = folded.weight.device
        on_cpu = self._device.type == "cpu"
        self._numpy_search = on_cpu if numpy_search is None else numpy_search
        budget = _BLOCK_BYTES_CPU if on_cpu else _BLOCK_BYTES_DEVICE
        self.block_rows = block_rows or max(1, budget // (4 * self.d_sae))
        self._bias = folded.bias.cpu().numpy()
        self._cut = folded.cut.cpu().numpy()
        # A call takes a set of buffers and puts it back; two threads at once get two sets.
        self._spare: list[_Buffers] = []

    @torch.no_grad()
    def __call__(self, acts: torch.Tensor) -> SparseLatents:
        """Encode activations [n d_model] of any float type; maths in float32.

        Raises:
            SaeError: wrong shape, or NaN or infinity in the activations.
        """
        if acts.ndim != 2 or acts.shape[1] != self.d_model:
            raise SaeError(
                f"This SAE reads activations of shape [n, {self.d_model}], got {list(acts.shape)}. "
                "Check that the SAE belongs to this model and site."
            )
        blocks: list[_Pairs] = []
        scales: list[np.ndarray] = []
        offsets: list[np.ndarray] = []
        buffers = self._spare.pop() if self._spare else self._new_buffers()
        for start in range(0, len(acts), self.block_rows):
            block = acts[start : start + self.block_rows].to(self._device, torch.float32)
            normalised = normalise(block, self._normalisation)
            # One sum over d_model columns finds NaN and infinity; d_sae columns need not be searched.
            if not torch.isfinite(normalised.acts.sum()):
                self._refuse_non_finite(acts)
            blocks.append(self._encode_block(normalised.acts, buffers))
            if normalised.scale is not None:
                scales.append(normalised.scale.flatten().cpu().numpy())
            if normalised.offset is not None:
                offsets.append(normalised.offset.flatten().cpu().numpy())
        self._spare.append(buffers)
        return self._join(blocks, scales, offsets)

    def _new_buffers(self) -> _Buffers:
        pre = torch.empty((self.block_rows, self.d_sae), dtype=torch.float32, device=self._device)
        mask = np.empty(-(-pre.numel() // 8) * 8, dtype=np.bool_) if self._numpy_search else None
        return _Buffers(pre, mask)

    def _encode_block(self, block: torch.Tensor, buffers: _Buffers) -> _Pairs:
        folded, pre = self._folded, buffers.pre[: len(block)]
        if folded.k is not None or folded.n_groups is not None:
            torch.addmm(folded.bias, block, folded.weight, out=pre)
        if folded.n_groups is not None:
            return _group_max_numpy(pre.numpy(), folded.n_groups) if self._numpy_search else _group_max_torch(pre, folded.n_groups)
        if folded.k is not None:
            if buffers.mask is not None:
                return _top_k_numpy(pre.numpy(), folded.k, buffers.mask)
            return _top_k_torch(pre, folded.k)
        # The bias is in the cut, so the product needs no pass over memory to add it.
        torch.mm(block, folded.weight, out=pre)
        if buffers.mask is not None:
            flat, counts = _above_numpy(pre.numpy(), self._cut, buffers.mask)
            indices = _columns(flat, counts, self.d_sae)
            return _Pairs(counts, indices, pre.view(-1).numpy()[flat] + self._bias[indices])
        return _above_torch(pre, folded)

    def _refuse_non_finite(self, acts: torch.Tensor) -> None:
        bad = 0
        for block in acts.split(self.block_rows):
            normalised = normalise(block.to(self._device, torch.float32), self._normalisation)
            bad += int((~torch.isfinite(normalised.acts)).any(dim=1).sum())
        if bad:  # else the sum alone overflowed
            cause = " (under constant_norm_rescale an all-zero token counts too)" if self._normalisation == "constant_norm_rescale" else ""
            raise SaeError(
                f"NaN or infinity in the activations of {bad:,} of {len(acts):,} tokens{cause}. "
                "The model overflowed: run it with settings.dtype float32 or bfloat16."
            )

    def _join(self, blocks: list[_Pairs], scales: list[np.ndarray], offsets: list[np.ndarray]) -> SparseLatents:
        counts = np.concatenate([block.counts for block in blocks]) if blocks else np.zeros(0, dtype=np.int64)
        token_offsets = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=token_offsets[1:])
        dtype = index_dtype(self.d_sae)
        return SparseLatents(
            token_offsets=token_offsets,
            indices=np.concatenate([block.indices.astype(dtype) for block in blocks]) if blocks else np.zeros(0, dtype=dtype),
            values=np.concatenate([block.values for block in blocks]) if blocks else np.zeros(0, dtype=np.float32),
            scale=np.concatenate(scales) if scales else None,
            offset=np.concatenate(offsets) if offsets else None,
        )


def _above_numpy(pre: np.ndarray, cut: np.ndarray, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return flat positions of ``pre > cut`` [rows d_sae] in ascending order, and their number in each row."""
    rows, d_sae = pre.shape
    mask = buffer[: pre.size]
    np.greater(pre, cut, out=mask.reshape(rows, d_sae))
    padded = -(-pre.size // 8) * 8
    buffer[pre.size : padded] = False
    flat = _true_positions(buffer[:padded])
    ends = np.searchsorted(flat, np.arange(1, rows + 1) * d_sae)
    return flat, np.diff(ends, prepend=0)


def _true_positions(mask: np.ndarray) -> np.ndarray:
    # About 1 % of the bytes are true, so most words of eight are zero: find the words first, then look inside them.
    words = mask.view(np.uint64)
    hit = np.flatnonzero(words != 0)
    inside = np.flatnonzero(words[hit].view(np.bool_))
    return hit[inside >> 3] * 8 + (inside & 7)


def _columns(flat: np.ndarray, counts: np.ndarray, d_sae: int) -> np.ndarray:
    return flat - np.repeat(np.arange(len(counts)) * d_sae, counts)


def _top_k_numpy(pre: np.ndarray, k: int, buffer: np.ndarray) -> _Pairs:
    """Find the k largest positive entries per row without sorting rows; of equal ones the lowest indices win."""
    bound = _lower_bound(pre, k)
    # pre >= bound and pre > 0, as one strict comparison
    cut = np.where(bound > 0, np.nextafter(bound, np.float32(-np.inf)), np.float32(0))[:, None]
    flat, counts = _above_numpy(pre, cut, buffer)
    values, indices = pre.reshape(-1)[flat], _columns(flat, counts, pre.shape[1])
    crowded = np.flatnonzero(counts > k)
    if len(crowded):
        # Candidates of the rows that have too many, side by side, padded with -inf on the right.
        width = int(counts.max())
        present = np.arange(width) < counts[crowded, None]
        is_candidate = np.repeat(counts > k, counts)
        table = np.full((len(crowded), width), -np.inf, dtype=np.float32)
        table[present] = values[is_candidate]
        kth = np.partition(table, width - k, axis=1)[:, width - k, None]
        keep_table = table >= kth
        if np.count_nonzero(keep_table) > k * len(crowded):  # ties at the k-th value
            above, equal = table > kth, table == kth
            keep_table = above | (equal & (equal.cumsum(axis=1) <= k - above.sum(axis=1, keepdims=True)))
        keep = np.ones(len(flat), dtype=np.bool_)
        keep[is_candidate] = keep_table[present]
        values, indices, counts = values[keep], indices[keep], np.minimum(counts, k)
    return _Pairs(counts, indices, values)


def _lower_bound(pre: np.ndarray, k: int) -> np.ndarray:
    """Return a value per row that at least k of its entries reach.

    The k-th largest of the maxima of disjoint groups is such a value, and there are far fewer maxima than entries.
    """
    rows, d_sae = pre.shape
    group = next((size for size in (16, 8, 4, 2) if d_sae // size >= 4 * k), 1)
    n_groups = d_sae // group
    # Entries beyond n_groups * group are left out: a bound that holds for some of the entries holds for all.
    maxima = pre[:, : n_groups * group].reshape(rows, group, n_groups).max(axis=1) if group > 1 else pre
    return np.partition(maxima, n_groups - k, axis=1)[:, n_groups - k]


def _group_max_numpy(pre: np.ndarray, n_groups: int) -> _Pairs:
    """Find the largest entry of each group of neighbours, if positive; of equal ones the lowest index wins."""
    rows, d_sae = pre.shape
    size = d_sae // n_groups
    groups = pre.reshape(rows * n_groups, size)
    inside = groups.argmax(axis=1)
    values = groups[np.arange(len(groups)), inside].reshape(rows, n_groups)
    indices = inside.reshape(rows, n_groups) + np.arange(n_groups) * size
    mask = values > 0
    return _Pairs(mask.sum(axis=1), indices[mask], values[mask])


def _above_torch(pre: torch.Tensor, folded: FoldedEncoder) -> _Pairs:
    mask = pre > folded.cut
    rows, columns = mask.nonzero(as_tuple=True)
    values = pre[rows, columns] + folded.bias[columns]
    return _pairs_to_host(mask, columns, values)


def _top_k_torch(pre: torch.Tensor, k: int) -> _Pairs:
    top = pre.topk(k, dim=1, sorted=False)
    columns, order = top.indices.sort(dim=1)
    values = top.values.gather(1, order)
    mask = values > 0
    return _pairs_to_host(mask, columns[mask], values[mask])


def _group_max_torch(pre: torch.Tensor, n_groups: int) -> _Pairs:
    size = pre.shape[1] // n_groups
    top = pre.view(len(pre), n_groups, size).max(dim=2)
    columns = top.indices + torch.arange(n_groups, device=pre.device) * size
    mask = top.values > 0
    return _pairs_to_host(mask, columns[mask], top.values[mask])


def _pairs_to_host(mask: torch.Tensor, columns: torch.Tensor, values: torch.Tensor) -> _Pairs:
    return _Pairs(mask.sum(dim=1).cpu().numpy(), columns.int().cpu().numpy(), values.cpu().numpy())
