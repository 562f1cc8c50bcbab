import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mosaic_sae.sae.base import SaeMetadata, SparseAutoencoder

ARCHITECTURES = ("standard", "gated", "topk", "jumprelu")
K = {"topk": 5, "groupmax": 4}


def random_arrays(architecture: str, d_model: int, d_sae: int, seed: int) -> dict[str, torch.Tensor]:
    """Arrays with nothing zero, symmetric or of norm 1, so that a wrong sign, transpose or order shows."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale + shift

    arrays = {"W_enc": draw(d_model, d_sae, scale=0.4), "W_dec": draw(d_sae, d_model, scale=0.4), "b_dec": draw(d_model)}
    if architecture == "gated":
        return arrays | {"b_gate": draw(d_sae, scale=0.5), "b_mag": draw(d_sae, scale=0.5), "r_mag": draw(d_sae, scale=0.5)}
    arrays["b_enc"] = draw(d_sae, scale=0.5)
    if architecture == "jumprelu":
        arrays["threshold"] = draw(d_sae, scale=0.6, shift=0.3)  # about a third are negative
    return arrays


@pytest.fixture
def make_sae() -> Callable[..., SparseAutoencoder]:
    def make(architecture: str, d_model: int = 8, d_sae: int = 24, seed: int = 0, name: str = "tiny", **over: Any) -> SparseAutoencoder:
        metadata = over.pop("metadata", SaeMetadata(name, hook_name="blocks.3.hook_resid_post"))
        fields = random_arrays(architecture, d_model, d_sae, seed)
        return SparseAutoencoder(metadata, architecture, **{**fields, **({"k": K[architecture]} if architecture in K else {}), **over})

    return make


@pytest.fixture
def make_acts() -> Callable[..., torch.Tensor]:
    def make(n: int = 50, d_model: int = 8, seed: int = 7) -> torch.Tensor:
        return torch.randn(n, d_model, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5

    return make


@pytest.fixture
def write_folder() -> Callable[..., Path]:
    """Write a SAELens folder by hand; ``config`` entries override the current form, None removes one."""

    def write(
        folder: Path,
        architecture: str = "jumprelu",
        d_model: int = 8,
        d_sae: int = 24,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        arrays: dict[str, torch.Tensor | None] | None = None,
        **config: Any,
    ) -> Path:
        folder.mkdir(parents=True)
        fields: dict[str, Any] = {
            "architecture": architecture,
            "d_in": d_model,
            "d_sae": d_sae,
            "dtype": "float32",
            "apply_b_dec_to_input": True,
            "normalize_activations": "none",
            "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.3.hook_resid_post", "model_name": "tiny"},
        }
        if architecture == "topk":
            fields["k"] = 5
        fields = {key: value for key, value in {**fields, **config}.items() if value is not None}
        (folder / "cfg.json").write_text(json.dumps(fields))
        stored = {**random_arrays(architecture if architecture in ARCHITECTURES else "standard", d_model, d_sae, seed), **(arrays or {})}
        save_file({name: array.to(dtype) for name, array in stored.items() if array is not None}, folder / "sae_weights.safetensors")
        return folder

    return write


@pytest.fixture
def load_by_saelens(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """SAELens's own ``from_pretrained`` on a local copy of a repository; ``over`` are sizes that its loader takes from names."""
    pytest.importorskip("sae_lens")
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders

    def load(release: str, sae_id: str, repository: Path, **over: Any) -> Any:
        def downloaded(repo_id: str, filename: str, subfolder: str = "", **_: Any) -> str:
            return str(repository / subfolder / filename)

        monkeypatch.setattr(loaders, "hf_hub_download", downloaded)
        monkeypatch.setattr(
            loaders,
            "get_safetensors_tensor_shapes",
            lambda repo_id, file: {name: list(array.shape) for name, array in load_file(repository / file).items()},
        )
        loader = loaders.NAMED_PRETRAINED_SAE_LOADERS[loaders.get_conversion_loader_name(release)]

        def converter(cfg_overrides: dict[str, Any], **options: Any) -> Any:
            return loader(**options, cfg_overrides={**cfg_overrides, **over})

        return SAE.from_pretrained(release, sae_id, converter=converter)

    return load


@pytest.fixture
def assert_same_sae() -> Callable[..., None]:
    """Ours against SAELens's: encode and decode to 1e-5, on float32 activations and on the same ones in bfloat16.

    What a transcoder predicts is what SAELens's ``forward`` gives; it adds the skip there, not in ``decode``.
    """

    def check(theirs: Any, ours: SparseAutoencoder, acts: torch.Tensor) -> None:
        for x in (acts, acts.bfloat16()):
            with torch.no_grad():
                latents = theirs.encode(x)
                reconstruction = theirs(x.float()) if ours.is_transcoder else theirs.decode(latents)
            share = (latents > 0).float().mean()
            assert 0.001 < share < 0.9, f"the comparison says little: {share:.4f} active"
            fused = ours.encode(x)
            for own, original in (
                (fused.to_dense(ours.d_sae), latents),
                (ours.encode_dense(x).numpy(), latents),
                (ours.decode(fused, x).numpy(), reconstruction),
            ):
                np.testing.assert_allclose(own, original.numpy(), rtol=1e-5, atol=1e-5)

    return check
