import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from mosaic_sae.errors import ModelError
from mosaic_sae.models.blocks import find_blocks
from mosaic_sae.models.hook_points import SITES, HookPoint, find_hook_point, parse_hook_point
from mosaic_sae.models.loading import Loading
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import TextModel, resolve_dtype

IDS = torch.tensor([[1, 5, 9, 8, 4], [1, 7, 3, 3, 3]])


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> AutoModelForCausalLM:
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_capture_is_what_a_hook_on_the_block_sees_and_hidden_states_of_the_next_entry(tiny_model: Path, reference, layer: int) -> None:
    seen = {}
    handle = reference.model.layers[layer].register_forward_hook(
        lambda _m, _i, out: seen.update(block=out if torch.is_tensor(out) else out[0])
    )
    with torch.no_grad():
        states = reference(IDS, output_hidden_states=True).hidden_states
    handle.remove()
    model = TextModel(locate_model(str(tiny_model)), [HookPoint(layer)], "cpu", "float32")
    captured = model.capture(IDS)[HookPoint(layer)]
    torch.testing.assert_close(captured, seen["block"])
    torch.testing.assert_close(captured, states[layer + 1])
    assert not torch.allclose(captured, states[layer], atol=1e-2)


def test_the_last_block_is_read_before_the_final_norm(tiny_model: Path, reference) -> None:
    with torch.no_grad():
        last = reference(IDS, output_hidden_states=True).hidden_states[-1]
        captured = TextModel(locate_model(str(tiny_model)), [HookPoint(3)], "cpu", "float32").capture(IDS)[HookPoint(3)]
        torch.testing.assert_close(reference.model.norm(captured), last)
    assert not torch.allclose(captured, last, atol=1e-2)


def test_mlp_output_is_the_mlp_module_s(tiny_model: Path, reference) -> None:
    seen = {}
    handle = reference.model.layers[1].mlp.register_forward_hook(lambda _m, _i, out: seen.update(mlp=out))
    with torch.no_grad():
        reference(IDS)
    handle.remove()
    point = HookPoint(1, "mlp_out")
    torch.testing.assert_close(TextModel(locate_model(str(tiny_model)), [point], "cpu", "float32").capture(IDS)[point], seen["mlp"])


def test_one_pass_gives_all_layers_and_nothing_deeper_is_kept(tiny_model: Path) -> None:
    model = TextModel(locate_model(str(tiny_model)), [HookPoint(2), HookPoint(0)], "cpu", "float32")
    captured = model.capture(IDS)
    assert sorted(captured) == [HookPoint(0), HookPoint(2)]
    assert len(model.model.layers) == 3
    assert not hasattr(model.model, "lm_head")


def test_what_is_read_can_be_narrowed(tiny_model: Path) -> None:
    model = TextModel(locate_model(str(tiny_model)), [HookPoint(1), HookPoint(3, "mlp_out")], "cpu", "float32")
    before = model.capture(IDS)[HookPoint(1)]
    model.narrow([HookPoint(1)])
    after = model.capture(IDS)
    assert model.points == list(after) == [HookPoint(1)]
    torch.testing.assert_close(after[HookPoint(1)], before)
    assert len(model.model.layers) == 2


def test_padding_on_the_right_changes_no_real_token(tiny_model: Path) -> None:
    model = TextModel(locate_model(str(tiny_model)), [HookPoint(2)], "cpu", "float32")
    padded = model.capture(IDS)[HookPoint(2)][1, :2]
    alone = model.capture(IDS[1:, :2])[HookPoint(2)][0]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)


def test_a_layer_that_does_not_exist_is_named(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="Layer 4 does not exist: this model has layers 0 to 3"):
        TextModel(locate_model(str(tiny_model)), [HookPoint(4)], "cpu", "float32")


def retyped(tiny_model: Path, folder: Path, **change: object) -> Path:
    """A copy of the tiny model whose config says something else."""
    copy = shutil.copytree(tiny_model, folder)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    return copy


def test_a_model_type_outside_the_table_is_read_before_and_after_blocks_only(tiny_model: Path, reference, tmp_path: Path) -> None:
    olmo = locate_model(str(retyped(tiny_model, tmp_path / "olmo", model_type="olmo", architectures=["OlmoForCausalLM"])))
    model = TextModel(olmo, [HookPoint(1, "resid_pre"), HookPoint(0), HookPoint(1)], "cpu", "float32")
    captured = model.capture(IDS)
    torch.testing.assert_close(captured[HookPoint(0)], captured[HookPoint(1, "resid_pre")])
    assert not torch.allclose(captured[HookPoint(1)], captured[HookPoint(0)], atol=1e-2)
    with pytest.raises(ModelError, match=r"attn_out cannot be read in OlmoDecoderLayer.*only: falcon, .*sae_location: res"):
        TextModel(olmo, [HookPoint(1, "attn_out")], "cpu", "float32")


