"""Read an SAE from a SAELens folder: ``cfg.json`` and ``sae_weights.safetensors``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats import SaeFormat
from mosaic_sae.sae.formats.saelens_config import CONFIG_FILE, SaelensConfig, read_config
from mosaic_sae.sae.metadata import SaeMetadata

if TYPE_CHECKING:
    import torch

    from mosaic_sae.sae.base import SparseAutoencoder

logger = logging.getLogger(__name__)

WEIGHTS_FILE = "sae_weights.safetensors"
# A gain per latent that some files from before version 6 carry; only the neutral one, all ones, means nothing.
_FINETUNING = ("scaling_factor", "finetuning_scaling_factor")


def read_metadata(folder: Path, name: str) -> SaeMetadata:
    """Read what the SAE says about itself; no weights, no torch."""
    return read_config(folder, name).metadata


def read(folder: Path, name: str, norm_scaling_factor: float | None = None) -> SparseAutoencoder:
    """Read the whole SAE; arrays of any stored precision become float32.

    Args:
        folder: the folder.
        name: name for people.
        norm_scaling_factor: factor of "expected_average_only_in"; None = the one in ``cfg.json`` (``metadata.norm_scaling_factor``).

    Raises:
        SaeError: the files are missing, damaged, contradict each other, or need something that is not supported.
    """
    from mosaic_sae.sae.architectures import Sizes, check_arrays
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sae.formats.arrays import read_safetensors
    from mosaic_sae.sae.normalise import check_normalisation

    config = read_config(folder, name)
    where = str(folder / CONFIG_FILE)
    check_normalisation(config.normalize_activations, where)
    arrays = _drop_neutral_gain(read_safetensors(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE)
    if "W_skip" in arrays and arrays["W_skip"].ndim == 2:
        arrays["W_skip"] = arrays["W_skip"].T  # stored [d_out d_in]
    sizes = Sizes(config.d_model, config.d_sae, config.d_out)
    check_arrays(arrays, config.architecture, sizes, str(folder), config.has_skip)
    arrays, normalisation = _apply_factor(arrays, config, norm_scaling_factor, where)
    return SparseAutoencoder(
        metadata=config.metadata,
        architecture=config.architecture,
        k=config.k,
        rescale_acts_by_decoder_norm=config.rescale_acts_by_decoder_norm,
        normalize_activations=normalisation,
        apply_b_dec_to_input=config.apply_b_dec_to_input,
        is_transcoder=config.is_transcoder,
        **arrays,
    )


def _drop_neutral_gain(arrays: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    for name in _FINETUNING:
        if name in arrays and not (arrays[name] == 1).all():
            raise SaeError(f"{path}: array '{name}' (a finetuned gain per latent) is not supported. Use the SAE from before finetuning.")
    return {name: array for name, array in arrays.items() if name not in _FINETUNING}


def _apply_factor(
    arrays: dict[str, torch.Tensor], config: SaelensConfig, given: float | None, where: str
) -> tuple[dict[str, torch.Tensor], str]:
    from mosaic_sae.sae.normalise import fold_scaling_factor

    factor = given if given is not None else config.norm_scaling_factor
    if config.normalize_activations != "expected_average_only_in":
        if given is not None:
            logger.warning(
                f"{where}: norm_scaling_factor {given:g} is not used, because normalize_activations is {config.normalize_activations}."
            )
        return arrays, config.normalize_activations
    if config.is_transcoder:
        raise SaeError(
            f"{where}: normalize_activations expected_average_only_in is not supported for a transcoder, because its input and its "
            "output have different factors. Save it with the factors folded in and normalize_activations none."
        )
    if factor is None:
        raise SaeError(
            f"{where}: normalize_activations is expected_average_only_in, so the SAE reads activations multiplied by one factor "
            "(sqrt(d_in) / mean activation norm in its training), but no file holds that factor. Without it the latents would be wrong. "
            'Write it into cfg.json, {"metadata": {"norm_scaling_factor": 0.2}}, or save the SAE with the factor folded in.'
        )
    return fold_scaling_factor(arrays, factor), "none"


FORMAT = SaeFormat(config_file=CONFIG_FILE, weights_file=WEIGHTS_FILE, read_metadata=read_metadata, read=read)
