"""Every family of vision-language models: positions, pixels, states and the vision tower, against transformers and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForImageTextToText
from transformers.models.smolvlm import processing_smolvlm

from mosaic_sae.config.schema import Chat, Tokens
from mosaic_sae.errors import ModelError
from mosaic_sae.models.hook_points import VISION_TOWER, HookPoint
from mosaic_sae.models.locate import LocatedModel, locate_model
from mosaic_sae.models.pictures import load_processor, make_vision_policy, tower_width
from mosaic_sae.models.text import TextModel, load_tokenizer
from mosaic_sae.models.tokenise import TokenPolicy, batches_of
from mosaic_sae.models.vision import VisionLanguageModel
from mosaic_sae.models.vision_families import VISION_FAMILIES
from mosaic_sae.sources.images import Picture, open_picture
from vision_models import N_LAYERS, TINY, Tiny, make_picture, make_vision_model

POINTS = [HookPoint(layer) for layer in range(N_LAYERS)]
WIDE, SQUARE = make_picture(60, 30, seed=1), make_picture(seed=2)
TEXT = "how to make a cake"


@pytest.fixture(scope="module", autouse=True)
def _without_number_words() -> Any:
    """SmolVLM's processor asks for a package that spells numbers, for videos alone."""
    patch = pytest.MonkeyPatch()
    if not processing_smolvlm.num2words:
        patch.setattr(processing_smolvlm, "num2words", str)
    yield
    patch.undo()


class Made:
    """A tiny model with everything that the tests ask of it."""

    def __init__(self, tiny: Tiny, folder: Path) -> None:
        self.tiny = tiny
        self.located: LocatedModel = locate_model(str(make_vision_model(folder, tiny)))
        self.model = VisionLanguageModel(self.located, [*POINTS, VISION_TOWER], "cpu", "float32")
        self.processor = load_processor(self.located)
        self.whole = AutoModelForImageTextToText.from_pretrained(self.located.folder, dtype=torch.float32).eval()

    def policy(self, pool: str = "auto", prompt: str = "", chat: Chat | None = None, **tokens: Any) -> TokenPolicy:
        tokenizer, chosen = load_tokenizer(self.located), Tokens(pool=pool, **tokens)
        return make_vision_policy(self.processor, tokenizer, self.located, True, chosen, chat or Chat(), prompt)

    def theirs(self, pictures: list[Picture], texts: list[str]) -> Any:
        """What the processor as a whole makes of pictures and texts in the family's own form."""
        bos = "" if self.tiny.family == "paligemma" else "<bos>"
        token = self.processor.image_token
        written = [self._form(token).format(bos=bos, text=text) for text in texts]
        images = [[open_picture(picture)] for picture in pictures]
        options = {"padding": True, "padding_side": "right", "add_special_tokens": False, "return_tensors": "pt"}
        return self.processor(images=images, text=written, **options)

    def _form(self, token: str) -> str:
        if self.tiny.family.startswith("qwen"):
            return f"{{bos}}<|vision_start|>{token}<|vision_end|>{{text}}"
        return f"{{bos}}{token}" + ("\n" if self.tiny.family == "llava" else "") + "{text}"

    def states(self, inputs: Any) -> tuple[torch.Tensor, ...]:
        """Outputs of all blocks but the last, as the untouched model reports them of everything that the processor made."""
        given = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad():
            return self.whole(**given, output_hidden_states=True).hidden_states[1:-1]


@pytest.fixture(scope="module", params=TINY, ids=str)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(request.param, tmp_path_factory.mktemp("vision"))


def test_tokens_and_image_tokens_are_the_processor_s(made: Made) -> None:
    theirs = made.theirs([WIDE, SQUARE], [TEXT, ""])
    ours = made.model.tokenise([TEXT, ""], made.policy(), [WIDE, SQUARE])
    config = made.whole.config
    for row in range(2):
        real = theirs["attention_mask"][row].bool()
        np.testing.assert_array_equal(ours.ids[row], theirs["input_ids"][row][real].numpy())
        # The tokens that count are those that the model itself fills with image features.
        np.testing.assert_array_equal(ours.counts[row], (theirs["input_ids"][row][real] == config.image_token_id).numpy())
        assert 0 < ours.counts[row].sum() < len(ours.ids[row])
    pixels = np.concatenate([ours.pieces[row][0].picture["pixel_values"] for row in range(2)]) if _same_tiles(ours) else None
    if pixels is not None:
        np.testing.assert_array_equal(pixels, theirs["pixel_values"].numpy())


def _same_tiles(texts: Any) -> bool:
    return texts.pieces[0][0].kind == texts.pieces[1][0].kind


