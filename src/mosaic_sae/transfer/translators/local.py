"""Translations by a sequence-to-sequence model on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mosaic_sae.config.translation import LocalTranslator
from mosaic_sae.errors import ModelError
from mosaic_sae.models.hub import snapshot
from mosaic_sae.models.quiet import quiet_transformers
from mosaic_sae.transfer.translators.base import Item, Translation

_FILES = ["*.json", "*.model", "*.txt", "*.spm", "*.safetensors", "*.bin"]
_NO_LIMIT = 1_000_000  # tokenizers without a limit state a huge one


class LocalModel:
    """One model for all directions, or, with {source} or {target} in its name, one for each."""

    def __init__(self, config: LocalTranslator) -> None:
        self._config = config
        self._loaded: tuple[str, Any, Any] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Model and search; the batch changes nothing but rounding."""
        return self._config.model_dump(include={"kind", "model", "revision", "prefix", "codes", "num_beams", "max_new_tokens"})

    def translate(self, items: Sequence[Item], source: str, target: str) -> Iterator[list[Translation]]:
        """Yield the translations of one batch after the other, the longest texts first."""
        words = {"source": self._config.codes.get(source, source), "target": self._config.codes.get(target, target)}
        model, tokenizer = self._model(_filled(self._config.model, words))
        import torch

        options = _language_options(tokenizer, words)
        limit = _limit(model, tokenizer)
        rows = [tokenizer(_filled(self._config.prefix, words) + item.text)["input_ids"] for item in items]
        too_long = [number for number, row in enumerate(rows) if len(row) > limit]
        if too_long:
            yield [Translation(number, None, f"longer than the model's {limit} tokens") for number in too_long]
        order = sorted((number for number, row in enumerate(rows) if len(row) <= limit), key=lambda number: -len(rows[number]))
        for start in range(0, len(order), self._config.batch_size):
            batch = order[start : start + self._config.batch_size]
            inputs = tokenizer.pad({"input_ids": [rows[number] for number in batch]}, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                written = model.generate(
                    **inputs, **options, do_sample=False, num_beams=self._config.num_beams, max_new_tokens=self._config.max_new_tokens
                )
            yield [self._read(number, tokens.tolist(), tokenizer, model) for number, tokens in zip(batch, written, strict=True)]

    def _read(self, number: int, tokens: list[int], tokenizer: Any, model: Any) -> Translation:
        ends = model.generation_config.eos_token_id
        # The first token is the decoder's start, which may be the end token too.
        if not set(tokens[1:]) & set(ends if isinstance(ends, list) else [ends]):
            return Translation(number, None, f"its translation does not end within max_new_tokens ({self._config.max_new_tokens})")
        text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        return Translation(number, text or None, "" if text else "an empty translation")

    def _model(self, name: str) -> tuple[Any, Any]:
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = (name, *_load(name, self._config.revision, self._config.device))
        return self._loaded[1:]


def _filled(text: str, words: dict[str, str]) -> str:
    return text.replace("{source}", words["source"]).replace("{target}", words["target"])


def _load(name: str, revision: str | None, device: str) -> tuple[Any, Any]:
    local = Path(name).expanduser()
    if not local.is_dir() and name.startswith((".", "/", "~")):
        raise ModelError(f"translator.model '{name}' is no folder. Give a folder in Hugging Face format, or a hub name.")
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = local if local.is_dir() else snapshot(name, revision, _FILES)
    quiet_transformers()
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"translator.model '{name}' cannot be loaded as a sequence-to-sequence model with its tokenizer: {error}"
            " (A chat model translates behind an endpoint: translator kind openai.)"
        ) from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), tokenizer


def _language_options(tokenizer: Any, words: dict[str, str]) -> dict[str, Any]:
    """Tell a multilingual model's tokenizer the source language; return the token that its answer begins with.

    NLLB, M2M100 and mBART have one token for each language; others learn the direction from the prefix or have one only.
    """
    if not hasattr(tokenizer, "src_lang"):
        return {}
    token = {name: _language_token(tokenizer, code) for name, code in words.items()}
    tokenizer.src_lang = words["source"]
    return {"forced_bos_token_id": tokenizer.convert_tokens_to_ids(token["target"])}


def _language_token(tokenizer: Any, code: str) -> str:
    for token in (code, f"__{code}__"):  # M2M100 writes __de__
        if tokenizer.convert_tokens_to_ids(token) not in {None, tokenizer.unk_token_id}:
            return token
    known = [token.strip("_") for token in tokenizer.all_special_tokens if not token.startswith("<")]
    raise ModelError(
        f"The translation model knows no language '{code}'. Say what it calls it, in translator.codes: {{{code}: ...}}."
        f" It knows {', '.join(sorted(known)[:12]) or 'none by name'}{', ...' if len(known) > 12 else ''}."
    )


def _limit(model: Any, tokenizer: Any) -> int:
    """Longest input in tokens; models with relative positions (T5) state none that binds."""
    limits = [getattr(model.config, "max_position_embeddings", None), tokenizer.model_max_length]
    return min((limit for limit in limits if limit and limit < _NO_LIMIT), default=_NO_LIMIT)
