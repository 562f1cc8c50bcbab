"""Everything that is fitted is fitted on the training rows alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.ngrams import WORD, make_vectorizers
from mosaic_sae.probes.representation import DenseRows, LatentRows, TextRows, as_representation

TEXTS = ["the red fox runs", "a red fox sleeps", "the dog runs", "blue whales sing", "blue birds sing loudly", "the red dog"]
TRAIN, TEST = np.array([0, 1, 2, 3]), np.array([4, 5])


def test_latents_are_divided_by_the_largest_training_value() -> None:
    x = sp.csr_array(np.array([[2, 0, 0], [4, 1, 0], [8, 3, 5]], dtype=np.float32))
    train, test = LatentRows(x).matrices(np.array([0, 1]), np.array([2]), scaled=True)
    assert train.toarray().tolist() == [[0.5, 0, 0], [1, 1, 0]]
    # The third latent never fires in training, so nothing is known of its scale.
    assert test.toarray().tolist() == [[2, 3, 5]]
    raw, _ = LatentRows(x).matrices(np.array([0, 1]), np.array([2]), scaled=False)
    assert raw.toarray().tolist() == [[2, 0, 0], [4, 1, 0]]
    assert raw.indices.dtype == np.int32


def test_hidden_states_are_standardised_by_training_rows() -> None:
    x = np.array([[0, 1], [2, 1], [4, 9]], dtype=np.float32)
    train, test = DenseRows(x).matrices(np.array([0, 1]), np.array([2]), scaled=True)
    assert train.tolist() == [[-1, 0], [1, 0]]
    assert test.tolist() == [[3, 8]]


def test_tfidf_equals_vectorizers_fitted_on_the_training_texts() -> None:
    fitted = TextRows(TEXTS).matrices(TRAIN, TEST, scaled=True)
    union = TextRows(TEXTS).fit_transformer(TRAIN, scaled=True)
    for part, rows in zip(fitted, (TRAIN, TEST), strict=True):
        assert part.indices.dtype == np.int32
        np.testing.assert_allclose(part.toarray(), union.transform([TEXTS[row] for row in rows]).toarray(), atol=1e-12)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=WORD).fit([TEXTS[row] for row in TRAIN])
    np.testing.assert_allclose(fitted[1].toarray()[:, : len(words.vocabulary_)], words.transform([TEXTS[row] for row in TEST]).toarray())


def test_vocabulary_holds_no_word_of_the_test_part_alone() -> None:
    words = dict(TextRows(TEXTS).fit_transformer(TRAIN, scaled=True).transformer_list)["words"]
    assert set(words.vocabulary_) == {"the", "red", "red fox", "fox", "runs"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, it's 3.5!", ["don", "t", "stop", "it", "s", "3", "5"]),
        ("हिन्दी में लिखो।", ["हिन्दी", "में", "लिखो"]),
        ("今日は、良い天気。", ["今日は", "良い天気"]),
        ("你好！世界", ["你好", "世界"]),
        ("naïve café «où»", ["naïve", "café", "où"]),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    analyze = make_vectorizers()["words"].build_analyzer()
    assert analyze(text)[: len(words)] == words


def test_texts_that_share_no_whole_word_still_share_characters() -> None:
    rows = TextRows(["今日は良い天気です", "明日も良い天気だ", "彼は東京へ行く", "東京に住む人", "東京は大きい"])
    train, test = rows.matrices(np.arange(4), np.array([4]), scaled=True)
    assert [name for name, _ in rows.fit_transformer(np.arange(4), scaled=True).transformer_list] == ["characters"]
    assert train.shape[1] == test.shape[1] > 0
    assert test.nnz > 0  # 東京 is known


def test_texts_without_anything_in_common_are_refused() -> None:
    with pytest.raises(ProbeError, match="give more texts"):
        TextRows(["ab", "cd", "ef"]).matrices(np.arange(2), np.array([2]), scaled=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused_with_their_rows(bad: float) -> None:
    x = np.ones((4, 3), dtype=np.float32)
    x[2, 1] = bad
    for features in (x, sp.csr_array(x)):
        with pytest.raises(ProbeError, match=r"1 rows of the features hold NaN or infinity \(first rows: 2\)"):
            as_representation(features)


def test_unknown_features_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="got dict"):
        as_representation({})  # type: ignore[arg-type]
