"""A language model as judge of responses, at an OpenAI-compatible address."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mosaic_sae.chat_endpoint import ChatEndpoint
from mosaic_sae.config.behaviour import Judge
from mosaic_sae.errors import ConfigError, ModelError
from mosaic_sae.fingerprint import fingerprint

_VERDICT = re.compile(r"\W*(correct|wrong)\b", re.IGNORECASE)
_FIELDS = ("question", "answer", "response")


class JudgeClient:
    """Asks for one verdict at a time."""

    def __init__(self, judge: Judge) -> None:
        """Read the prompt.

        Raises:
            ConfigError: there is no prompt file, or it lacks {question} or {response}.
            ModelError: the address is none, or the environment variable of the key is not set.
        """
        if not judge.prompt_file.is_file():
            raise ConfigError(f"ask.grade.prompt_file: there is no file {judge.prompt_file}.")
        self._judge = judge
        self._prompt = judge.prompt_file.read_text(encoding="utf-8")
        if missing := [name for name in ("question", "response") if f"{{{name}}}" not in self._prompt]:
            raise ConfigError(f"ask.grade.prompt_file: {judge.prompt_file} has no {{{missing[0]}}} to fill in.")
        self._endpoint = ChatEndpoint(judge.base_url, judge.model, judge.key_variable, judge.timeout)

    def key(self, question: str, answers: Sequence[str], response: str) -> str:
        """Fingerprint of one request: model and whole prompt, whatever the address."""
        return fingerprint({"judge": self._judge.model, "prompt": self._filled(question, answers, response)})

    def ask(self, question: str, answers: Sequence[str], response: str) -> bool:
        """Return whether the judge calls the response correct.

        Raises:
            ModelError: it cannot be reached, refuses, or gives no verdict.
        """
        said = self._endpoint.ask(self._filled(question, answers, response))
        verdict = _VERDICT.match(said)
        if verdict is None:
            raise ModelError(
                f"The judge {self._judge.model} gave no verdict: {said[:100]!r}. The first word has to be CORRECT or WRONG; "
                f"ask for that in {self._judge.prompt_file}. Verdicts so far are kept."
            )
        return verdict[1].casefold() == "correct"

    def _filled(self, question: str, answers: Sequence[str], response: str) -> str:
        values = dict(zip(_FIELDS, (question, " / ".join(answers), response), strict=True))
        # In one pass, so that a brace in a response fills nothing.
        return re.sub("|".join(rf"\{{{name}\}}" for name in _FIELDS), lambda found: values[found[0][1:-1]], self._prompt)
