"""A text's activations do not depend on the texts beside it, nor on how its tokenizer likes to pad."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Gemma2Model

from factories import make_gemma_2, make_texts
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import TextModel, padded
from mosaic_sae.models.tokenise import TokenPolicy, make_batches

WINDOW = 4
POINTS = [HookPoint(2), HookPoint(1, "attn_z"), HookPoint(2, "mlp_out")]
POLICY = TokenPolicy(prepend_bos=True, pool_special=False, max_length=32)


@pytest.fixture(scope="module")
def gemma_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soft-capped, with a sliding window that is shorter than most texts."""
    return make_gemma_2(tmp_path_factory.mktemp("gemma2"), sliding_window=WINDOW)


@pytest.fixture(params=["gemma_2", "tiny_model"])
def model(request: pytest.FixtureRequest) -> TextModel:
    return TextModel(locate_model(str(request.getfixturevalue(request.param))), POINTS, "cpu", "float32")


def by_text(model: TextModel, texts: list[str], batch_size: int) -> list[dict[HookPoint, torch.Tensor]]:
    tokens = model.tokenise(texts, POLICY)
    found: dict[int, dict[HookPoint, torch.Tensor]] = {}
    for rows in make_batches(tokens.lengths, batch_size, 10**6):
        captured = model.capture(padded([tokens.ids[row] for row in rows], 3))
        for place, row in enumerate(rows):
            found[int(row)] = {point: acts[place, : tokens.lengths[row]] for point, acts in captured.items()}
    return [found[row] for row in range(len(texts))]


def test_batches_of_1_8_and_64_give_the_same_activations(model: TextModel) -> None:
    texts, _labels = make_texts(64)
    # Not sorted by length across a batch of 64, so that short texts have much padding.
    one, eight, all_at_once = (by_text(model, texts, size) for size in (1, 8, 64))
    for row in range(len(texts)):
        for point in POINTS:
            torch.testing.assert_close(eight[row][point], one[row][point], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(all_at_once[row][point], one[row][point], rtol=1e-4, atol=1e-4)


def test_the_window_and_the_cap_are_at_work(gemma_2: Path) -> None:
    def first_layer(**change: object) -> torch.Tensor:
        whole = Gemma2Model.from_pretrained(gemma_2, attn_implementation="eager", **change).eval()
        found: list[torch.Tensor] = []
        whole.layers[1].register_forward_pre_hook(lambda _module, args: found.append(args[0]))
        with torch.no_grad():
            whole(ids)
        return found[0][0]

    ids = torch.tensor([[1, 5, 9, 8, 4, 11, 6, 7]])
    captured = TextModel(locate_model(str(gemma_2)), [HookPoint(0)], "cpu", "float32").capture(ids)[HookPoint(0)][0]
    torch.testing.assert_close(captured, first_layer(), rtol=1e-4, atol=1e-4)
    # Layer 0 slides: a token within the window is the same without one, later tokens are not.
    unlimited = first_layer(sliding_window=100)
    torch.testing.assert_close(captured[:WINDOW], unlimited[:WINDOW], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(captured[WINDOW:], unlimited[WINDOW:], atol=1e-2)
    assert not torch.allclose(captured, first_layer(attn_logit_softcapping=None), atol=1e-2)


def test_a_tokenizer_that_pads_left_gives_the_same(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    left = shutil.copytree(tiny_model, tmp_path / "left")
    tokenizer = AutoTokenizer.from_pretrained(left, padding_side="left")
    tokenizer.save_pretrained(left)
    assert AutoTokenizer.from_pretrained(left)(["a", "a bomb"], padding=True).input_ids[0][0] == 3
    texts, _labels = make_texts(8)
    right_hand, left_hand = (by_text(TextModel(locate_model(str(at)), POINTS, "cpu", "float32"), texts, 8) for at in (tiny_model, left))
    for one, other in zip(right_hand, left_hand, strict=True):
        for point in POINTS:
            torch.testing.assert_close(one[point], other[point])
