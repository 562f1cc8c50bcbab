"""Text of cards, and where evidence is found."""

from mosaic_sae import fsio
from mosaic_sae.explain.cards import card_of, evidence_path, quoted, summary, visible


def test_control_characters_become_visible_and_scripts_stay():
    assert visible("a\nb\tc\x00d") == "a⏎b⇥c�d"
    assert visible("user\u202egnp.exe") == "user[U+202E]gnp.exe"
    assert visible("\ud800") == "�"
    for text in ("سلام دنیا", "שלום", "👩‍👩‍👧 ok", "日本語", "<b>&\"'`|"):
        assert visible(text) == text
    assert visible("x" * 50, 10) == "x" * 9 + "…"


def test_summary_keeps_leading_spaces_and_says_when_there_is_nothing():
    card = {"top_tokens": [{"piece": " bomb"}, {"piece": "kill"}, {"piece": "\n"}]}
    assert summary(card) == "fires on: ' bomb', 'kill', '⏎'"
    assert summary(card, limit=1) == "fires on: ' bomb'"
    assert summary({"top_tokens": []}) == "fires nowhere in these texts"
    assert summary(None) == "no evidence collected"
    assert quoted(" a") == "' a'"


def test_evidence_is_found_by_store_else_by_names(tmp_path):
    for store, sae in [("aa", "one"), ("bb", "two")]:
        fsio.write_json(tmp_path / "evidence" / f"{store}.json", {"sae": sae, "dataset": "d", "latents": {"5": {"max": 1}}})
    key = {"sae": "two", "dataset": "d"}
    assert evidence_path(tmp_path, {"key": key}).name == "bb.json"
    assert evidence_path(tmp_path, {"key": key, "provenance": {"latent_store": "aa"}}).name == "aa.json"
    assert evidence_path(tmp_path, {"key": key, "provenance": {"latent_store": "cc"}}) is None
    assert evidence_path(tmp_path, {"key": {"sae": None, "dataset": "d"}}) is None
    assert card_of({"latents": {"5": {"max": 1}}}, 5) == {"max": 1}
    assert card_of({"latents": {}}, 5) is None
    assert card_of(None, 5) is None
