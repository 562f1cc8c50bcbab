"""A model behind an OpenAI-compatible address: asked again when it is busy, named when it refuses."""

import http.server
import json
import threading

import pytest

from mosaic_sae.chat_endpoint import ChatEndpoint
from mosaic_sae.errors import ModelError


@pytest.fixture
def served():
    """Address of a server on loopback, and the (status, body) pairs that it still has to answer with."""
    replies: list[tuple[int, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = replies.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/", replies
    server.shutdown()
    server.server_close()


def said(text: str | None) -> tuple[int, bytes]:
    return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def test_a_busy_endpoint_is_asked_again_and_others_are_reported(served) -> None:
    url, replies = served
    endpoint = ChatEndpoint(url, "m", retries=3, first_wait=0.001)
    replies += [(429, b"slow down"), said(" ok\n"), said(None)]
    assert [endpoint.ask("one"), endpoint.ask("two")] == ["ok", ""]
    for reply, message in (
        ([(401, b"no key")], "HTTP 401: no key.*environment variable"),
        ([(200, b"<html>")], "something else than a chat completion: b'<html>'"),
        ([(200, b'{"error": 1}')], "something else than a chat completion"),
        ([(503, b"down")] * 4, "asked 4 times, the last time with HTTP 503: down"),
    ):
        replies += reply
        with pytest.raises(ModelError, match=message):
            endpoint.ask("three")
        assert replies == []


def test_an_address_that_is_none_and_a_key_that_is_not_set_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="'localhost:8000'; expected an address"):
        ChatEndpoint("localhost:8000", "m")
    monkeypatch.setenv("EMPTY_KEY", " ")
    for name in ("EMPTY_KEY", "NO_SUCH_KEY"):
        with pytest.raises(ModelError, match=f"{name}, but the environment has no such variable"):
            ChatEndpoint("http://localhost:8000/v1", "m", name)
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/chat/completions cannot be reached: asked 2 times"):
        ChatEndpoint("http://127.0.0.1:9", "m", retries=1, first_wait=0.001).ask("one")
