"""Ask a language model behind an OpenAI-compatible endpoint; every answer is kept, so that no question is paid for twice."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mosaic_sae import fsio
from mosaic_sae.errors import MosaicError

_TIMEOUT_S = 120
_BUSY = {429, 500, 502, 503, 504}
_TRIES = 4


class ChatEndpoint:
    """A model that answers single questions (``POST BASE_URL/chat/completions``)."""

    def __init__(self, base_url: str, model: str, key: str | None, answers: Path, pause_s: float = 2.0) -> None:
        """Prepare questions; nothing is sent.

        Args:
            base_url: e.g. "http://localhost:8000/v1".
            model: name that the endpoint knows.
            key: sent as a bearer token; None = none.
            answers: folder in which answers are kept.
            pause_s: seconds before a busy endpoint is asked again; doubled each time.
        """
        self._url, self.model, self._key, self._answers = f"{base_url.rstrip('/')}/chat/completions", model, key, answers
        self._pause_s = pause_s
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise MosaicError(f"--base-url is '{base_url}'; expected an address such as http://localhost:8000/v1 or https://host/v1.")
        self.host = parts.hostname

    def is_known(self, question: str) -> bool:
        """Whether the answer is kept already."""
        return self._path(question).is_file()

    def ask(self, question: str) -> str:
        """Return the answer, from the folder of answers or else from the endpoint.

        Raises:
            MosaicError: the endpoint cannot be reached, refuses, or answers in another form.
        """
        path = self._path(question)
        if not path.is_file():
            answer = self._send(question)
            fsio.write_json(path, {"host": self.host, "model": self.model, "question": question, "answer": answer})
        return fsio.read_json(path)["answer"]

    def _path(self, question: str) -> Path:
        identity = json.dumps([self.host, self.model, question]).encode("utf-8")
        return self._answers / f"{hashlib.sha256(identity).hexdigest()[:32]}.json"

    def _send(self, question: str) -> str:
        body = {"model": self.model, "messages": [{"role": "user", "content": question}], "temperature": 0}
        for attempt in range(1, _TRIES + 1):
            try:
                content = self._post(body)
                return str(content["choices"][0]["message"]["content"] or "")
            except urllib.error.HTTPError as error:
                said = error.read(500).decode("utf-8", "replace").strip()
                if error.code not in _BUSY or attempt == _TRIES:
                    hint = " The key is read from the environment (--key-env)." if error.code in {401, 403} else ""
                    raise MosaicError(f"{self._url} answered {error.code} {error.reason}: {said or 'nothing more'}.{hint}") from error
            except (KeyError, IndexError, TypeError) as error:
                raise MosaicError(
                    f"{self._url} answered without choices[0].message.content; is it an OpenAI-compatible endpoint?"
                ) from error
            except OSError as error:
                raise MosaicError(f"{self._url} cannot be reached: {getattr(error, 'reason', error)}. Answers so far are kept.") from error
            except ValueError as error:
                raise MosaicError(f"{self._url} did not answer in JSON; is it OpenAI-compatible?") from error
            time.sleep(self._pause_s * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _post(self, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self._url, json.dumps(body).encode("utf-8"), {"Content-Type": "application/json"}, method="POST")
        if self._key:
            # Not passed on when the endpoint redirects to another host.
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            return json.loads(response.read())
