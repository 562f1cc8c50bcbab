"""Each site of each family, proved by the sums and products that a transformer block is made of, with weights of an untouched model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from factories import WORDS, make_tokenizer
from mosaic_sae.errors import ModelError
from mosaic_sae.models.families import FAMILIES
from mosaic_sae.models.hook_points import SITES, HookPoint
from mosaic_sae.models.locate import locate_model, width_at
from mosaic_sae.models.text import TextModel

IDS = torch.tensor([[1, 5, 9, 8, 4, 11, 6], [1, 7, 3, 3, 3, 3, 3]])
N_LAYERS = 3


@dataclass(frozen=True)
class Case:
    """A family's tiny configuration, and where an untouched model keeps what the identities need."""

    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    blocks: str = "layers"
    final_norm: str = "norm"
    out_projection: str = "self_attn.o_proj"
    attention_post_norm: str | None = None
    mlp: tuple[str, ...] = ("mlp",)
    """Modules that are the MLP when applied one after the other."""
    mlp_post_norm: str | None = None
    norm: str = "post_attention_layernorm"
    gain: float = 0.0
    """What is added to the norm's weight."""
    parallel: bool = False

    def __str__(self) -> str:
        return self.name or self.model_type


WIDE_HEADS = {"num_key_value_heads": 1, "head_dim": 12}
GEMMA_2 = {
    "attention_post_norm": "post_attention_layernorm",
    "mlp_post_norm": "post_feedforward_layernorm",
    "norm": "pre_feedforward_layernorm",
    "gain": 1.0,
}
SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA_3_CONFIG = {**WIDE_HEADS, "query_pre_attn_scalar": 12, "sliding_window": 3, "layer_types": SLIDING}
NEOX = {"blocks": "layers", "final_norm": "final_layer_norm", "out_projection": "attention.dense"}
FALCON = {"blocks": "h", "final_norm": "ln_f", "out_projection": "self_attention.dense"}
OPT = {
    "blocks": "decoder.layers",
    "final_norm": "decoder.final_layer_norm",
    "out_projection": "self_attn.out_proj",
    "mlp": ("fc1", "activation_fn", "fc2"),
    "norm": "final_layer_norm",
}
CASES = [
    Case("llama", WIDE_HEADS),
    Case("mistral", WIDE_HEADS | {"sliding_window": 3}),
    Case("mixtral", {"num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": None}),
    Case("qwen2", {"num_key_value_heads": 1}),
    Case("qwen3", WIDE_HEADS),
    Case("smollm3", {"num_key_value_heads": 1, "no_rope_layers": [1, 0, 1]}),
    Case(
        "phi",
        {"num_key_value_heads": 2},
        final_norm="final_layernorm",
        out_projection="self_attn.dense",
        norm="input_layernorm",
        parallel=True,
    ),
    Case("phi3", {"num_key_value_heads": 1}),
    Case("gemma", WIDE_HEADS, gain=1.0),
    Case("gemma2", GEMMA_3_CONFIG | {"attn_logit_softcapping": 2.0}, **GEMMA_2),
    Case("gemma3_text", GEMMA_3_CONFIG, **GEMMA_2),
    Case("gemma3", {}, blocks="language_model.layers", final_norm="language_model.norm", **GEMMA_2),
    Case("gpt2", blocks="h", final_norm="ln_f", out_projection="attn.c_proj", norm="ln_2"),
    Case("gpt_neox", parallel=True, **NEOX),
    Case("gpt_neox", {"use_parallel_residual": False}, "gpt_neox, in sequence", **NEOX),
    Case("opt", **OPT),
    Case("falcon", {"multi_query": True, "parallel_attn": True}, "falcon, 7b", norm="input_layernorm", parallel=True, **FALCON),
    Case("falcon", {"new_decoder_architecture": True, "num_kv_heads": 1}, "falcon, 40b", norm="ln_mlp", parallel=True, **FALCON),
    Case("falcon", {"parallel_attn": False, "alibi": True}, "falcon, rw", **FALCON),
    Case("gpt_oss", WIDE_HEADS | {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 3, "layer_types": SLIDING}),
]


