from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from mosaic_sae.errors import ModelError
from mosaic_sae.models.tokenise import TokenPolicy, adds_bos_itself, make_batches, tokenise


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> object:
    return AutoTokenizer.from_pretrained(tiny_model)


def policy(**over: object) -> TokenPolicy:
    return TokenPolicy(**{"prepend_bos": True, "pool_special": False, "max_length": 6, **over})


def test_bos_comes_first_once_and_does_not_count(tokenizer) -> None:
    texts = tokenise(tokenizer, ["bomb cake"], policy())
    assert texts.ids[0].tolist() == [1, *tokenizer("bomb cake", add_special_tokens=False).input_ids]
    assert texts.counts[0].tolist() == [False, True, True]


def test_special_tokens_count_when_asked(tokenizer) -> None:
    assert tokenise(tokenizer, ["bomb"], policy(pool_special=True)).counts[0].tolist() == [True, True]


def test_a_long_text_keeps_its_beginning_and_is_counted(tokenizer) -> None:
    texts = tokenise(tokenizer, ["alpha beta gamma delta bomb cake", "a a a a a"], policy())
    assert texts.lengths.tolist() == [6, 6]
    assert texts.truncated.tolist() == [True, False]
    assert tokenizer.decode(texts.ids[0][1:]).split() == ["alpha", "beta", "gamma", "delta", "bomb"]


def test_without_bos_the_first_word_is_first(tokenizer) -> None:
    texts = tokenise(tokenizer, ["bomb"], policy(prepend_bos=False))
    assert texts.ids[0].tolist() == tokenizer("bomb", add_special_tokens=False).input_ids
    assert not adds_bos_itself(tokenizer)


def test_bos_without_a_bos_token_is_refused(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.bos_token = None
    with pytest.raises(ModelError, match="no BOS token"):
        tokenise(tokenizer, ["bomb"], policy())


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 9), st.integers(1, 80))
def test_batches_cover_every_row_once_within_limits(lengths: list[int], max_rows: int, budget: int) -> None:
    sizes = np.array(lengths, dtype=np.int64)
    batches = make_batches(sizes, max_rows, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * sizes[batch].max() <= budget
