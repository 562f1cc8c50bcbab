"""Trees as rules, and texts as shaded stretches."""

from mosaic_sae.report.rules import tree_rules
from mosaic_sae.report.shading import runs_of_tokens


def node(number, latent=None, threshold=None, left=None, right=None, n=10, counts=(5, 5), label="x"):
    return {
        "id": number,
        "latent": latent,
        "threshold": threshold,
        "left": left,
        "right": right,
        "n": n,
        "counts": list(counts),
        "class": label,
    }


def point(*nodes, binarise=None):
    return {"key": {"pooling": "max", "binarise": binarise}, "tree": {"nodes": list(nodes)}}


NODES = [node(0, 7, 2.5, 1, 4), node(1, 3, 0.5, 2, 3), node(2, label="a"), node(3, label="b"), node(4, label="c")]


def test_rules_are_read_left_first_with_the_answer_that_leads_there():
    rules = tree_rules(point(*NODES))
    assert [(rule.node, rule.depth, rule.came) for rule in rules] == [
        (0, 0, ""),
        (1, 1, "no (≤ 2.5)"),
        (2, 2, "no (≤ 0.5)"),
        (3, 2, "yes (> 0.5)"),
        (4, 1, "yes (> 2.5)"),
    ]
    assert rules[0].question == "Is the max of latent 7 above 2.5?"
    assert [rule.label for rule in rules if rule.leaf] == ["a", "b", "c"]


def test_binarised_features_are_asked_in_units_of_the_pooled_value():
    rules = tree_rules(point(*NODES, binarise=1.0))
    assert rules[0].question == "Does the max of latent 7 reach 1?"
    assert (rules[1].came, rules[4].came) == ("no", "yes")


def test_rules_name_what_a_latent_fires_on():
    evidence = {"latents": {"7": {"top_tokens": [{"piece": " bomb"}]}}}
    rules = tree_rules(point(*NODES), evidence)
    assert (rules[0].fires_on, rules[1].fires_on) == ("fires on: ' bomb'", "no evidence collected")


def test_no_tree_and_a_damaged_tree_end():
    assert tree_rules({"key": {}, "tree": None}) == []
    assert tree_rules(point()) == []
    assert len(tree_rules(point(node(0, 7, 1.0, 0, 0)))) == 1
    assert tree_rules(point(node(0, label="only")))[0].label == "only"


def test_silent_neighbours_join_and_the_space_before_a_word_is_not_shaded():
    example = {"pieces": ["<s>", "How", " to", " kill", "ing", "!"], "acts": [0, 0, 0, 4.0, 2.0, 0], "at": 3, "cut": [False, True]}
    found = [(stretch.text, stretch.percent, stretch.peak) for stretch in runs_of_tokens(example, largest=8.0)]
    assert found == [("<s>How to ", 0, False), ("kill", 50, True), ("ing", 25, False), ("! …", 0, False)]


def test_a_cut_in_front_leaves_one_space():
    for piece, shown in [(" to", "… to"), ("ing", "… ing")]:
        example = {"pieces": [piece], "acts": [0], "at": 0, "cut": [True, False]}
        assert [stretch.text for stretch in runs_of_tokens(example, 1.0)] == [shown]


def test_shades_are_bounded_and_faint_firings_stay_visible():
    example = {"pieces": ["a", "b", " "], "acts": [99.0, 0.01, 1.0], "at": 0}
    found = [(stretch.text, stretch.percent) for stretch in runs_of_tokens(example, largest=10.0)]
    assert found == [("a", 100), ("b", 8), (" ", 10)]
    assert [stretch.percent for stretch in runs_of_tokens(example, largest=0.0)] == [8, 8, 8]
