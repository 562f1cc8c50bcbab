"""A vision-language model, cut off after the deepest block of its language model that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sae.errors import ModelError
from mosaic_sae.models.hook_points import VISION_TOWER, HookPoint
from mosaic_sae.models.loading import Loading
from mosaic_sae.models.locate import LocatedModel
from mosaic_sae.models.pictures import load_processor, tokenise_picture
from mosaic_sae.models.text import TextModel, padded
from mosaic_sae.models.tokenise import Piece, TokenisedTexts, TokenPolicy, join_texts
from mosaic_sae.models.vision_families import vision_family_of
from mosaic_sae.sources.images import Picture

if TYPE_CHECKING:
    import torch


class VisionLanguageModel(TextModel):
    """Captures activations of the language model, and the vision tower's pooled output.

    A text without a picture goes through the language model alone, and gives what that would give by itself.
    """

    # The pixels of these are in memory at once; a picture of many tiles takes some 50 MB.
    rows_at_once = 32

    def __init__(
        self, located: LocatedModel, points: Sequence[HookPoint], device: str = "auto", dtype: str = "auto", loading: Loading | None = None
    ) -> None:
        """Load the model from its folder.

        Args:
            located: where the model is.
            points: hook points of the language model, and ``VISION_TOWER`` where its output is wanted.
            device: "auto", "cpu", "cuda", ...
            dtype: "auto", "float32", "bfloat16" or "float16".
            loading: how the weights are loaded; None = whole, as they are.

        Raises:
            ModelError: the model cannot be loaded or is of no known family, or a hook point does not exist in it.
        """
        self._family = vision_family_of(located.family, located.name)
        self._reads_tower = VISION_TOWER in points
        loading = loading or Loading()
        blocks = loading.blocks or f"{self._family.language_model}.layers"
        super().__init__(located, [point for point in points if point != VISION_TOWER], device, dtype, replace(loading, blocks=blocks))
        self._processor = load_processor(located)
        self.tokenizer = self._processor.tokenizer
        self._image_token: int = self.model.config.image_token_id

    @property
    def _language_model(self) -> Any:
        return self.model.get_submodule(self._family.language_model)

    def tokenise(self, texts: list[str], policy: TokenPolicy, pictures: list[Picture | None] | None = None) -> TokenisedTexts:
        """Tokenise texts, and pictures with their texts; an empty text beside a picture stands for the policy's prompt.

        Raises:
            ModelError: a picture needs more tokens than ``max_length``.
        """
        if pictures is None or not any(picture is not None for picture in pictures):
            return super().tokenise(texts, policy)
        tokenise_text = super().tokenise
        parts = [
            tokenise_text([text], policy)
            if picture is None
            else tokenise_picture(self._processor, self._family, self._image_token, picture, text, policy)
            for text, picture in zip(texts, pictures, strict=True)
        ]
        return join_texts(parts)

    def capture_pieces(self, pieces: Sequence[Piece]) -> dict[HookPoint, torch.Tensor]:
        """Run pieces of one kind as one batch.

        Returns:
            Activations [batch seq d] per hook point; with pictures, at ``VISION_TOWER``, [batch 1 d_tower]: the mean over a picture's
            tiles of the tower's pooled output where it has one, else the mean of its patch states.

        Raises:
            ModelError: the model refuses the pictures.
        """
        import torch

        if pieces[0].picture is None:
            return super().capture_pieces(pieces)
        lengths = [len(piece.ids) for piece in pieces]
        ids = padded([piece.ids for piece in pieces], self.tokenizer.pad_token_id or 0)
        inputs = {
            name: torch.from_numpy(np.concatenate([(piece.picture or {})[name] for piece in pieces])).to(self.device)
            for name in self._family.pixels
        }
        first = self._family.pixels[0]
        inputs[first] = inputs[first].to(self.model.dtype)
        of_masks = {
            "real": torch.arange(ids.shape[1])[None, :] < torch.tensor(lengths)[:, None],
            "image": ids == self._image_token,
            "zero": torch.zeros_like(ids),
        }
        inputs |= {name: of_masks[mask].long().to(self.device) for name, mask in self._family.masks.items()}
        states: list[torch.Tensor] = []
        tower = self.model.get_submodule(self._family.tower)
        handle = tower.register_forward_hook(lambda _module, _args, output: states.append(self._image_states(output)))
        try:
            found = self._listen_to(ids.shape, lambda: self.model(input_ids=ids.to(self.device), use_cache=False, **inputs))
        except ValueError as error:
            raise ModelError(f"{self.name} does not take what its processor makes of a picture: {error}") from error
        finally:
            handle.remove()
        if self._reads_tower:
            found[VISION_TOWER] = _mean_per_picture(states[0], [_n_parts((piece.picture or {})[first]) for piece in pieces])[:, None]
        return found

    def _image_states(self, output: Any) -> torch.Tensor:
        """Return one vector per image, or per patch where the tower takes the patches of all images on one axis: [n d_tower]."""
        import torch

        pooled = getattr(output, "pooler_output", None) if self._family.tower_pools else None
        if pooled is not None:
            return torch.as_tensor(pooled)
        states: torch.Tensor = output.last_hidden_state
        return states.mean(1) if states.ndim == 3 else states


def _n_parts(pixels: np.ndarray) -> int:
    """Return how many images, tiles or patches a picture is to the tower: [n C H W], [1 n C H W] or [n d]."""
    return int(np.prod(pixels.shape[:-3] if pixels.ndim > 3 else pixels.shape[:1]))


def _mean_per_picture(states: torch.Tensor, n_parts: list[int]) -> torch.Tensor:
    """Average [sum(n_parts) d] over the parts of each picture: float32 [n d]."""
    import torch

    return torch.segment_reduce(states.float(), "mean", lengths=torch.tensor(n_parts, device=states.device), axis=0)
