"""A sparse autoencoder for inference: its arrays, its conventions, encode and decode."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from mosaic_sae.errors import SaeError
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.sae.architectures import Sizes, check_arrays, encode_reference, fold
from mosaic_sae.sae.encode import FusedEncoder
from mosaic_sae.sae.latents import SparseLatents
from mosaic_sae.sae.metadata import SaeMetadata
from mosaic_sae.sae.normalise import check_normalisation, normalise

__all__ = ["SaeMetadata", "SparseAutoencoder", "SparseLatents"]

_ARRAY_NAMES = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "b_gate", "b_mag", "r_mag", "W_skip")
_WITH_K = ("topk", "groupmax")


@dataclass(frozen=True, eq=False, repr=False)
class SparseAutoencoder:
    """One SAE, or one transcoder (it reads one hook point and predicts another). Never changes; ``to`` returns another one.

    Arrays are kept in float32.

    Raises:
        SaeError: the arrays do not fit the architecture or each other, or a convention is unknown.
    """

    metadata: SaeMetadata
    architecture: str
    """standard, gated, topk, groupmax or jumprelu."""
    W_enc: torch.Tensor
    """[d_model d_sae]"""
    W_dec: torch.Tensor
    """[d_sae d_out]; row j is the decoder direction of latent j."""
    b_dec: torch.Tensor
    """[d_out]"""
    b_enc: torch.Tensor | None = None
    """[d_sae]; absent in gated SAEs."""
    threshold: torch.Tensor | None = None
    """[d_sae], jumprelu only."""
    b_gate: torch.Tensor | None = None
    """[d_sae], gated only."""
    b_mag: torch.Tensor | None = None
    """[d_sae], gated only."""
    r_mag: torch.Tensor | None = None
    """[d_sae], gated only; logarithm of the gain of the magnitude path."""
    W_skip: torch.Tensor | None = None
    """[d_model d_out], transcoders only: the linear part of the prediction, ``x @ W_skip``."""
    k: int | None = None
    """Most active latents per token: the k largest (topk), or the largest of each of k equal groups of neighbours (groupmax)."""
    rescale_acts_by_decoder_norm: bool = False
    """Whether latents are measured as if decoder directions had norm 1, topk only."""
    normalize_activations: str = "none"
    """none, layer_norm, constant_norm_rescale or centre."""
    apply_b_dec_to_input: bool = True
    """Whether b_dec is subtracted before encoding."""
    is_transcoder: bool = False
    """Whether it predicts activations at another hook point than it reads."""

    def __post_init__(self) -> None:
        where = f"'{self.metadata.name}'"
        for name in ("W_enc", "W_dec"):
            if getattr(self, name).ndim != 2:
                raise SaeError(f"SAE {where}: {name} must have two axes, got shape {list(getattr(self, name).shape)}.")
        sizes = Sizes(self.d_model, self.d_sae, self.d_out)
        check_arrays(self.arrays, self.architecture, sizes, where, has_skip=self.is_transcoder and self.W_skip is not None)
        check_normalisation(self.normalize_activations, where)
        if self.normalize_activations == "expected_average_only_in":
            raise SaeError(f"SAE {where}: fold the factor of expected_average_only_in into the weights first (fold_scaling_factor).")
        self._check_k(where)
        if self.rescale_acts_by_decoder_norm and self.architecture != "topk":
            raise SaeError(f"SAE {where}: rescale_acts_by_decoder_norm belongs to topk SAEs, not to {self.architecture}.")
        if self.is_transcoder and self.apply_b_dec_to_input:
            raise SaeError(f"SAE {where}: a transcoder's b_dec is of its output; apply_b_dec_to_input must be false.")
        for name, array in self.arrays.items():
            object.__setattr__(self, name, array.detach().to(torch.float32).contiguous())

    def _check_k(self, where: str) -> None:
        if (self.architecture in _WITH_K) != (self.k is not None) or (self.k is not None and not 1 <= self.k <= self.d_sae):
            raise SaeError(
                f"SAE {where} ({self.architecture}): a topk or groupmax SAE, and only that, needs k from 1 to {self.d_sae}; got {self.k}."
            )
        if self.architecture == "groupmax" and self.d_sae % (self.k or 1):
            raise SaeError(f"SAE {where}: groupmax needs k equal groups, but {self.d_sae} latents cannot be divided by k = {self.k}.")

    def __repr__(self) -> str:
        return f"SparseAutoencoder({self.metadata.name!r}, {self.architecture}, d_model={self.d_model}, d_sae={self.d_sae})"

    @property
    def d_model(self) -> int:
        """Width of the activations it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    @property
    def d_out(self) -> int:
        """Width of the activations it reconstructs: ``d_model``, unless it is a transcoder."""
        return self.W_dec.shape[1] if self.is_transcoder else self.d_model

    @property
    def device(self) -> torch.device:
        """Where the arrays are."""
        return self.W_enc.device

    @property
    def arrays(self) -> dict[str, torch.Tensor]:
        """Arrays that this architecture has, by name."""
        return {name: array for name in _ARRAY_NAMES if (array := getattr(self, name)) is not None}

    def array(self, name: str) -> torch.Tensor:
        """Return an array that the architecture has."""
        return self.arrays[name]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that changes latents or reconstructions: arrays as float32 and conventions; no names, paths or devices."""
        hashes = {name: hashlib.sha256(_float32_bytes(array)).hexdigest() for name, array in self.arrays.items()}
        return fingerprint({
            "arrays": hashes,
            "shape": [self.d_model, self.d_sae],
            "architecture": self.architecture,
            "k": self.k,
            "rescale_acts_by_decoder_norm": self.rescale_acts_by_decoder_norm,
            "normalize_activations": self.normalize_activations,
            "apply_b_dec_to_input": self.apply_b_dec_to_input,
            # Absent from SAEs, whose fingerprints are older than transcoders.
            **({"transcoder": True} if self.is_transcoder else {}),
        })

    def to(self, device: str | torch.device) -> SparseAutoencoder:
        """Return the same SAE on another device, with the same fingerprint."""
        if torch.device(device) == self.device:
            return self
        moved: dict[str, Any] = {name: array.to(device) for name, array in self.arrays.items()}
        return dataclasses.replace(self, **moved)

    @cached_property
    def encoder(self) -> FusedEncoder:
        """The fused encoder, made at first use."""
        return FusedEncoder(fold(self), self.normalize_activations)

    def encode(self, acts: torch.Tensor) -> SparseLatents:
        """Encode activations [n d_model] of any float type and device into sparse latents.

        Raises:
            SaeError: another width than d_model, or NaN or infinity in the activations.
        """
        return self.encoder(acts)

    @torch.no_grad()
    def encode_dense(self, acts: torch.Tensor) -> torch.Tensor:
        """Encode by the definition, float32 [n d_sae]; for tests and small inputs."""
        centred = normalise(acts.to(self.device, torch.float32), self.normalize_activations).acts
        return encode_reference(self, centred - self.b_dec if self.apply_b_dec_to_input else centred)

    @cached_property
    def decoder(self) -> torch.Tensor:
        """[d_sae d_out]: what one unit of each latent adds to the reconstruction."""
        return self.W_dec / self.W_dec.norm(dim=-1, keepdim=True) if self.rescale_acts_by_decoder_norm else self.W_dec

    @torch.no_grad()
    def decode(self, latents: SparseLatents, acts: torch.Tensor | None = None) -> torch.Tensor:
        """Reconstruct activations, or predict those at the output hook point; float32 [n d_out], in the model's own units.

        Args:
            latents: of n tokens.
            acts: the activations [n d_model] that were encoded; needed where there is a ``W_skip``, else not looked at.

        Raises:
            SaeError: the SAE normalises each token and ``latents`` do not carry the scales (only ``encode`` gives them),
                or there is a ``W_skip`` and ``acts`` are missing or of another shape.
        """
        reconstruction = torch.nn.functional.embedding_bag(
            self._on_device(latents.indices.astype("int64")),
            self.decoder,
            self._on_device(latents.token_offsets),
            mode="sum",
            per_sample_weights=self._on_device(latents.values),
            include_last_offset=True,
        )
        reconstruction += self.b_dec
        if self.W_skip is not None:
            reconstruction += self._skipped(acts, latents.n_tokens) @ self.W_skip
        # The output of a transcoder is at another hook point: what normalised the input says nothing about it.
        if self.normalize_activations == "none" or self.is_transcoder:
            return reconstruction
        if latents.scale is None and latents.offset is None:
            raise SaeError(
                f"SAE '{self.metadata.name}' normalises every token ({self.normalize_activations}); "
                "these latents do not carry the tokens' scales, so they cannot be decoded. Encode the activations again."
            )
        if latents.scale is not None:
            reconstruction *= self._on_device(latents.scale)[:, None]
        if latents.offset is not None:
            reconstruction += self._on_device(latents.offset)[:, None]
        return reconstruction

    def _skipped(self, acts: torch.Tensor | None, n_tokens: int) -> torch.Tensor:
        if acts is None or acts.shape != (n_tokens, self.d_model):
            got = "none" if acts is None else f"shape {list(acts.shape)}"
            raise SaeError(
                f"Transcoder '{self.metadata.name}' has a skip connection, so its prediction needs the activations "
                f"[{n_tokens}, {self.d_model}] that were encoded; got {got}."
            )
        return acts.to(self.device, torch.float32)

    def _on_device(self, array: object) -> torch.Tensor:
        return torch.as_tensor(array, device=self.device)


def _float32_bytes(array: torch.Tensor) -> memoryview:
    # Little-endian on every machine, so that the hash travels.
    return array.cpu().numpy().astype("<f4", copy=False).data
