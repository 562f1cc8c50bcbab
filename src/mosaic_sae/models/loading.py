"""Load a located model's weights: whole or spread over devices, in full precision or quantised."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaic_sae.errors import ModelError
from mosaic_sae.fsio import read_json
from mosaic_sae.models.locate import LocatedModel
from mosaic_sae.models.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Loading:
    """How a model is loaded, as its entry in the config says."""

    blocks: str | None = None
    """Module path of the list of blocks; None = known or found."""
    device_map: str | dict[str, str] | None = None
    """"auto" spreads the model over all devices; None = the whole model on one."""
    quantisation: str = "none"
    """none, 8bit or 4bit."""

    @property
    def identity(self) -> dict[str, Any]:
        """What of it changes the numbers; empty for the defaults."""
        changed = {"blocks": self.blocks, "quantisation": None if self.quantisation == "none" else self.quantisation}
        return {key: value for key, value in changed.items() if value is not None}


def load_base_model(located: LocatedModel, loading: Loading, device: torch.device, dtype: str) -> tuple[Any, torch.device]:
    """Load a model without its head, ready for inference.

    Args:
        located: the model's folder.
        loading: options.
        device: where it goes, unless ``device_map`` spreads it.
        dtype: "float32", "bfloat16" or "float16".

    Returns:
        The model, and the device that token ids go to.

    Raises:
        ModelError: it cannot be loaded, lacks weights, needs code that is not trusted, or cannot be quantised here.
    """
    config = read_json(located.folder / "config.json")
    model, first, _ = _load(located, loading, device, dtype, _auto_class(config))
    return model.base_model, first


def load_causal_model(located: LocatedModel, loading: Loading, device: torch.device, dtype: str) -> tuple[Any, torch.device]:
    """Load a model with its head, which gives the logits of the next token; otherwise as :func:`load_base_model`.

    Raises:
        ModelError: also when its files hold no head.
    """
    from transformers import AutoModelForCausalLM

    model, first, missing = _load(located, loading, device, dtype, AutoModelForCausalLM)
    if missing:
        # transformers would go on with random numbers in their place.
        raise ModelError(
            f"The files of {located.name} lack {', '.join(sorted(missing)[:3])}; without them it predicts no token. Use the causal model."
        )
    return model, first


def _load(located: LocatedModel, loading: Loading, device: torch.device, dtype: str, auto_class: Any) -> tuple[Any, torch.device, set[str]]:
    """Return the model, the device that token ids go to, and the weights that its files lack."""
    import torch

    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True, "trust_remote_code": located.trust_remote_code}
    if loading.quantisation != "none":
        options["quantization_config"] = _quantisation(loading.quantisation, device, options["dtype"])
        options["device_map"] = {"": str(device)}
    if loading.device_map is not None:
        options["device_map"] = loading.device_map
    if _is_capped(located):
        # The fused attention kernels leave the cap out.
        options["attn_implementation"] = "eager"
    quiet_transformers()
    try:
        model, info = auto_class.from_pretrained(located.folder, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"Cannot load the model {located.name} from {located.folder}: {error}") from error
    if absent := sorted(name for name in info["missing_keys"] if not name.startswith("lm_head")):
        # transformers would fill them with random numbers.
        raise ModelError(
            f"{len(absent)} weights of the model {located.name} are not in {located.folder}: {', '.join(absent[:3])}. "
            "Its files and its config.json do not belong together, or a file is missing."
        )
    if "device_map" not in options:
        model = model.to(device)
    return model.eval().requires_grad_(False), _first_device(model, device), set(info["missing_keys"])


def _auto_class(config: dict[str, Any]) -> Any:
    """Return the transformers class that loads a config; code in a repository often defines the causal model alone."""
    from transformers import AutoModel, AutoModelForCausalLM

    return AutoModelForCausalLM if "auto_map" in config and "AutoModel" not in config["auto_map"] else AutoModel


def _is_capped(located: LocatedModel) -> bool:
    """Whether attention logits are soft-capped. The file may leave it out where it is usual (Gemma 2)."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(located.folder, local_files_only=True, trust_remote_code=located.trust_remote_code)
    return getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None


def _quantisation(kind: str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if device.type != "cuda":
        raise ModelError(
            f"models.quantisation is {kind}, which needs a CUDA device, but the model goes to {device.type}. "
            "Set quantisation: none, or run where a GPU is."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"models.quantisation is {kind}, which needs bitsandbytes. Install it with: pip install bitsandbytes")
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _first_device(model: Any, device: torch.device) -> torch.device:
    """Return where the embedding runs: its device, or with parts off the accelerator the one they are brought to."""
    import torch

    spread = getattr(model, "hf_device_map", None)
    if not spread:
        return device
    places = [place for place in spread.values() if place not in ("cpu", "disk")]
    return torch.device(places[0] if places else "cpu")
