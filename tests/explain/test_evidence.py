"""Evidence against stores small enough to count by hand."""

from dataclasses import dataclass

import numpy as np
import pytest

from mosaic_sae import fsio
from mosaic_sae.explain.evidence import collect_evidence, write_evidence
from mosaic_sae.store.format import TokenLatents

WORDS = ["<s>", " the", " bomb", " cake", " big", " red"]


@dataclass
class Examples:
    ids: list[str]
    texts: list[str]
    labels: list[str]
    name: str = "toy"

    @property
    def keys(self) -> list[str]:
        return self.texts


class TokenStore:
    def __init__(self, rows):
        self.rows = rows

    def row(self, i):
        return np.array(self.rows[i], dtype=np.int32)

    def pieces(self, i):
        return [WORDS[token] for token in self.rows[i]]


class LatentStore:
    """Rows as lists of {latent: value} per kept token, beside the kept positions; ``cuts`` are the shard borders."""

    def __init__(self, rows, positions, d_sae=10, cuts=()):
        self.rows, self.kept, self.d_sae, self.n_rows = rows, positions, d_sae, len(rows)
        self.borders = [0, *cuts, len(rows)]
        self.fingerprint, self.manifest = "feedfeedfeedfeed", {"description": {"sae": "toy-sae"}}
        self.passes = 0

    def iter_shards(self):
        self.passes += 1
        for start, stop in zip(self.borders, self.borders[1:], strict=False):
            tokens = [token for row in self.rows[start:stop] for token in row]
            lengths = [len(row) for row in self.rows[start:stop]]
            pairs = [sorted(token.items()) for token in tokens]
            flat = [pair for token in pairs for pair in token]
            yield (
                start,
                TokenLatents(
                    row_offsets=np.cumsum([0, *lengths]),
                    positions=np.array([p for row in self.kept[start:stop] for p in row], dtype=np.int32),
                    token_offsets=np.cumsum([0, *[len(p) for p in pairs]]),
                    indices=np.array([i for i, _ in flat], dtype=np.uint16),
                    values=np.array([v for _, v in flat], dtype=np.float32),
                    d_sae=self.d_sae,
                ),
            )


# Position 0 is "<s>" and never counts. Row 2 keeps no token at all. Row 4 repeats row 0's text, a little weaker.
TOKENS = [[0, 1, 2], [0, 1, 3, 4], [0], [0, 2, 2, 5], [0, 1, 2]]
KEPT = [[1, 2], [1, 2, 3], [], [1, 2, 3], [1, 2]]
ACTS = [
    [{7: 0.5}, {3: 8.0, 7: 1.0}],
    [{7: 0.25}, {9: 3.0}, {}],
    [],
    [{3: 2.0}, {3: 6.0}, {3: 6.0, 9: 1.0}],
    [{7: 0.5}, {3: 7.0}],
]
EXAMPLES = Examples(
    ids=["a", "b", "c", "d", "e"],
    texts=["the bomb", "the cake big", "", "bomb bomb red", "the bomb"],
    labels=["harmful", "benign", "benign", "harmful", "harmful"],
)


def collect(cuts=(), latents=frozenset({3, 7, 5}), **options):
    return collect_evidence(LatentStore(ACTS, KEPT, cuts=cuts), TokenStore(TOKENS), EXAMPLES, set(latents), **options)


def test_counts_by_hand():
    evidence = collect()
    assert (evidence["sae"], evidence["dataset"], evidence["store"]) == ("toy-sae", "toy", "feedfeedfeedfeed")
    bomb = evidence["latents"]["3"]
    # 10 kept tokens; latent 3 fires on 5 of them, in rows 0, 3 and 4 of 5, all of them harmful.
    assert bomb["density_tokens"] == 0.5
    assert bomb["density_examples"] == 0.6
    assert bomb["by_class"] == {"benign": 0.0, "harmful": 1.0}
    assert bomb["max"] == 8.0
    assert bomb["top_tokens"] == [{"piece": " bomb", "count": 4, "mean": 5.75}, {"piece": " red", "count": 1, "mean": 6.0}]
    the = evidence["latents"]["7"]
    assert the["by_class"] == {"benign": 0.5, "harmful": pytest.approx(2 / 3, abs=1e-6)}
    # " the": 1.25 / (3 occurrences + 5); " bomb": 1.0 / (4 + 5).
    assert [token["piece"] for token in the["top_tokens"]] == [" the", " bomb"]


def test_examples_are_distinct_texts_strongest_first():
    shown = collect()["latents"]["3"]["examples"]
    assert [(example["id"], example["value"]) for example in shown] == [("a", 8.0), ("d", 6.0)]
    # "<s>" stands in front and does not count, so it is not shown.
    assert shown[0]["pieces"] == [" the", " bomb"]
    assert shown[0]["acts"] == [0.0, 8.0]
    assert (shown[0]["at"], shown[0]["cut"]) == (1, [False, False])
    # Two equal peaks: the first is the place shown.
    assert shown[1]["acts"] == [2.0, 6.0, 6.0]
    assert shown[1]["at"] == 1


