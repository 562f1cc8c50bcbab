"""What names are inside the language model: embeddings and states after block 9, and the space in which pictures are compared with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from adapter_model import LANGUAGE_MODEL
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModelForCausalLM, AutoTokenizer

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.models.packaged import packaged_folder
from mosaic_sae.sae.load import load_sae

LAYER = 9
SAE = "packaged/gemma-3-270m-l9"
N_DIRECTIONS = 96
"""Principal directions of the mean states of names that are compared; the rest is mostly wording."""


class LanguageModel:
    """The frozen language model up to the SAE's block, in float32."""

    def __init__(self) -> None:
        folder = packaged_folder(LANGUAGE_MODEL)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False).model
        model.layers = model.layers[: LAYER + 1]
        self._taken: list[Tensor] = []
        # The model applies its final norm to what it returns; what the block itself returns is wanted.
        model.layers[LAYER].register_forward_hook(lambda _module, _inputs, output: self._taken.append(output))
        self._model = model
        self._bos = model.embed_tokens(torch.tensor([[self.tokenizer.bos_token_id]]))

    def states(self, tokens: Tensor) -> Tensor:
        """Return the states [batch seq d_model] of embedded tokens [batch seq d_model] behind a BOS, without that of BOS."""
        self._taken.clear()
        self._model(inputs_embeds=torch.cat([self._bos.expand(len(tokens), -1, -1), tokens], 1), use_cache=False)
        return self._taken.pop()[:, 1:]

    @torch.no_grad()
    def read(self, texts: list[str], batch_size: int = 32) -> tuple[list[Tensor], Tensor]:
        """Return the states of each text's tokens [seq d_model], and the mean of its scaled token embeddings [n_texts d_model]."""
        ids = [self.tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        order = sorted(range(len(texts)), key=lambda one: len(ids[one]))
        states: dict[int, Tensor] = {}
        means = torch.empty(len(texts), self._bos.shape[-1])
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            longest = max(len(ids[one]) for one in chosen)
            # Padding is on the right, where causal attention never looks back at it.
            padded = torch.tensor([ids[one] + [0] * (longest - len(ids[one])) for one in chosen])
            embedded = self._model.embed_tokens(padded)
            read = self.states(embedded)
            for row, one in enumerate(chosen):
                states[one] = read[row, : len(ids[one])].clone()
                means[one] = embedded[row, : len(ids[one])].mean(0)
        return [states[one] for one in range(len(texts))], means


@dataclass(frozen=True)
class NameSpace:
    """Mean states in units of the spread of names along their principal directions.

    Fitted on the names of the fit part only.
    """

    centre: Tensor
    """[d_model]"""
    directions: Tensor
    """[d_model n_directions], each divided by the standard deviation along it."""
    scale: Tensor
    """[d_model] standard deviation of each coordinate."""

    @classmethod
    def fit(cls, means: Tensor) -> NameSpace:
        """Fit on mean states [n d_model]."""
        centred = means - means.mean(0)
        _, values, directions = torch.linalg.svd(centred, full_matrices=False)
        spread = values[:N_DIRECTIONS] / len(means) ** 0.5
        # Small directions are not blown up to the size of the large ones: a square root between both.
        return cls(means.mean(0), directions[:N_DIRECTIONS].T / (spread * spread[0]).sqrt(), centred.std(0))

    def place(self, means: Tensor) -> Tensor:
        """Return unit vectors [n n_directions] of mean states [n d_model]."""
        return normalize((means - self.centre) @ self.directions, dim=-1)


class Reconstruction:
    """The packaged SAE as a differentiable function."""

    def __init__(self) -> None:
        sae = load_sae(SaeBlock(path=SAE), LAYER, None, "resid_post")
        assert sae.b_enc is not None and sae.threshold is not None
        self._sae = sae

    def latents(self, states: Tensor) -> Tensor:
        """Return latent activations [... d_sae] of states [... d_model]: z where z is above the latent's threshold, else 0 (JumpReLU)."""
        pre = (states - self._sae.b_dec) @ self._sae.W_enc + self._sae.b_enc
        return torch.where(pre > self._sae.threshold, pre.relu(), torch.zeros(()))

    def fvu(self, states: Tensor, variance: Tensor) -> Tensor:
        """Return the squared error of reconstruction per state, over the ``variance`` of text states (both summed over d_model)."""
        rebuilt = self.latents(states) @ self._sae.W_dec + self._sae.b_dec
        return (states - rebuilt).square().sum(-1).mean() / variance
