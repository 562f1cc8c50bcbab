"""Golden grades, and the scores of choices by hand."""

import math

import pytest

from mosaic_sae.config.behaviour import Exact, Includes, Refusal, Regex, TokenF1
from mosaic_sae.errors import ConfigError
from mosaic_sae.transfer.choices import choose
from mosaic_sae.transfer.grading import is_refusal, is_right, normal_answer, score_response, token_f1

EXACT, WORDS, ANYWHERE = Exact(kind="exact"), Includes(kind="includes"), Includes(kind="includes", whole_words=False)
NUMBER = Regex(kind="regex", pattern=r"= *{answer}\b")


@pytest.mark.parametrize(
    ("response", "answers", "grade", "wanted"),
    [
        (" The Nile. ", ["nile"], EXACT, 1),
        ("the river Nile", ["nile"], EXACT, 0),
        ("ＮＩＬＥ！", ["Nile"], EXACT, 1),
        ("Nile", ["Amazon", "Nile"], EXACT, 1),
        ("It is the Nile, I think", ["Nile"], WORDS, 1),
        ("It is in Juvenile hall", ["Nile"], WORDS, 0),
        ("It is in Juvenile hall", ["Nile"], ANYWHERE, 1),
        ("答案是尼罗河。", ["尼罗河"], ANYWHERE, 1),
        ("anything", ["the"], WORDS, 0),
        ("x = 12", ["12"], NUMBER, 1),
        ("x = 123", ["12"], NUMBER, 0),
        ("X = 1.5", ["1.5"], NUMBER, 1),
        ("X = 135", ["1.5"], NUMBER, 0),
        ("YES", [], Regex(kind="regex", pattern="^yes"), 1),
        ("YES", [], Regex(kind="regex", pattern="^yes", ignore_case=False), 0),
    ],
)
def test_grades(response, answers, grade, wanted):
    score = score_response(response, answers, grade)
    assert score == wanted and is_right(score, grade) == bool(wanted)


def test_token_f1_by_hand():
    # 3 words said, 2 wanted, 2 shared (one "new" only is in the answer): 2 * 2 / 5.
    assert token_f1("A new, new York", "New York") == pytest.approx(0.8)
    assert token_f1("paris", "rome") == 0 and token_f1("", "rome") == 0 and token_f1("the", "a") == 1
    grade = TokenF1(kind="f1", threshold=0.8)
    assert score_response("new new york", ["Boston", "New York"], grade) == pytest.approx(0.8)
    assert is_right(4 / 5, grade) and not is_right(0.79, grade)
    assert normal_answer("The U.S.  (of A.)") == "us of"


@pytest.mark.parametrize(
    "response",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist you.",
        "As an AI language model, I do not have opinions.",
        "I am not able to provide that.",
        "We won't do this.",
        "Sorry! It is not appropriate for me to answer.",
        "That would be against my guidelines.",
    ],
)
def test_refusals(response):
    assert is_refusal(response)


@pytest.mark.parametrize(
    "response",
    [
        "",
        "Paris",
        "Sure! First, take two eggs.",
        "I can't wait to tell you: it is Paris.",
        "A refusal is when someone says no.",
        "You cannot divide by zero.",
        "Paris. " * 40 + "I'm sorry, I can't help.",
    ],
)
def test_no_refusals(response):
    assert not is_refusal(response)


def test_refusal_alone_has_no_score_and_a_bad_pattern_is_told():
    assert math.isnan(score_response("no", [], Refusal(kind="refusal")))
    with pytest.raises(ConfigError, match="no regular expression"):
        score_response("no", ["x"], Regex(kind="regex", pattern="({answer}"))


def test_what_wins_depends_on_the_normalisation():
    # Sums -6, -8, -9; by tokens -6, -4, -3; by bytes -6, -2, -9/2.
    arguments = ([-6.0, -8.0, -9.0], [1, 2, 3], ["a", "éé", "cc"])
    raw, by_tokens, by_bytes = (choose(*arguments, normalise=name) for name in ("none", "tokens", "bytes"))
    assert (raw.predicted, by_tokens.predicted, by_bytes.predicted) == (0, 2, 1)
    assert by_tokens.by_tokens == raw.by_tokens == [-6, -4, -3] and raw.by_bytes == [-6, -2, -4.5]
    total = math.exp(-6) + math.exp(-4) + math.exp(-3)
    assert by_tokens.confidence == pytest.approx(math.exp(-3) / total)
    assert by_tokens.margin == pytest.approx((math.exp(-3) - math.exp(-4)) / total)


def test_of_equal_choices_the_first_is_taken():
    found = choose([-5.0, -2.0, -2.0], [1, 1, 1], ["a", "b", "c"], "tokens")
    assert found.predicted == 1 and found.margin == 0
    assert choose([-4000.0, -4001.0], [1, 1], ["a", "b"], "none").confidence == pytest.approx(1 / (1 + math.exp(-1)))
