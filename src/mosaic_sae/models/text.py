"""A Hugging Face language model cut off after the deepest block that is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sae.config.schema import Chat, Tokens
from mosaic_sae.errors import ModelError
from mosaic_sae.models.blocks import Tap, find_blocks, find_tap
from mosaic_sae.models.chat import chat_frame
from mosaic_sae.models.families import family_of
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.loading import Loading, load_base_model
from mosaic_sae.models.locate import LocatedModel
from mosaic_sae.models.tokenise import Piece, TokenisedTexts, TokenPolicy, adds_bos_itself, tokenise
from mosaic_sae.sources.images import Picture

if TYPE_CHECKING:
    import torch
    from torch.utils.hooks import RemovableHandle

logger = logging.getLogger(__name__)

# Gemma's activations overflow float16 (transformers issue 31931).
_NO_FLOAT16 = ("gemma", "paligemma")
# Longest input when neither the tokenizer nor the model states one.
_FALLBACK_LENGTH = 2048


class TextModel:
    """Captures activations at hook points; blocks deeper than the deepest one and the head never run."""

    rows_at_once: int | None = None
    """Most rows to tokenise at a time; None = a whole shard."""

    def __init__(
        self, located: LocatedModel, points: Sequence[HookPoint], device: str = "auto", dtype: str = "auto", loading: Loading | None = None
    ) -> None:
        """Load the model from its folder.

        Args:
            located: where the model is.
            points: hook points that ``capture`` will return.
            device: "auto", "cpu", "cuda", ...
            dtype: "auto", "float32", "bfloat16" or "float16".
            loading: how the weights are loaded; None = whole, as they are.

        Raises:
            ModelError: the model cannot be loaded, or a hook point does not exist in it.
        """
        import torch

        loading = loading or Loading()
        self.name = located.name
        self.d_model = located.d_model
        self.n_layers = located.n_layers
        target = torch.device(resolve_device(device))
        self.dtype_name = resolve_dtype(dtype, str(target), located)
        self.tokenizer = load_tokenizer(located)
        self.model, self.device = load_base_model(located, loading, target, self.dtype_name)
        family = family_of(self.model.config)
        self._blocks = find_blocks(self.model, located.n_layers, loading.blocks or (family.blocks if family else None))
        self._taps = {point: find_tap(self._blocks, point, family, self.model.config) for point in points}
        self.narrow(points)

    def narrow(self, points: Sequence[HookPoint]) -> None:
        """From now on capture only these hook points, of those captured so far."""
        self.points = sorted(set(points))
        self._taps = {point: self._taps[point] for point in self.points}
        # Deleting the deeper blocks stops the pass early and frees their memory.
        del self._blocks[self.points[-1].layer + 1 :]

    def capture(self, ids: torch.Tensor) -> dict[HookPoint, torch.Tensor]:
        """Run one right-padded batch of texts.

        No attention mask is passed: attention is causal and padding is on the right, so no real token sees a pad.

        Args:
            ids: int64 [batch seq] token ids.

        Returns:
            Activations [batch seq d] per hook point, in the model's dtype; d is d_model, at ``attn_z`` n_heads * d_head.

        Raises:
            ModelError: a hook point was not reached.
        """
        return self._listen_to(ids.shape, lambda: self._language_model(input_ids=ids.to(self.device), use_cache=False))

    def capture_pieces(self, pieces: Sequence[Piece]) -> dict[HookPoint, torch.Tensor]:
        """Run pieces of one kind as one batch, as ``capture`` does."""
        return self.capture(padded([piece.ids for piece in pieces], self.tokenizer.pad_token_id or 0))

    @property
    def _language_model(self) -> Any:
        """What takes token ids."""
        return self.model

    def _listen_to(self, shape: Sequence[int], run: Callable[[], Any]) -> dict[HookPoint, torch.Tensor]:
        """Call ``run``, a pass over [batch seq] tokens, and return what goes by at the hook points."""
        import torch

        found: dict[HookPoint, torch.Tensor] = {}

        def keep(point: HookPoint, value: Any) -> None:
            # Some modules return a tuple, some take or give all tokens of the batch on one axis, some keep the heads apart.
            acts = value[0] if isinstance(value, tuple) else value
            found[point] = self._taps[point].keep(acts).reshape(*shape, -1)

        with ExitStack() as stack, torch.inference_mode():
            for point, tap in self._taps.items():
                stack.callback(_listen(tap, partial(keep, point)).remove)
            run()
        if missing := [str(point) for point in self._taps if point not in found]:
            raise ModelError(f"The model {self.name} ran without reaching {', '.join(missing)}.")
        return found

    def module_read(self, point: HookPoint) -> str:
        """Say which module's input or output is taken at ``point``, e.g. "output of layers.5"."""
        tap = self._taps[point]
        name = next(name for name, module in self.model.named_modules() if module is tap.module)
        return f"{'input' if tap.reads_input else 'output'} of {name}"

    def tokenise(self, texts: list[str], policy: TokenPolicy, pictures: list[Picture | None] | None = None) -> TokenisedTexts:
        """Tokenise texts with this model's tokenizer.

        Raises:
            ModelError: there are pictures, which this model does not read.
        """
        if any(picture is not None for picture in pictures or []):
            raise ModelError(f"{self.name} is read as a language model, which takes no pictures. Set settings.model_type: vlm.")
        return tokenise(self.tokenizer, texts, policy)


