"""From what a model said to the rows of a dataset: what it picked or responded, whether that is right, how sure it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mosaic_sae.config.behaviour import Judge, MultipleChoice, OpenQuestion, Refusal
from mosaic_sae.sources.questions import Question
from mosaic_sae.store.answers import AnswerLog
from mosaic_sae.transfer.choices import choose
from mosaic_sae.transfer.grading import is_refusal, is_right, score_response
from mosaic_sae.transfer.judge import JudgeClient


@dataclass(frozen=True)
class Prompt:
    """One question as the model gets it."""

    question: Question
    ids: list[int]
    choices: list[list[int]]
    """Token ids of each choice; none for an open question."""

    @property
    def n_tokens(self) -> int:
        """Tokens of the question and of all its choices."""
        return len(self.ids) + sum(map(len, self.choices))


def _about(prompt: Prompt) -> dict[str, Any]:
    question = prompt.question
    return {"id": question.id, "prompt": question.text, "n_characters": len(question.text), "n_tokens": len(prompt.ids), **question.kept}


def choice_row(ask: MultipleChoice, prompt: Prompt, log_probs: list[float]) -> dict[str, Any]:
    """Return the row of a multiple-choice question."""
    question = prompt.question
    assert question.answer is not None
    made = choose(log_probs, [len(choice) for choice in prompt.choices], question.choices, ask.normalise)
    right = made.predicted == question.answer
    return _about(prompt) | {
        "choices": list(question.choices),
        "log_probs": log_probs,
        "log_probs_by_tokens": made.by_tokens,
        "log_probs_by_bytes": made.by_bytes,
        "predicted": question.choices[made.predicted],
        "answer": question.choices[question.answer],
        "correct": "correct" if right else "wrong",
        "confidence": made.confidence,
        "margin": made.margin,
    }


class Grader:
    """Makes the rows of open questions."""

    def __init__(self, ask: OpenQuestion, judge: JudgeClient | None, verdicts: AnswerLog | None) -> None:
        self._ask, self._judge, self._verdicts = ask, judge, verdicts

    def row(self, prompt: Prompt, said: dict[str, Any]) -> dict[str, Any]:
        """Return the row of an open question.

        Args:
            prompt: what was asked.
            said: ``text``, ``log_prob`` and ``n_tokens`` of the response.
        """
        question, response = prompt.question, said["text"].strip()
        # Geometric mean of the probabilities of its tokens.
        row = _about(prompt) | {"response": response, "confidence": float(np.exp(said["log_prob"] / said["n_tokens"]))}
        row["refusal"] = "refuses" if is_refusal(response) else "answers"
        if question.answers:
            row["answer"] = list(question.answers)
        if not isinstance(self._ask.grade, Refusal):
            row["score"] = self._score(question, response)
            row["correct"] = "correct" if self._is_right(row["score"]) else "wrong"
        return row

    def _score(self, question: Question, response: str) -> float:
        if self._judge is None or self._verdicts is None:
            assert not isinstance(self._ask.grade, Judge)
            return score_response(response, question.answers, self._ask.grade)
        key = self._judge.key(question.text, question.answers, response)
        if key not in self._verdicts:
            self._verdicts.add({key: float(self._judge.ask(question.text, question.answers, response))})
        return float(self._verdicts[key])

    def _is_right(self, score: float) -> bool:
        return score == 1 if isinstance(self._ask.grade, Judge) else is_right(score, self._ask.grade)
