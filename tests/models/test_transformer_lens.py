"""Hook names mean what they mean in TransformerLens: the same tensors under the same names. Needs the extra [saelens]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_families import CASES, IDS, tiny_config
from transformers import AutoModelForCausalLM, AutoTokenizer

from factories import make_tokenizer
from mosaic_sae.models.hook_points import HookPoint, find_hook_point
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import TextModel

pytestmark = pytest.mark.saelens

NAMES = [
    "hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_mlp_out", "hook_attn_out", "attn.hook_z",
    "hook_in", "hook_out", "ln2.hook_in", "ln2.hook_out", "ln2.hook_normalized", "mlp.hook_in", "attn.o.hook_in",
]  # fmt: skip
GEMMA_NAMES = ["ln1_post.hook_out", "ln2_post.hook_out"]
PLAIN_NAMES = ["mlp.hook_out", "attn.hook_out"]


@pytest.fixture(params=["llama", "gemma2", "gpt2", "gpt_neox"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, TextModel, Any]:
    bridge = pytest.importorskip("transformer_lens.model_bridge").TransformerBridge
    case = next(case for case in CASES if case.model_type == request.param)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(case)).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(tmp_path)
    make_tokenizer(tmp_path)
    theirs = bridge.boot_transformers(str(tmp_path), device="cpu", tokenizer=AutoTokenizer.from_pretrained(tmp_path))
    names = [f"blocks.1.{name}" for name in NAMES + (GEMMA_NAMES if request.param == "gemma2" else PLAIN_NAMES)]
    if case.parallel:
        names = [name for name in names if not name.endswith(("hook_resid_mid", "ln2.hook_in"))]
    points = [point for name in names if (point := find_hook_point(name))]
    assert len(points) == len(names)
    _logits, cache = theirs.run_with_cache(IDS)
    return names, TextModel(locate_model(str(tmp_path)), points, "cpu", "float32"), cache


def test_the_same_name_is_the_same_tensor(both: tuple[list[str], TextModel, Any]) -> None:
    names, model, theirs = both
    ours = model.capture(IDS)
    for name in names:
        point = find_hook_point(name)
        assert isinstance(point, HookPoint)
        expected = theirs[name].reshape(*IDS.shape, -1)
        torch.testing.assert_close(ours[point], expected, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