def test_the_blocks_can_be_named(tiny_model: Path) -> None:
    located = locate_model(str(tiny_model))
    for path in ("model.layers", "layers"):
        captured = TextModel(located, [HookPoint(1)], "cpu", "float32", Loading(blocks=path)).capture(IDS)
        torch.testing.assert_close(captured, TextModel(located, [HookPoint(1)], "cpu", "float32").capture(IDS))
    with pytest.raises(ModelError, match=r"no list of 4 blocks at 'transformer\.h'\. Lists of that length: layers\. Set `blocks:`"):
        TextModel(located, [HookPoint(1)], "cpu", "float32", Loading(blocks="transformer.h"))


def test_blocks_that_cannot_be_told_apart_are_named() -> None:
    two = torch.nn.ModuleDict({name: torch.nn.ModuleList([torch.nn.Linear(2, 2)] * 3) for name in ("encoder", "decoder")})
    with pytest.raises(ModelError, match=r"Cannot tell .* 3 blocks of ModuleDict \(candidates: encoder, decoder\)\. Set `blocks:`"):
        find_blocks(two, 3, None)
    assert find_blocks(two, 3, "decoder") is two["decoder"]


def test_float16_is_refused_for_gemma(tiny_model: Path) -> None:
    import dataclasses

    gemma = dataclasses.replace(locate_model(str(tiny_model)), name="some/model", family="gemma2")
    with pytest.raises(ModelError, match="overflow"):
        resolve_dtype("float16", "cpu", gemma)
    assert resolve_dtype("float16", "cpu", locate_model(str(tiny_model))) == "float16"


def test_a_hub_name_offline_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match=r"not in the local cache.*hf download google/gemma-2b"):
        locate_model("google/gemma-2b")


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        locate_model(str(tmp_path))
    with pytest.raises(ModelError, match="is not a folder"):
        locate_model(str(tmp_path / "absent"))


def test_identity_follows_content_not_place(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    assert locate_model(str(copy)).identity == locate_model(str(tiny_model)).identity
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert locate_model(str(copy)).identity != locate_model(str(tiny_model)).identity


def test_hook_point_names_round_trip() -> None:
    for site in SITES:
        assert parse_hook_point(str(HookPoint(12, site))) == HookPoint(12, site)
    with pytest.raises(ModelError, match=r"Did you mean 'blocks\.N\.hook_resid_post'"):
        parse_hook_point("blocks.3.hook_resid_pots")


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("blocks.5.hook_in", HookPoint(5, "resid_pre")),
        ("blocks.5.ln2.hook_in", HookPoint(5, "resid_mid")),
        ("blocks.5.hook_out", HookPoint(5)),
        ("blocks.5.hook_mlp_in", HookPoint(5, "mlp_in")),
        ("blocks.5.ln2.hook_out", HookPoint(5, "mlp_in")),
        ("blocks.5.ln2.hook_normalized", HookPoint(5, "ln2_normalized")),
        ("blocks.5.ln2_post.hook_out", HookPoint(5, "mlp_out")),
        ("blocks.5.ln1_post.hook_out", HookPoint(5, "attn_out")),
        ("blocks.5.attn.o.hook_in", HookPoint(5, "attn_z")),
        ("model.layers.12", HookPoint(12)),
        ("model.layers.12.output", HookPoint(12)),
        ("gpt_neox.layers.12.input", HookPoint(12, "resid_pre")),
        ("transformer.h.4.attn.c_proj.input", HookPoint(4, "attn_z")),
        # As the files of Gemma Scope 2 spell them.
        ("model.layers.12.self_attn.o_proj.input", HookPoint(12, "attn_z")),
        ("model.layers.12.pre_feedforward_layernorm.output", HookPoint(12, "mlp_in")),
        ("model.layers.12.post_feedforward_layernorm.output", HookPoint(12, "mlp_out")),
        # Another tensor in each family.
        ("model.layers.12.mlp", None),
        ("model.layers.12.post_attention_layernorm.output", None),
        ("blocks.5.hook_resid_post.1", None),
        ("layers", None),
    ],
)
def test_other_spellings(name: str, point: HookPoint | None) -> None:
    assert find_hook_point(name) == point
