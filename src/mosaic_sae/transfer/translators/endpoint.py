"""Translations by a chat model behind an OpenAI-compatible address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mosaic_sae.chat_endpoint import ChatEndpoint
from mosaic_sae.config.translation import EndpointTranslator
from mosaic_sae.transfer.translators.base import Item, Translation


class ChatTranslator:
    """Asks for one text at a time, several at once.

    Raises:
        ModelError: the address is none, or the environment variable of the key is not set.
    """

    def __init__(self, config: EndpointTranslator) -> None:
        self._config = config
        self._endpoint = ChatEndpoint(config.base_url, config.model, config.key_variable, config.timeout, config.retries)

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
        return self._endpoint.ask(prompt)
