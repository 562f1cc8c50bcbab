"""Train a BatchTopK SAE with SAELens's trainer (extra ``[saelens]``) on any stream of activations."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.config.sae_recipe import SaeRecipe
from mosaic_sae.errors import MissingExtra

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Batches = Callable[[int], Iterator["torch.Tensor"]]
"""From the number of tokens to skip to batches [batch_size d_model], endless and in an order that the seed fixes."""


def train(recipe: SaeRecipe, batches: Batches, mean: torch.Tensor, mean_norm: float, n_tokens: int, device: str, folder: Path) -> None:
    """Train, and write the inference form (JumpReLU, SAELens format) into ``folder / "trained"``.

    Activations are scaled to a mean norm of sqrt(d_model) for training; the factor is folded into the weights at the end.

    Args:
        recipe: width, sparsity, schedule.
        batches: the training activations.
        mean: float32 [d_model] mean activation, where b_dec starts.
        mean_norm: mean norm of the activations.
        n_tokens: tokens to train on in all.
        device: "cpu", "cuda", ...
        folder: where checkpoints and the result go; a checkpoint in it is continued.

    Raises:
        MissingExtra: SAELens is not installed.
    """
    try:
        from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
        from sae_lens.config import LoggingConfig, SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer
    except ImportError as error:
        raise MissingExtra("SAELens", "saelens", "Training an SAE") from error
    import torch

    torch.manual_seed(recipe.seed)
    d_model = len(mean)
    steps = n_tokens // recipe.batch_size
    sae = BatchTopKTrainingSAE(
        BatchTopKTrainingSAEConfig(
            d_in=d_model,
            d_sae=recipe.d_sae,
            k=recipe.k,
            device=device,
            dtype="float32",
            apply_b_dec_to_input=True,
            normalize_activations="expected_average_only_in",
        )
    )
    scale = d_model**0.5 / mean_norm
    with torch.no_grad():
        sae.b_dec.copy_(mean * scale)
    checkpoints = folder / "checkpoints"
    config = SAETrainerConfig(
        total_training_samples=steps * recipe.batch_size,
        train_batch_size_samples=recipe.batch_size,
        lr=recipe.learning_rate,
        # The constant schedule ignores lr_end, but SAELens wants one; the decay goes to zero.
        lr_end=recipe.learning_rate,
        lr_warm_up_steps=max(2, steps // 50),
        lr_decay_steps=steps * 3 // 10,
        device=device,
        # A latent that fires in none of this many steps counts as dead and is helped by the auxiliary loss.
        dead_feature_window=max(20, steps // 20),
        n_checkpoints=recipe.checkpoints,
        checkpoint_path=str(checkpoints),
        logger=LoggingConfig(log_to_wandb=False),
    )
    provider = _Provider()
    trainer = SAETrainer(cfg=config, sae=sae, data_provider=provider)
    trainer.activation_scaler.scaling_factor = scale
    if last := _last_checkpoint(checkpoints):
        logger.info("Continuing from %s", last)
        sae.load_weights_from_checkpoint(last)
        trainer.load_trainer_state(last)
        trainer.checkpoint_thresholds = [tokens for tokens in trainer.checkpoint_thresholds if tokens > trainer.n_training_samples]
    provider.source = batches(trainer.n_training_samples)
    trainer.fit()
    sae.save_inference_model(folder / "trained")


class _Provider:
    """SAELens asks for its data before it is known how much of it a checkpoint has used."""

    source: Iterator[Any]

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.source)


def _last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the most tokens; one whose last file was not written does not count."""
    found = [path for path in folder.glob("*") if re.fullmatch(r"\d+", path.name) and (path / "activation_scaler.json").is_file()]
    return max(found, key=lambda path: int(path.name), default=None)
