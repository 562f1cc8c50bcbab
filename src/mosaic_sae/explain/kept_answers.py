"""Answers of a language model, kept on disk, so that no question is paid for twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mosaic_sae import fsio
from mosaic_sae.chat_endpoint import ChatEndpoint


class KeptAnswers:
    """A model that answers single questions, and a folder of its answers."""

    def __init__(self, endpoint: ChatEndpoint, folder: Path) -> None:
        """Remember both; nothing is sent or read."""
        self._endpoint, self._folder = endpoint, folder

    @property
    def host(self) -> str:
        """Where the model is."""
        return self._endpoint.host

    @property
    def model(self) -> str:
        """Name that the endpoint knows it by."""
        return self._endpoint.model

    def is_known(self, question: str) -> bool:
        """Whether the answer is kept already."""
        return self._path(question).is_file()

    def ask(self, question: str) -> str:
        """Return the answer, from the folder or else from the endpoint.

        Raises:
            ModelError: the endpoint cannot be reached, refuses, or answers in another form.
        """
        path = self._path(question)
        if not path.is_file():
            answer = self._endpoint.ask(question)
            fsio.write_json(path, {"host": self.host, "model": self.model, "question": question, "answer": answer})
        return str(fsio.read_json(path)["answer"])

    def _path(self, question: str) -> Path:
        identity = json.dumps([self.host, self.model, question]).encode("utf-8")
        return self._folder / f"{hashlib.sha256(identity).hexdigest()[:32]}.json"