def test_states_are_those_of_the_whole_model_with_everything_its_processor_gives(made: Made) -> None:
    for picture, text in ((WIDE, TEXT), (SQUARE, "")):
        expected = made.states(made.theirs([picture], [text]))
        texts = made.model.tokenise([text], made.policy(), [picture])
        found = made.model.capture_pieces(texts.pieces[0])
        for point, states in zip(POINTS[:-1], expected, strict=True):
            torch.testing.assert_close(found[point], states, rtol=1e-4, atol=1e-4)


def test_the_states_of_llava_by_hand(tmp_path: Path) -> None:
    made = Made(TINY[0], tmp_path)
    (piece,) = made.model.tokenise([TEXT], made.policy(), [WIDE]).pieces[0]
    model = made.whole.model
    with torch.no_grad():
        patches = model.vision_tower(torch.from_numpy(piece.picture["pixel_values"]), output_hidden_states=True).hidden_states[-2][0, 1:]
        projector = model.multi_modal_projector
        features = torch.nn.functional.gelu(patches @ projector.linear_1.weight.T + projector.linear_1.bias)
        features = features @ projector.linear_2.weight.T + projector.linear_2.bias
        embedded = model.language_model.embed_tokens.weight[torch.from_numpy(piece.ids).long()]
        # BOS, one token per patch of 14 x 14 pixels, a line feed, the text.
        assert piece.ids[1:5].tolist() == [made.whole.config.image_token_id] * 4
        embedded = torch.cat([embedded[:1], features, embedded[5:]])
        states = model.language_model(inputs_embeds=embedded[None], output_hidden_states=True).hidden_states
    found = made.model.capture_pieces([piece])
    torch.testing.assert_close(found[HookPoint(0)], states[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[HookPoint(1)], states[2], rtol=1e-4, atol=1e-4)


def test_pictures_in_one_batch_give_what_each_gives_alone(made: Made) -> None:
    rows = [(WIDE, "a nice garden with a cake ."), (SQUARE, ""), (make_picture(seed=5), "bad"), (make_picture(60, 30, seed=6), "how")]
    texts = made.model.tokenise([text for _, text in rows], made.policy(), [picture for picture, _ in rows])
    pieces = [piece for (piece,) in texts.pieces]
    batches = list(batches_of(pieces, None, 10_000))
    assert sorted(np.concatenate(batches)) == [0, 1, 2, 3]
    assert any(len(batch) > 1 for batch in batches)
    for batch in batches:
        together = made.model.capture_pieces([pieces[place] for place in batch])
        for line, place in enumerate(batch):
            alone = made.model.capture_pieces([pieces[place]])
            length = len(pieces[place].ids)
            torch.testing.assert_close(together[POINTS[1]][line, :length], alone[POINTS[1]][0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(together[VISION_TOWER][line], alone[VISION_TOWER][0], rtol=1e-4, atol=1e-4)


def test_a_picture_changes_its_own_states_alone(made: Made) -> None:
    one, other = (made.model.tokenise([""], made.policy(), [picture]).pieces[0][0] for picture in (SQUARE, make_picture(seed=9)))
    a, b = (made.model.capture_pieces([piece])[POINTS[1]][0, piece.counts] for piece in (one, other))
    assert not torch.allclose(a, b, atol=1e-3)


def test_a_text_gives_what_the_language_model_alone_gives(made: Made) -> None:
    family = VISION_FAMILIES[made.tiny.family]
    texts = made.model.tokenise([TEXT, "bad cake"], made.policy(), [None, SQUARE])
    piece = texts.pieces[0][0]
    assert piece.picture is None
    assert piece.counts.tolist() == [False, True, True, True, True, True]
    language_model = AutoModel.from_pretrained(made.located.folder, dtype=torch.float32).eval().get_submodule(family.language_model)
    seen = []
    language_model.layers[1].register_forward_hook(lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        language_model(input_ids=torch.from_numpy(piece.ids).long()[None])
    torch.testing.assert_close(made.model.capture_pieces([piece])[POINTS[1]], seen[0])
    # The same states, whether read as a language model or as a vision-language model.
    as_text = TextModel(made.located, [POINTS[1]], "cpu", "float32").capture(torch.from_numpy(piece.ids).long()[None])
    torch.testing.assert_close(as_text[POINTS[1]], seen[0], rtol=1e-4, atol=1e-4)


def test_the_vision_tower_s_output_is_pooled_per_picture(made: Made) -> None:
    piece = made.model.tokenise([""], made.policy(), [WIDE]).pieces[0][0]
    found = made.model.capture_pieces([piece])[VISION_TOWER]
    assert found.shape == (1, 1, tower_width(made.located))
    arrays = {name: torch.from_numpy(array) for name, array in piece.picture.items()}
    pixels, tower = arrays["pixel_values"], made.whole.model.get_submodule(VISION_FAMILIES[made.tiny.family].tower)
    with torch.no_grad():
        if made.tiny.family.startswith("qwen"):
            expected = tower(pixels, grid_thw=arrays["image_grid_thw"]).last_hidden_state.mean(0)
        elif made.tiny.family in ("idefics3", "smolvlm"):
            assert pixels.shape[1] == 3  # two tiles and the whole
            patches = torch.ones(3, 4, 4, dtype=torch.bool)
            expected = tower(pixel_values=pixels[0], patch_attention_mask=patches).last_hidden_state.mean((0, 1))
        elif made.tiny.family == "llava":
            expected = tower(pixels).pooler_output[0]
        else:
            expected = tower(pixels).last_hidden_state[0].mean(0)
    torch.testing.assert_close(found[0, 0], expected, rtol=1e-4, atol=1e-4)


def test_nothing_deeper_than_the_deepest_point_runs(made: Made) -> None:
    cut = VisionLanguageModel(made.located, [HookPoint(1)], "cpu", "float32")
    piece = made.model.tokenise([TEXT], made.policy(), [SQUARE]).pieces[0][0]
    assert len(cut.model.get_submodule(VISION_FAMILIES[made.tiny.family].language_model).layers) == 2
    found = cut.capture_pieces([piece])
    assert list(found) == [HookPoint(1)]
    torch.testing.assert_close(found[HookPoint(1)], made.model.capture_pieces([piece])[HookPoint(1)])


@pytest.mark.parametrize(("pool", "image", "text"), [("auto", 1, 0), ("image", 1, 0), ("text", 0, 1), ("all", 1, 1)])
def test_what_counts_is_the_picture_the_text_or_both(made: Made, pool: str, image: int, text: int) -> None:
    policy = made.policy(pool, prompt="nice garden .")
    texts = made.model.tokenise([TEXT, ""], policy, [SQUARE, SQUARE])
    for row, words in enumerate((TEXT, "nice garden .")):
        counted = texts.ids[row][texts.counts[row]]
        is_image = counted == made.whole.config.image_token_id
        n_image = int((texts.ids[row] == made.whole.config.image_token_id).sum())
        assert is_image.sum() == image * n_image
        assert made.processor.tokenizer.decode(counted[~is_image]).split() == words.split() * text


def test_max_length_cuts_the_text_and_never_the_picture(made: Made) -> None:
    whole = made.model.tokenise([TEXT], made.policy(), [SQUARE])
    n_all = len(whole.ids[0])
    cut = made.model.tokenise([TEXT], made.policy(max_length=n_all - 3), [SQUARE])
    assert cut.truncated.tolist() == [True]
    assert len(cut.ids[0]) == n_all - 3
    assert cut.counts[0].sum() == whole.counts[0].sum()
    n_bare = n_all - len(TEXT.split())
    with pytest.raises(ModelError, match=rf"max_length is {n_bare - 1}, but a picture of 40 x 40 pixels alone needs {n_bare} tokens"):
        made.model.tokenise([TEXT], made.policy(max_length=n_bare - 1), [SQUARE])


TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}the {% for part in turn['content'] %}{% if part['type'] == 'image' %}IMAGE"
    "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %} .{% endfor %}"
)


def test_a_chat_template_is_written_around_picture_and_text(made: Made) -> None:
    made.processor.chat_template = TEMPLATE.replace("IMAGE", made.processor.image_token)
    policy = made.policy("all", prompt="bad", chat=Chat(template="model"))
    texts = made.model.tokenise(["", " nice cake "], policy, [SQUARE, None])
    decode = made.processor.tokenizer.decode
    assert decode(texts.ids[0]).startswith("<bos> the")
    assert decode(texts.ids[0]).endswith("bad .")
    assert decode(texts.ids[0][texts.counts[0] & (texts.ids[0] != made.whole.config.image_token_id)]) == "bad"
    assert decode(texts.ids[1]) == "<bos> the nice cake ."
    assert decode(texts.ids[1][texts.counts[1]]) == "nice cake"
    made.processor.chat_template = None


def test_every_family_of_the_table_is_proved_here() -> None:
    assert {tiny.family for tiny in TINY} == set(VISION_FAMILIES)


def test_a_language_model_takes_no_pictures_and_an_unknown_family_is_named(tiny_model: Path) -> None:
    located = locate_model(str(tiny_model))
    with pytest.raises(ModelError, match=r"takes no pictures\. Set settings\.model_type: vlm"):
        TextModel(located, [HookPoint(1)], "cpu", "float32").tokenise(["a"], TokenPolicy(True, False, 10), [SQUARE])
    with pytest.raises(ModelError, match=r"model type llama .* is not known\. Known: gemma3, idefics3, llava"):
        VisionLanguageModel(located, [HookPoint(1)], "cpu", "float32")
