"""Naming by a language model, against a stand-in for the endpoint."""

import json
import re

import pytest
from card_stores import make
from loopback import serve

from mosaic_sae.chat_endpoint import ChatEndpoint
from mosaic_sae.explain.ask_names import ask_name, cost, detection_score, held_out, judge_question, marked, name_question
from mosaic_sae.explain.kept_answers import KeptAnswers


def said(text):
    return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode()


@pytest.fixture
def maker(tmp_path):
    """Latent 3 fires on " bomb" in rows 0..19, by 1, 2, ...; rows 20..39 are of other words."""
    texts = [f"the bomb {row}" if row < 20 else f"big cake {row}" for row in range(40)]
    columns = {"id": [str(row) for row in range(40)], "text": texts, "label": ["k"] * 40}
    acts = [[{}, {3: row + 1.0}] if row < 20 else [{7: 1.0}, {}] for row in range(40)]
    tokens = [[0, 1, 2] if row < 20 else [0, 4, 3] for row in range(40)]
    return make(tmp_path, acts, [[1, 2]] * 40, tokens, columns, shard_rows=9)


def test_firing_tokens_are_marked_and_neighbours_share_brackets():
    window = {"pieces": [" a", " pipe", " bomb", " of", " mine"], "acts": [0.0, 8.0, 10.0, 2.0, 3.0], "value": 10.0}
    assert marked(window) == "a <<pipe bomb>> of <<mine>>"


def test_the_score_is_the_balanced_accuracy_of_detection():
    texts = [("a", True), ("b", False), ("c", True), ("d", False), ("e", False), ("f", False)]
    assert detection_score("[1, 3]", texts) == 1.0
    assert detection_score("[1]", texts) == 0.75
    assert detection_score("[]", texts) == 0.5
    assert detection_score("[2, 4, 5, 6]", texts) == 0.0
    assert detection_score("Example [9]. My answer: [1, 2]", texts) == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert detection_score("one and three", texts) is None
    assert detection_score("[1]", texts[:1]) is None


def test_held_out_texts_are_not_those_that_the_name_is_made_from(maker):
    card = maker.card(3)
    texts = held_out(card, maker)
    # Two random firing texts from each quarter but the strongest, which the card shows in full, and as many silent ones.
    assert [fires for _, fires in texts].count(True) == [fires for _, fires in texts].count(False) == 6
    assert all(("bomb" in text) == fires for text, fires in texts)
    assert texts == held_out(maker.card(3), maker)
    assert not {window["id"] for window in card["examples"]} & {window["id"] for window in card["random_examples"]}
    assert "<<bomb>>" in name_question(card) and "<<" not in judge_question("bombs", texts)


def test_a_name_is_asked_for_judged_kept_and_not_paid_for_twice(maker, tmp_path, monkeypatch):
    asked = []

    def model(method, path, body, headers):
        question = json.loads(body)["messages"][0]["content"]
        asked.append((method, path, headers.get("authorization"), json.loads(body)["model"]))
        if "<<" in question:
            return said('<think>They all say "bomb".</think>\n"bombs"\n')
        numbers = [int(number) for number, text in re.findall(r"^(\d+)\. (.*)$", question, re.MULTILINE) if "bomb" in text]
        return said(f"<think>…</think>{numbers[1:]}")

    with serve(model) as address:
        monkeypatch.setenv("MY_KEY", "secret")
        endpoint = KeptAnswers(ChatEndpoint(f"{address}/v1/", "m", "MY_KEY"), tmp_path / "answers")
        card = maker.card(3)
        before = cost(card, maker, endpoint, judge=True)
        assert before.requests == 2 and before.tokens_in > len(name_question(card)) // 4
        assert cost(card, maker, endpoint, judge=False).requests == 1 and asked == []
        name = ask_name(card, maker, endpoint, judge=True)
        # The judge leaves out one of six firing texts.
        assert name == {"text": "bombs", "source": "m at 127.0.0.1", "url": None, "score": pytest.approx((5 / 6 + 1) / 2)}
        assert asked == [("POST", "/v1/chat/completions", "Bearer secret", "m")] * 2
        assert cost(card, maker, endpoint, judge=True).requests == 0
        assert ask_name(card, maker, endpoint, judge=True) == name and len(asked) == 2
    # The key is nowhere on disk.
    assert not any("secret" in path.read_text() for path in (tmp_path / "answers").iterdir())