def _listen(tap: Tap, keep: Callable[[Any], None]) -> RemovableHandle:
    if tap.reads_input:
        return tap.module.register_forward_pre_hook(
            lambda _module, args, kwargs: keep(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
    return tap.module.register_forward_hook(lambda _module, _args, output: keep(output))


def padded(rows: Sequence[np.ndarray], pad: int) -> torch.Tensor:
    """Return int64 [batch seq], padded on the right."""
    import torch

    batch = np.full((len(rows), max(len(row) for row in rows)), pad, dtype=np.int64)
    for line, row in zip(batch, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(batch)


def load_tokenizer(located: LocatedModel) -> Any:
    """Load a located model's tokenizer.

    Raises:
        ModelError: the folder has no usable tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(located.folder, local_files_only=True, trust_remote_code=located.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The model {located.name} has no usable tokenizer in {located.folder}: {error}") from error


def make_policy(tokenizer: Any, located: LocatedModel, prepend_bos: bool | None, tokens: Tokens, chat: Chat) -> TokenPolicy:
    """Resolve what is left open: BOS as the tokenizer does it, length as the model allows.

    Args:
        tokenizer: the model's tokenizer.
        located: the model.
        prepend_bos: None = as the tokenizer does it.
        tokens: length, windows, and what counts.
        chat: whether and how the model's chat template is used.

    Raises:
        ModelError: a template is wanted and the model has none, windows do not overlap, or the model reads no such length.
    """
    from transformers import AutoConfig

    bos = adds_bos_itself(tokenizer) if prepend_bos is None else prepend_bos
    config = AutoConfig.from_pretrained(located.folder, local_files_only=True, trust_remote_code=located.trust_remote_code)
    stated = getattr(config.get_text_config(), "max_position_embeddings", None)
    max_length = tokens.max_length
    if max_length is None:
        max_length = min(stated or _FALLBACK_LENGTH, tokenizer.model_max_length)
    elif stated and max_length > stated:
        raise ModelError(f"tokens.max_length is {max_length}, but {located.name} reads at most {stated} tokens (max_position_embeddings).")
    stride = None
    if tokens.long_texts == "window":
        stride = tokens.stride or max(1, max_length // 2)
        if stride > max_length - bos:
            raise ModelError(
                f"tokens.stride is {stride}, but a window holds {max_length - bos} tokens: tokens between windows would be lost."
            )
    return TokenPolicy(
        prepend_bos=bos,
        pool_special=tokens.bos == "include",
        max_length=max_length,
        stride=stride,
        chat=chat_frame(tokenizer, chat.system, located.name) if chat.template == "model" else None,
        pool_template=chat.pool == "all",
    )


def resolve_device(device: str) -> str:
    """Return the device that "auto" stands for: CUDA, else Apple's MPS, else the CPU.

    Raises:
        ModelError: a device is asked for that is not here.
    """
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(
            f"settings.device is {device}, but torch sees no CUDA device here. Use device: auto, or install a CUDA build of torch."
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise ModelError("settings.device is mps, but torch sees no such device here. Use device: auto.")
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_dtype(dtype: str, device: str, located: LocatedModel) -> str:
    """Return the precision that "auto" stands for: bfloat16 where the processor computes in it, else float32.

    Raises:
        ModelError: float16 was asked of a model whose activations overflow it.
    """
    import torch

    if dtype == "float16" and any(family.startswith(_NO_FLOAT16) for family in (located.family, located.text_family)):
        raise ModelError(f"settings.dtype is float16, but activations of {located.name} overflow it. Use bfloat16, float32 or auto.")
    if dtype != "auto":
        return dtype
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device == "cpu" and _cpu_computes_bfloat16() else "float32"


def _cpu_computes_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; elsewhere it is emulated, some 40 times slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and bool({"avx512_bf16", "amx_bf16"} & set(cpuinfo.read_text(encoding="ascii", errors="replace").split()))
