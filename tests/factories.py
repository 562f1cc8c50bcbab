"""Small real parts for tests: a tiny random model in a Hugging Face folder, a random SAE in SAELens format, a labelled table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WORDS = ["alpha", "beta", "gamma", "delta", "bomb", "cake", "poison", "garden", "how", "to", "make", "a", "the", "nice", "bad", "."]
N_LAYERS, D_MODEL, D_SAE = 4, 16, 48


def make_tokenizer(folder: Path) -> None:
    """A whitespace tokenizer with BOS, EOS and PAD that does not add BOS itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<unk>", "<bos>", "<eos>", "<pad>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")
    fast.save_pretrained(folder)


def make_model(folder: Path, seed: int = 0, **more: object) -> Path:
    """A tiny random Llama with its tokenizer; ``more`` goes into its config."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 4,
        hidden_size=D_MODEL,
        intermediate_size=32,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        **more,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        # Larger weights than usual, so that context matters and errors in masks show.
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.25)
    model.save_pretrained(folder)
    make_tokenizer(folder)
    return folder


def make_gemma_2(folder: Path, seed: int = 0, **more: object) -> Path:
    """A tiny random Gemma 2: soft-capped attention, norms after attention and MLP, gains that are not 1."""
    import torch
    from transformers import Gemma2Config, Gemma2Model

    torch.manual_seed(seed)
    config = Gemma2Config(
        vocab_size=len(WORDS) + 4,
        hidden_size=D_MODEL,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=12,
        query_pre_attn_scalar=12,
        attn_logit_softcapping=2.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        **more,
    )
    model = Gemma2Model(config)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    make_tokenizer(folder)
    return folder


def make_sae(folder: Path, layer: int = 2, seed: int = 0, d_model: int = D_MODEL, **metadata: object) -> Path:
    """A random JumpReLU SAE in SAELens format."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    weights = {
        "W_enc": random.normal(size=(d_model, D_SAE)),
        "W_dec": random.normal(size=(D_SAE, d_model)),
        "b_enc": random.normal(size=D_SAE) * 0.1,
        "b_dec": random.normal(size=d_model) * 0.1,
        "threshold": np.full(D_SAE, 0.5),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: array.astype(np.float32) for name, array in weights.items()}, folder / "sae_weights.safetensors")
    about = {"hook_name": f"blocks.{layer}.hook_resid_post", "prepend_bos": True, **metadata}
    config = {
        "d_in": d_model,
        "d_sae": D_SAE,
        "dtype": "float32",
        "architecture": "jumprelu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
    }
    (folder / "cfg.json").write_text(json.dumps({**config, "metadata": about}))
    return folder


def make_texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 1 to 12 words, labelled "bad" when they hold "bomb" or "poison", else "good"; all different."""
    random = np.random.default_rng(seed)
    texts: dict[str, str] = {}
    while len(texts) < n:
        words = random.choice(WORDS, size=random.integers(1, 13)).tolist()
        texts[" ".join(words)] = "bad" if {"bomb", "poison"} & set(words) else "good"
    return list(texts), list(texts.values())
