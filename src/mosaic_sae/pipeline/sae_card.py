"""The model card of an SAE trained here."""

from __future__ import annotations

from typing import Any

from mosaic_sae.config.sae_recipe import SaeRecipe
from mosaic_sae.models.locate import LocatedModel

_CARD = """# {name}

A sparse autoencoder (JumpReLU at use, trained as BatchTopK) for the output of block {layer} (`blocks.{layer}.hook_resid_post`) of {model}.

| figure | value |
|---|---|
| d_model, d_sae | {d_model}, {d_sae} |
| explained variance, held-out text | {explained_variance:.3f} (FVU {fvu:.3f}) |
| L0, held-out text | {l0:.1f} |
| dead latents, of {n_tokens:,} held-out tokens | {dead_share:.1%} |
| tokens trained on | {training_tokens:,} ({distinct_training_tokens:,} different ones) |
| massive activations left out | {massive_share:.3%} of the tokens |

## How to use it

The format is SAELens' (`cfg.json`, `sae_weights.safetensors`); weights are float16, the threshold float32.
{bos}, at most {max_length} tokens a text in training. BOS is never encoded. Tokens whose activation norm exceeds {max_norm:.1f}
({norm_factor:g} times the median) are massive activations: they were left out of training and have to be left out at use
(`max_norm` in `cfg.json`; MOSAIC does so by itself).

## What it was trained on

`{texts}`, in file order; the last {heldout_share:.0%} of the texts are the held-out part. {about_texts}
The recipe is committed with the code that reads it; it reproduces these weights up to floating-point differences between machines.

## Licence

{licence}
"""


def model_card(recipe: SaeRecipe, located: LocatedModel, max_norm: float, figures: dict[str, Any]) -> str:
    """Return the card as Markdown; every figure in it comes from ``figures``."""
    return _CARD.format(
        name=recipe.name,
        layer=recipe.layer,
        model=located.name,
        d_model=located.d_model,
        d_sae=recipe.d_sae,
        bos="A BOS token comes first" if recipe.prepend_bos else "No BOS token is put first",
        max_length=recipe.max_length,
        max_norm=max_norm,
        norm_factor=recipe.norm_factor,
        texts=recipe.texts.name,
        heldout_share=recipe.heldout_share,
        about_texts=recipe.about_texts or "What the texts are is not stated.",
        licence=recipe.licence or "Not stated.",
        **figures,
    )
