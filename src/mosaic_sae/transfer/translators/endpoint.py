"""Translations by a chat model behind an OpenAI-compatible address (POST BASE_URL/chat/completions)."""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mosaic_sae.config.translation import EndpointTranslator
from mosaic_sae.errors import ModelError
from mosaic_sae.transfer.translators.base import Item, Translation

logger = logging.getLogger(__name__)
_PASSING = {408, 409, 429, 500, 502, 503, 504, 529}
_LONGEST_WAIT = 60.0


class ChatEndpoint:
    """Asks for one text at a time, several at once, and asks again when the server is busy or away.

    Raises:
        ModelError: the environment variable of the key is not set.
    """

    def __init__(self, config: EndpointTranslator) -> None:
        self._config = config
        self._headers = {"Content-Type": "application/json"}
        if config.key_variable is not None:
            key = os.environ.get(config.key_variable, "").strip()
            if not key:
                raise ModelError(
                    f"translator.key_variable is {config.key_variable}, but the environment has no such variable, or it is empty."
                    f" Set it to the endpoint's key: export {config.key_variable}=..., or leave key_variable out if none is needed."
                )
            self._headers["Authorization"] = f"Bearer {key}"

    @property
    def identity(self) -> dict[str, Any]:
        """Address, model and prompt."""
        return self._config.model_dump(include={"kind", "base_url", "model", "prompt", "codes"})

    def translate(self, items: Sequence[Item], source: str, target: str) -> Iterator[list[Translation]]:
        """Yield the answers in portions of a few for each request under way."""
        words = {"source": self._config.codes.get(source, source), "target": self._config.codes.get(target, target)}
        portion = 4 * self._config.parallel
        with ThreadPoolExecutor(self._config.parallel) as pool:
            for start in range(0, len(items), portion):
                answers = pool.map(lambda item: self._ask(item.text, words), items[start : start + portion])
                yield [
                    Translation(start + place, answer or None, "" if answer else "an empty answer") for place, answer in enumerate(answers)
                ]

    def _ask(self, text: str, words: dict[str, str]) -> str:
        prompt = self._config.prompt
        # Not str.format: a prompt may hold other braces, and the text comes last, as it may hold "{target}".
        for name, value in [*words.items(), ("text", text)]:
            prompt = prompt.replace(f"{{{name}}}", value)
        body = {"model": self._config.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
        content = self._post(json.dumps(body).encode())
        try:
            answer = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError) as error:
            raise ModelError(f"{self._url} answered something else than a chat completion: {content[:200]!r}") from error
        return str(answer or "").strip()

    @property
    def _url(self) -> str:
        return f"{self._config.base_url.rstrip('/')}/chat/completions"

    def _post(self, body: bytes) -> bytes:
        for attempt in range(self._config.retries + 1):
            wait = min(2.0**attempt, _LONGEST_WAIT)
            try:
                request = urllib.request.Request(self._url, body, self._headers)
                with urllib.request.urlopen(request, timeout=self._config.timeout) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}: {error.read(200).decode('utf-8', 'replace')}"
                if error.code not in _PASSING:
                    hint = (
                        " Name the environment variable that holds the key, in translator.key_variable." if error.code in {401, 403} else ""
                    )
                    raise ModelError(f"{self._url} refuses the request. {problem}.{hint}") from error
                wait = _told(error.headers.get("Retry-After"), wait)
            except (OSError, ValueError) as error:  # no connection, a time-out, or an address that is none
                if isinstance(error, ValueError) and not isinstance(error, OSError):
                    raise ModelError(f"translator.base_url: {error}. Give an address such as http://localhost:8000/v1.") from error
                problem = str(error)
            if attempt < self._config.retries:
                logger.warning(f"{self._url}: {problem}; asked again in {wait:g} s")
                time.sleep(wait)
        raise ModelError(
            f"{self._url} could not be asked in {self._config.retries + 1} attempts. The last one: {problem}."
            " What was translated so far is kept; the same command goes on from there."
        )


def _told(header: str | None, otherwise: float) -> float:
    """Seconds that a Retry-After header asks to wait, within reason."""
    return min(float(header), _LONGEST_WAIT) if header and header.isdigit() else otherwise
