"""Chat templates: one BOS, the template's own words outside pooling, long texts cut inside the template."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from mosaic_sae.config.schema import Chat, Tokens
from mosaic_sae.errors import ModelError
from mosaic_sae.models.chat import chat_frame
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import make_policy
from mosaic_sae.models.tokenise import TokenPolicy, tokenise

TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %} {{ 'the' if turn.role == 'system' else 'how' }} : {{ turn.content }} <eos>"
    " {% endfor %}garden"
)


@pytest.fixture
def tokenizer(tiny_model: Path):
    found = AutoTokenizer.from_pretrained(tiny_model)
    found.chat_template = TEMPLATE
    return found


def policy(tokenizer, system: str | None = None, **over) -> TokenPolicy:
    values = {"prepend_bos": True, "pool_special": False, "max_length": 30, "chat": chat_frame(tokenizer, system, "tiny"), **over}
    return TokenPolicy(**values)


def words(tokenizer, ids: np.ndarray) -> list[str]:
    return tokenizer.convert_ids_to_tokens(ids.tolist())


def test_the_template_is_around_the_text_with_one_bos_and_only_the_text_counts(tokenizer) -> None:
    texts = tokenise(tokenizer, ["bomb how cake"], policy(tokenizer, "nice how"))
    # ":" is not in the vocabulary of the tiny tokenizer.
    expected = ["<bos>", "the", "<unk>", "nice", "how", "<eos>", "how", "<unk>", "bomb", "how", "cake", "<eos>", "garden"]
    assert words(tokenizer, texts.ids[0]) == expected
    assert np.flatnonzero(texts.counts[0]).tolist() == [8, 9, 10]
    together = tokenizer.apply_chat_template(
        [{"role": "system", "content": "nice how"}, {"role": "user", "content": "bomb how cake"}], tokenize=True, return_dict=False
    )
    assert texts.ids[0].tolist() == together


def test_pool_all_counts_the_template_but_no_special_tokens(tokenizer) -> None:
    texts = tokenise(tokenizer, ["bomb"], policy(tokenizer, pool_template=True))
    counted = [word for word, counts in zip(words(tokenizer, texts.ids[0]), texts.counts[0], strict=True) if counts]
    assert counted == ["how", "bomb", "garden"]


def test_without_bos_the_templates_own_is_taken_away(tokenizer) -> None:
    texts = tokenise(tokenizer, ["bomb"], policy(tokenizer, prepend_bos=False))
    assert words(tokenizer, texts.ids[0]) == ["how", "<unk>", "bomb", "<eos>", "garden"]


def test_a_long_text_is_cut_inside_the_template(tokenizer) -> None:
    texts = tokenise(tokenizer, ["alpha beta gamma delta", "alpha beta"], policy(tokenizer, max_length=7))
    assert words(tokenizer, texts.ids[0]) == ["<bos>", "how", "<unk>", "alpha", "beta", "<eos>", "garden"]
    assert texts.truncated.tolist() == [True, False]
    assert texts.ids[0].tolist() == texts.ids[1].tolist()
    with pytest.raises(ModelError, match=r"max_length is 4, but the chat template .* needs 4 tokens"):
        tokenise(tokenizer, ["alpha"], policy(tokenizer, max_length=4))


def test_a_template_that_strips_is_followed(tokenizer) -> None:
    tokenizer.chat_template = "{% for turn in messages %}[{{ turn.content | trim }}]{% endfor %}"
    frame = chat_frame(tokenizer, None, "tiny")
    assert frame.wrap("  a b ") == ("[a b]", 1, 4)
    tokenizer.chat_template = "{% for turn in messages %}[{{ turn.content }}]{% endfor %}"
    assert chat_frame(tokenizer, None, "tiny").wrap(" a ") == ("[ a ]", 1, 4)


@pytest.mark.parametrize(("template", "message"), [
    (None, "has no chat template; base models have none"),
    ("{{ raise_exception('no system role') }}", "refuses a system turn and a user turn: no system role"),
    ("{% for turn in messages %}{{ turn.content | upper }}{% endfor %}", "does not keep the text as it is"),
])  # fmt: skip
def test_templates_that_cannot_be_used_are_refused(template, message, tokenizer) -> None:
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=message):
        chat_frame(tokenizer, "nice", "tiny")


def test_the_policy_follows_the_config(tokenizer, tiny_model: Path) -> None:
    located = locate_model(str(tiny_model))
    plain = make_policy(tokenizer, located, None, Tokens(), Chat())
    assert (plain.chat, plain.stride, plain.max_length) == (None, None, 64)
    chatty = make_policy(tokenizer, located, True, Tokens(max_length=20), Chat(template="model", pool="all", system="nice"))
    assert chatty.chat is not None and "nice" in chatty.chat.prefix and chatty.pool_template
    assert make_policy(tokenizer, located, True, Tokens(max_length=20, long_texts="window"), Chat()).stride == 10
    with pytest.raises(ModelError, match="stride is 20, but a window holds 19 tokens"):
        make_policy(tokenizer, located, True, Tokens(max_length=20, long_texts="window", stride=20), Chat())