def tiny_config(case: Case) -> Any:
    sizes = {
        "vocab_size": len(WORDS) + 4, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": N_LAYERS, "num_attention_heads": 2,
        "max_position_embeddings": 64, "pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    if case.model_type == "gemma3":
        vision = {
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": N_LAYERS,
            "num_attention_heads": 1,
            "image_size": 28,
            "patch_size": 14,
        }
        return AutoConfig.for_model("gemma3", text_config=sizes | GEMMA_3_CONFIG, vision_config=vision, mm_tokens_per_image=4)
    if case.model_type == "opt":
        sizes |= {"word_embed_proj_dim": 16, "ffn_dim": 24}
    return AutoConfig.for_model(case.model_type, **sizes | case.config)


@pytest.fixture(scope="module", params=CASES, ids=str)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path, Any]:
    """A family's case, the folder of its tiny random model, and that model."""
    case = request.param
    torch.manual_seed(0)
    model = AutoModel.from_config(tiny_config(case)).eval().requires_grad_(False)
    for parameter in model.parameters():
        # Gains and shifts that are not neutral, and weights with which context matters.
        parameter.add_(torch.randn_like(parameter) * (0.3 if parameter.ndim == 1 else 0.2))
    folder = tmp_path_factory.mktemp("family")
    model.save_pretrained(folder)
    make_tokenizer(folder)
    return case, folder, model


def capture(folder: Path, points: list[HookPoint]) -> dict[HookPoint, torch.Tensor]:
    return TextModel(locate_model(str(folder)), points, "cpu", "float32").capture(IDS)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_every_site_is_what_it_is_called(made: tuple[Case, Path, Any]) -> None:
    case, folder, model = made
    sites = [site for site in SITES if not (case.parallel and site == "resid_mid")]
    at = capture(folder, [HookPoint(layer, site) for layer in range(N_LAYERS) for site in sites])
    reference = model(IDS, output_hidden_states=True)
    for layer, block in enumerate(model.get_submodule(case.blocks)):
        site = {name: at[HookPoint(layer, name)] for name in sites}
        module = block.get_submodule
        # The residual stream, as transformers itself reports it, and what is added to it.
        close(site["resid_pre"], reference.hidden_states[layer])
        middle = site["resid_pre"] + site["attn_out"]
        if not case.parallel:
            close(site["resid_mid"], middle)
        close(site["resid_post"], middle + site["mlp_out"])
        if layer + 1 < N_LAYERS:
            close(site["resid_post"], at[HookPoint(layer + 1, "resid_pre")])
        # Attention: the output projection of all heads, then Gemma's norm.
        attention = module(case.out_projection)(site["attn_z"])
        close(site["attn_out"], module(case.attention_post_norm)(attention) if case.attention_post_norm else attention)
        assert site["attn_z"].shape[-1] == width_at(locate_model(str(folder)), "attn_z")
        # MLP: the norm of the stream (in parallel: of the block's input), the gain by hand, the layers of the MLP.
        norm = module(case.norm)
        close(site["mlp_in"], norm(site["resid_pre"] if case.parallel else site["resid_mid"]))
        shift = getattr(norm, "bias", None)
        close(site["mlp_in"], site["ln2_normalized"] * (norm.weight + case.gain) + (0.0 if shift is None else shift))
        mlp = site["mlp_in"]
        for part in case.mlp:
            mlp = module(part)(mlp)
            mlp = mlp[0] if isinstance(mlp, tuple) else mlp
        close(site["mlp_out"], module(case.mlp_post_norm)(mlp) if case.mlp_post_norm else mlp)
    close(model.get_submodule(case.final_norm)(at[HookPoint(N_LAYERS - 1, "resid_post")]), reference.last_hidden_state)


def test_the_model_cut_after_the_deepest_block_equals_the_whole_one(made: tuple[Case, Path, Any]) -> None:
    case, folder, _model = made
    points = [HookPoint(1, "attn_z"), HookPoint(1, "mlp_out")]
    cut = TextModel(locate_model(str(folder)), points, "cpu", "float32")
    assert len(cut.model.get_submodule(case.blocks)) == 2
    whole = capture(folder, [*points, HookPoint(2)])
    for point, acts in cut.capture(IDS).items():
        torch.testing.assert_close(acts, whole[point])
        assert acts.shape == (*IDS.shape, width_at(locate_model(str(folder)), point.site))


def test_a_parallel_block_has_no_middle(made: tuple[Case, Path, Any]) -> None:
    case, folder, _model = made
    if case.parallel:
        with pytest.raises(ModelError, match=r"There is no resid_mid in \w+: attention and MLP read the same residual stream"):
            capture(folder, [HookPoint(1, "resid_mid")])


def test_every_family_of_the_table_is_proved_here() -> None:
    assert {case.model_type for case in CASES} == set(FAMILIES)


def test_opt_with_the_norm_behind_the_mlp_has_none_in_front(tmp_path: Path) -> None:
    AutoModel.from_config(tiny_config(Case("opt", {"do_layer_norm_before": False}))).save_pretrained(tmp_path)
    make_tokenizer(tmp_path)
    for site in ("resid_mid", "ln2_normalized"):
        with pytest.raises(ModelError, match=f"There is no {site} in OPTDecoderLayer: this model normalises after"):
            capture(tmp_path, [HookPoint(1, site)])
