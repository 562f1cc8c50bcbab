"""Let a language model name latents, and test each name: does a judge who knows the name alone tell firing texts from silent ones?

The score is the balanced accuracy of detection (Paulo et al. 2024, "Automatically Interpreting Millions of Features in Large Language
Models"), on texts that the name was not made from; 0.5 = guessing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_sae.explain.card_maker import CardMaker
from mosaic_sae.explain.cards import LatentCard, Name, Window
from mosaic_sae.explain.kept_answers import KeptAnswers

PROMPTS = Path(__file__).parent / "prompts"
# A token is marked when the latent fires on it at least this share of its strongest activation in the text.
_MARKED = 0.3
_SEED = 20
_CHARACTERS_PER_TOKEN = 4
_ANSWER_TOKENS = 25


@dataclass(frozen=True)
class Cost:
    """What is still to be asked, about; answers that are kept cost nothing."""

    requests: int
    tokens_in: int
    tokens_out: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.requests + other.requests, self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)


def name_question(card: LatentCard) -> str:
    """Return the question for the name of a latent: its top tokens and strongest texts."""
    tokens = ", ".join(repr(token["piece"]) for token in card["top_tokens"])
    texts = "\n".join(f"{number}. {marked(window)}" for number, window in enumerate(card["examples"], start=1))
    return _prompt("name.txt").format(tokens=tokens, texts=texts)


def marked(window: Window) -> str:
    """Return a text on one line, with the tokens on which the latent fires in angle brackets; neighbours share theirs."""
    parts: list[str] = []
    inside = False
    for piece, act in zip(window["pieces"], window["acts"], strict=True):
        fires = act >= _MARKED * window["value"]
        if fires != inside:
            parts.append("<<" if fires else ">>")
            inside = fires
        parts.append(piece)
    text = "".join(parts) + (">>" if inside else "")
    # The space before a word belongs to its token, but stands better outside the brackets.
    return " ".join(text.replace("<< ", " <<").split())


def held_out(card: LatentCard, maker: CardMaker) -> list[tuple[str, bool]]:
    """Return (text, whether the latent fires in it) of texts that the name is not made from, half of them silent, shuffled."""
    firing = [(_plain("".join(window["pieces"])), True) for window in card["random_examples"]]
    silent = [(_plain(text), False) for text in maker.silent(card["latent"], len(firing), _SEED)]
    both = firing[: len(silent)] + silent
    return [both[place] for place in np.random.default_rng([_SEED, card["latent"]]).permutation(len(both))]


def judge_question(name: str, texts: Sequence[tuple[str, bool]]) -> str:
    """Return the question that the judge is asked."""
    return _prompt("judge.txt").format(name=name, texts="\n".join(f"{number}. {text}" for number, (text, _) in enumerate(texts, start=1)))


def detection_score(answer: str, texts: Sequence[tuple[str, bool]]) -> float | None:
    """Return the balanced accuracy of a judge's answer: (share of firing texts named + share of silent texts not named) / 2.

    None when the answer holds no list of numbers, or there are not both kinds of texts.
    """
    lists = re.findall(r"\[[\d\s,]*\]", answer)
    n_firing = sum(fires for _, fires in texts)
    if not lists or n_firing in {0, len(texts)}:
        return None
    named = {int(digits) for digits in re.findall(r"\d+", lists[-1])}
    hits = sum(fires and number in named for number, (_, fires) in enumerate(texts, start=1))
    spared = sum(not fires and number not in named for number, (_, fires) in enumerate(texts, start=1))
    return (hits / n_firing + spared / (len(texts) - n_firing)) / 2


def cost(card: LatentCard, maker: CardMaker, model: KeptAnswers, judge: bool) -> Cost:
    """Estimate what naming a latent takes, at four characters a token.

    The judge's question needs the name; while that is not known, a name of usual length stands for it.
    """
    question = name_question(card)
    total = Cost(0, 0, 0) if model.is_known(question) else _one(question)
    if judge:
        texts = held_out(card, maker)
        asked = judge_question(_clean(model.ask(question)) if model.is_known(question) else "x" * 60, texts)
        if texts and not model.is_known(asked):
            total += _one(asked)
    return total


def ask_name(card: LatentCard, maker: CardMaker, model: KeptAnswers, judge: bool) -> Name | None:
    """Ask for a latent's name, and test it.

    Args:
        card: of the latent.
        maker: of its store; gives silent texts.
        model: which model is asked.
        judge: whether the name is tested, by the same model.

    Returns:
        The name with its score, or None when the model answered nothing.

    Raises:
        MosaicError: the endpoint fails.
    """
    text = _clean(model.ask(name_question(card)))
    if not text:
        return None
    texts = held_out(card, maker) if judge else []
    score = detection_score(model.ask(judge_question(text, texts)), texts) if texts else None
    return {"text": text, "source": f"{model.model} at {model.host}", "url": None, "score": score}


def _one(question: str) -> Cost:
    return Cost(1, len(question) // _CHARACTERS_PER_TOKEN, _ANSWER_TOKENS)


def _prompt(name: str) -> str:
    return (PROMPTS / name).read_text(encoding="utf-8")


def _plain(text: str) -> str:
    return " ".join(text.split())


def _clean(answer: str) -> str:
    # Models that think aloud put their answer after it.
    lines = answer.rpartition("</think>")[2].strip().splitlines()
    return lines[0].strip().strip('"“”').strip()[:200] if lines else ""