def test_tokens_are_ranked_by_the_activation_to_expect():
    # " the" fires everywhere a little (100 / 105), " red" once and loudly (8 / 6), " bomb" every time and well (20 / 9);
    # " cake" fires well, but in 4 of 40 places only (20 / 45).
    tokens = [[1] * 100, [5], [2] * 4, [3] * 40]
    acts = [[{0: 1.0}] * 100, [{0: 8.0}], [{0: 5.0}] * 4, [{0: 5.0}] * 4 + [{}] * 36]
    examples = Examples(list("abcd"), list("abcd"), ["k"] * 4)
    card = collect_evidence(LatentStore(acts, [range(len(row)) for row in tokens]), TokenStore(tokens), examples, {0})["latents"]["0"]
    assert [(token["piece"], token["count"]) for token in card["top_tokens"]] == [(" bomb", 4), (" red", 1), (" the", 100), (" cake", 4)]


def test_every_token_is_shown_when_the_first_one_counts():
    store = LatentStore([[{3: 1.0}, {}]], [[0, 1]])
    shown = collect_evidence(store, TokenStore([[0, 1]]), Examples(["x"], ["t"], ["k"]), {3})["latents"]["3"]["examples"][0]
    assert (shown["pieces"], shown["acts"], shown["at"]) == (["<s>", " the"], [1.0, 0.0], 0)


def test_repeated_text_takes_the_stronger_row_wherever_it_stands():
    acts = [*ACTS[:4], [{7: 0.5}, {3: 9.0}]]
    for cuts in [(), (1,), (1, 4)]:
        shown = collect_evidence(LatentStore(acts, KEPT, cuts=cuts), TokenStore(TOKENS), EXAMPLES, {3})["latents"]["3"]["examples"]
        assert [example["id"] for example in shown] == ["e", "d"]


@pytest.mark.parametrize("cuts", [(1,), (2, 3), (1, 2, 3, 4)])
def test_shard_borders_change_nothing(cuts):
    assert collect(cuts) == collect()
    assert collect(cuts, n_examples=1) == collect(n_examples=1)


def test_a_silent_latent_has_an_empty_card():
    assert collect()["latents"]["5"] == {
        "density_tokens": 0.0,
        "density_examples": 0.0,
        "by_class": {"benign": 0.0, "harmful": 0.0},
        "max": 0.0,
        "top_tokens": [],
        "examples": [],
    }


def test_limits_of_examples_and_window():
    assert [example["id"] for example in collect(n_examples=1)["latents"]["3"]["examples"]] == ["a"]
    tokens = [[1] * 40]
    acts = [[{3: 5.0} if place in {30, 39} else {} for place in range(40)]]
    example = Examples(["x"], ["long"], ["k"])
    shown = collect_evidence(LatentStore(acts, [range(40)]), TokenStore(tokens), example, {3}, window=8)["latents"]["3"]["examples"][0]
    # Peak at 30, window of 8 from 26: the second firing at 39 lies outside.
    assert (len(shown["pieces"]), shown["at"], shown["cut"]) == (8, 4, [True, True])
    assert shown["acts"] == [0, 0, 0, 0, 5.0, 0, 0, 0]
    # Peak on the last token: the window still has its full length.
    shown = collect_evidence(LatentStore([[{}] * 39 + [{3: 1.0}]], [range(40)]), TokenStore(tokens), example, {3}, window=8)
    shown = shown["latents"]["3"]["examples"][0]
    assert (len(shown["pieces"]), shown["at"], shown["cut"]) == (8, 7, [True, False])


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match=r"latent 10 is outside 0\.\.9"):
        collect(latents={10})
    with pytest.raises(ValueError, match="same rows"):
        collect_evidence(LatentStore(ACTS[:2], KEPT[:2]), TokenStore(TOKENS), EXAMPLES, {3})


def test_a_second_run_adds_cards_and_keeps_the_first(tmp_path):
    path = tmp_path / "evidence" / "feedfeedfeedfeed.json"
    store, tokens = LatentStore(ACTS, KEPT), TokenStore(TOKENS)
    write_evidence(path, store, tokens, EXAMPLES, {3})
    first = path.read_bytes()
    write_evidence(path, store, tokens, EXAMPLES, {3})
    assert (store.passes, path.read_bytes()) == (1, first)
    write_evidence(path, store, tokens, EXAMPLES, {7})
    both = fsio.read_json(path)
    assert set(both["latents"]) == {"3", "7"}
    assert both == collect(latents={3, 7})
    # A file of another store is never mixed in.
    fsio.write_json(path, {**both, "store": "0000000000000000"})
    assert set(write_evidence(path, store, tokens, EXAMPLES, {7})["latents"]) == {"7"}
