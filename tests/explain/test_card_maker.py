"""Cards against stores small enough to count by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from card_stores import ACTS, COLUMNS, KEPT, TOKENS, WORDS, make

from mosaic_sae.errors import StoreError
from mosaic_sae.explain import counts
from mosaic_sae.explain.card_maker import CardMaker
from mosaic_sae.explain.counts import token_label
from mosaic_sae.store.by_latent import write_by_latent
from store_folders import write_stores


def test_counts_by_hand(tmp_path):
    bomb = make(tmp_path).card(3)
    # 10 kept tokens; latent 3 fires on 5 of them, in rows 0, 3 and 4 of 5, all of them harmful and English.
    assert (bomb["latent"], bomb["n_tokens"], bomb["n_examples"]) == (3, 5, 3)
    assert (bomb["density_tokens"], bomb["density_examples"]) == (0.5, 0.6)
    assert bomb["by_class"] == {"benign": 0.0, "harmful": 1.0}
    assert bomb["by_language"] == {"de": 0.0, "en": 1.0}
    assert bomb["max"] == 8.0
    assert bomb["top_tokens"] == [{"piece": " bomb", "count": 4, "mean": 5.75}, {"piece": " red", "count": 1, "mean": 6.0}]
    assert bomb["label"] == "bomb · red"
    # Values 2, 6, 6, 7, 8 in bins of width 0.4: 8 itself belongs to the last bin.
    histogram = dict(enumerate(bomb["histogram"]["counts"]))
    assert ({place: n for place, n in histogram.items() if n}, len(histogram)) == ({5: 1, 15: 2, 17: 1, 19: 1}, 20)
    the = make(tmp_path / "again").card(7)
    assert the["by_class"] == {"benign": 0.5, "harmful": pytest.approx(2 / 3, abs=1e-6)}
    # " the": 1.25 / (3 occurrences + 5); " bomb": 1.0 / (4 + 5).
    assert [token["piece"] for token in the["top_tokens"]] == [" the", " bomb"]


def test_examples_are_distinct_texts_strongest_first(tmp_path):
    shown = make(tmp_path).card(3)["examples"]
    # Row 4 has the text of row 0 and is weaker.
    assert [(example["id"], example["value"]) for example in shown] == [("a", 8.0), ("d", 6.0)]
    # "<s>" stands in front and does not count, so it is not shown.
    assert (shown[0]["pieces"], shown[0]["acts"]) == ([" the", " bomb"], [0.0, 8.0])
    assert (shown[0]["at"], shown[0]["cut"], shown[0]["label"], shown[0]["language"]) == (1, [False, False], "harmful", "en")
    # Two equal peaks: the first is the place shown.
    assert (shown[1]["acts"], shown[1]["at"]) == ([2.0, 6.0, 6.0], 1)


def test_random_examples_come_from_their_quarter(tmp_path):
    n = 40
    # The latent fires once in each example, by 1, 2, ..., 40.
    acts = [[{3: float(row + 1)}] for row in range(n)]
    columns = {"id": [str(row) for row in range(n)], "text": [f"text {row}" for row in range(n)], "label": ["k"] * n}
    card = make(tmp_path, acts, [[1]] * n, [[0, 2]] * n, columns, shard_rows=7).card(3)
    assert [example["value"] for example in card["examples"]] == [40, 39, 38, 37, 36, 35, 34, 33]
    found = [(example["quantile"], example["value"]) for example in card["random_examples"]]
    assert [quantile for quantile, _ in found] == [[0.75, 1.0]] * 2 + [[0.5, 0.75]] * 2 + [[0.25, 0.5]] * 2 + [[0.0, 0.25]] * 2
    for (low, high), value in found:
        assert n * low < value <= n * high
    # 31 and 32 are all that the strongest examples leave of the first quarter; no text is shown twice.
    assert {value for _, value in found[:2]} == {31, 32} and len({value for _, value in found}) == 8
    assert card["by_language"] == {} and card["examples"][0]["language"] is None
    assert make(tmp_path / "again", acts, [[1]] * n, [[0, 2]] * n, columns).card(3) == card


def test_few_firing_examples_are_all_shown_once(tmp_path):
    card = make(tmp_path).card(9)
    assert [example["id"] for example in card["examples"]] == ["b", "d"]
    assert card["random_examples"] == []


def test_tokens_are_ranked_by_the_activation_to_expect(tmp_path):
    # " the" fires everywhere a little (100 / 105), " red" once and loudly (8 / 6), " bomb" every time and well (20 / 9);
    # " cake" fires well, but in 4 of 40 places only (20 / 45).
    tokens = [[1] * 100, [5], [2] * 4, [3] * 40]
    acts = [[{0: 1.0}] * 100, [{0: 8.0}], [{0: 5.0}] * 4, [{0: 5.0}] * 4 + [{}] * 36]
    columns = {"id": list("abcd"), "text": list("abcd"), "label": ["k"] * 4}
    card = make(tmp_path, acts, [range(len(row)) for row in tokens], tokens, columns).card(0)
    assert [(token["piece"], token["count"]) for token in card["top_tokens"]] == [(" bomb", 4), (" red", 1), (" the", 100), (" cake", 4)]


def test_every_token_is_shown_when_the_first_one_counts(tmp_path):
    columns = {"id": ["x"], "text": ["t"], "label": ["k"]}
    shown = make(tmp_path, [[{3: 1.0}, {}]], [[0, 1]], [[0, 1]], columns).card(3)["examples"][0]
    assert (shown["pieces"], shown["acts"], shown["at"]) == (["<s>", " the"], [1.0, 0.0], 0)


@pytest.mark.parametrize("shard_rows", [1, 3, 5])
def test_shard_borders_change_nothing(tmp_path, shard_rows):
    one, other = make(tmp_path / "one"), make(tmp_path / "other", shard_rows=shard_rows)
    for latent in range(10):
        assert one.card(latent) == other.card(latent)


def test_counting_many_is_counting_each(tmp_path, monkeypatch):
    maker = make(tmp_path)
    for table, firings in [(1, 10**6), (12, 10**6), (10**6, 4), (10**6, 10**6)]:
        monkeypatch.setattr(counts, "_TABLE", table)
        monkeypatch.setattr(counts, "_FIRINGS", firings)
        for found in maker.counts([9, 3, 5, 7]):
            card = maker.card(found.latent)
            assert (found.n_tokens, found.n_examples, found.max) == (card["n_tokens"], card["n_examples"], card["max"])
            assert (found.top_tokens, found.label) == (card["top_tokens"], card["label"])
            assert found.histogram.tolist() == card["histogram"]["counts"]
    assert [found.latent for found in maker.counts([9, 3, 5, 7])] == [9, 3, 5, 7]


def test_a_silent_latent_has_an_empty_card(tmp_path):
    card = make(tmp_path).card(5)
    assert (card["label"], card["n_tokens"], card["density_examples"], card["max"]) == ("", 0, 0.0, 0.0)
    assert (card["top_tokens"], card["examples"], card["random_examples"], sum(card["histogram"]["counts"])) == ([], [], [], 0)
    assert card["by_class"] == {"benign": 0.0, "harmful": 0.0}


def test_windows_hold_the_peak(tmp_path):
    columns = {"id": ["x"], "text": ["long"], "label": ["k"]}
    acts = [[{3: 5.0} if place in {30, 58} else {} for place in range(60)]]
    shown = make(tmp_path / "middle", acts, [range(60)], [[1] * 60], columns).card(3)["examples"][0]
    # Peak at 30, window of 24 from 18: the second firing at 58 lies outside.
    assert (len(shown["pieces"]), shown["at"], shown["cut"], sum(shown["acts"])) == (24, 12, [True, True], 5.0)
    shown = make(tmp_path / "end", [[{}] * 59 + [{3: 1.0}]], [range(60)], [[1] * 60], columns).card(3)["examples"][0]
    # Peak on the last token: the window still has its full length.
    assert (len(shown["pieces"]), shown["at"], shown["cut"]) == (24, 23, [True, False])


def test_silent_texts_are_those_without_a_firing(tmp_path):
    maker = make(tmp_path)
    assert maker.silent(3, 5, seed=1) == [" the cake big"]
    assert sorted(maker.silent(9, 5, seed=1)) == [" the bomb", " the bomb"]
    assert len(maker.silent(9, 1, seed=1)) == 1


def test_what_does_not_belong_together_is_refused(tmp_path):
    maker = make(tmp_path)
    with pytest.raises(StoreError, match=r"Latent 10 is outside 0\.\.9"):
        maker.card(10)
    with pytest.raises(StoreError, match="is not there"):
        CardMaker(tmp_path / "latents", tmp_path / "gone", tmp_path / "examples.parquet")
    pq.write_table(pa.table({name: column[:3] for name, column in COLUMNS.items()}), tmp_path / "fewer.parquet")
    with pytest.raises(StoreError, match="different numbers of rows"):
        CardMaker(tmp_path / "latents", tmp_path / "tokens", tmp_path / "fewer.parquet")


def test_half_precision_counts_alike(tmp_path):
    rows = [list(zip(places, found, strict=True)) for places, found in zip(KEPT, ACTS, strict=True)]
    latents, tokens = write_stores(tmp_path, rows, TOKENS, 10, dtype=np.float16)
    tokens.write_pieces(lambda ids: WORDS[ids[0]])
    write_by_latent(latents, tokens)
    pq.write_table(pa.table(COLUMNS), tmp_path / "examples.parquet")
    half = CardMaker(tmp_path / "latents", tmp_path / "tokens", tmp_path / "examples.parquet").card(3)
    assert half == make(tmp_path / "single").card(3)


def test_labels_of_every_script():
    assert token_label([" bomb", "Bomb", ",", " bombs"]) == "bomb · bombs"
    assert token_label(["�", " سلام", "日本", "\n"]) == "سلام · 日本"
    assert token_label([",", " .", "\n"]) == ", · . · ⏎"
    assert token_label(["�", "��"]) == ""
    assert token_label([" user\u202egnp"]) == "user[U+202E]gnp"
    assert token_label(list("abcdef")) == "a · b · c · d"


def test_rows_with_one_text_and_different_pictures_are_different_examples(tmp_path):
    columns = {**COLUMNS, "text": ["what is this?"] * 5, "picture": ["p", "q", None, "r", "p"]}
    shown = make(tmp_path, columns=columns).card(3)["examples"]
    assert [example["id"] for example in shown] == ["a", "d"]
