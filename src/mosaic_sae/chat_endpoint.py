"""A language model behind an OpenAI-compatible address (POST BASE_URL/chat/completions)."""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from mosaic_sae.errors import ModelError

logger = logging.getLogger(__name__)
_PASSING = {408, 409, 429, 500, 502, 503, 504, 529}
_LONGEST_WAIT = 60.0


class ChatEndpoint:
    """Asks one question at a time, and again when the server is busy or away. Several threads may share it."""

    def __init__(
        self, base_url: str, model: str, key_variable: str | None = None, timeout: float = 120.0, retries: int = 6, first_wait: float = 1.0
    ) -> None:
        """Prepare questions; nothing is sent.

        Args:
            base_url: address up to and without /chat/completions, e.g. "http://localhost:8000/v1".
            model: name that the endpoint knows.
            key_variable: environment variable with the key; None = none is needed.
            timeout: seconds that an answer may take.
            retries: how often a request is repeated that fails for now (429, 5xx, no connection).
            first_wait: seconds before it is repeated; doubled each time, unless the server names a time.

        Raises:
            ModelError: the address is none, or the variable is not set.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ModelError(f"The base URL is '{base_url}'; expected an address such as http://localhost:8000/v1.")
        self.host, self.model = parts.hostname, model
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = None if key_variable is None else os.environ.get(key_variable, "").strip()
        if self._key == "":
            raise ModelError(
                f"The key is to be read from {key_variable}, but the environment has no such variable, or it is empty."
                f" Set it (export {key_variable}=...), or name no variable if the endpoint needs no key."
            )
        self._timeout, self._retries, self._first_wait = timeout, retries, first_wait

    def ask(self, question: str) -> str:
        """Return the answer to one question, at temperature 0.

        Raises:
            ModelError: the endpoint cannot be reached, refuses, or answers in another form.
        """
        content = self._post({"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": question}]})
        try:
            return str(json.loads(content)["choices"][0]["message"]["content"] or "").strip()
        except (ValueError, LookupError, TypeError) as error:
            raise ModelError(f"{self._url} answered something else than a chat completion: {content[:200]!r}") from error

    def _post(self, body: dict[str, Any]) -> bytes:
        request = urllib.request.Request(self._url, json.dumps(body).encode("utf-8"), {"Content-Type": "application/json"}, method="POST")
        if self._key:
            # Not passed on when the endpoint redirects to another host.
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        problem = ""
        for attempt in range(self._retries + 1):
            wait = min(self._first_wait * 2**attempt, _LONGEST_WAIT)
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}: {error.read(300).decode('utf-8', 'replace').strip() or error.reason}"
                if error.code not in _PASSING:
                    hint = " The key is read from the environment variable that you name." if error.code in {401, 403} else ""
                    raise ModelError(f"{self._url} refuses the request. {problem}.{hint}") from error
                wait = _told(error.headers.get("Retry-After"), wait)
            except OSError as error:  # no connection, or a time-out
                problem = str(getattr(error, "reason", error))
            if attempt < self._retries:
                logger.warning("%s: %s; asked again in %g s", self._url, problem, wait)
                time.sleep(wait)
        raise ModelError(
            f"{self._url} cannot be reached: asked {self._retries + 1} times, the last time with {problem}."
            " Answers so far are kept; the same command goes on from there."
        )


def _told(header: str | None, otherwise: float) -> float:
    """Seconds that a Retry-After header asks to wait, within reason."""
    return min(float(header), _LONGEST_WAIT) if header and header.isdigit() else otherwise
