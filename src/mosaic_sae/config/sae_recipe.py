"""Schema of the YAML file that ``mosaic sae train`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mosaic_sae.config.block import Block


class SaeRecipe(Block):
    """How one SAE is trained."""

    name: str
    """Name of the SAE; its folder is called so."""
    model: str
    """Hugging Face name, local folder, or "packaged/NAME"."""
    revision: str | None = None
    """Commit, tag or branch of the model repository."""
    layer: Annotated[int, Field(ge=0)]
    """Block whose output is encoded, counted from 0."""
    texts: Path
    """Parquet file with the training texts, in the order they are used in."""
    text_field: str = "text"
    """Column with the text."""
    max_rows: Annotated[int, Field(ge=2)] | None = None
    """Use the first rows only."""
    max_length: Annotated[int, Field(ge=2)] = 96
    """Longest text in tokens, BOS included; longer ones keep their beginning."""
    prepend_bos: bool = True
    """Whether BOS comes first. It is never trained on."""
    heldout_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.03
    """Share of the texts, the last ones, that the final figures are measured on."""
    norm_factor: Annotated[float, Field(gt=1)] = 4.0
    """Tokens whose norm exceeds this times the median (massive activations) are left out, here and wherever the SAE is used."""
    architecture: Literal["batchtopk"] = "batchtopk"
    """Training form; saved as JumpReLU with one common threshold."""
    d_sae: Annotated[int, Field(ge=2)]
    """Number of latents."""
    k: Annotated[float, Field(gt=0)]
    """Mean number of active latents per token."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Passes over the training tokens."""
    batch_size: Annotated[int, Field(ge=1)] = 1024
    """Tokens per step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Peak of Adam's step size; it rises over the first 2 % of the steps and falls to zero over the last 30 %."""
    checkpoints: Annotated[int, Field(ge=0)] = 4
    """Checkpoints on the way; a killed training goes on from the last one."""
    seed: int = 0
    """Seed of initial weights and order."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""
    work_dir: Path = Path("./output/sae")
    """Folder for activations and checkpoints (2.3 KB per token at d_model 576)."""
    out_dir: Path = Path("./saes")
    """Folder that the finished SAE's folder goes into."""
    about_texts: str | None = None
    """What the texts are, for the model card."""
    licence: str | None = None
    """Licence of the weights, for the model card."""
