"""A tiny random T5 against a loop by hand, language tokens of a multilingual model, and an endpoint that fails at first."""

import http.server
import json
import threading
from pathlib import Path

import pytest

from mosaic_sae.config.translation import EndpointTranslator, LocalTranslator
from mosaic_sae.errors import ModelError
from mosaic_sae.transfer.translators.base import Item
from mosaic_sae.transfer.translators.endpoint import ChatTranslator
from mosaic_sae.transfer.translators.local import LocalModel, _language_options

TEXTS = ["w3 w4 w5", "w9", "w1 w1 w8 w2 w7 w6", "w2 w3"]


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words w0..w19 and a direction; answers end soon enough that some do and some do not."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    words = ["<pad>", "</s>", "<unk>", *(f"w{number}" for number in range(20)), "english", "german", ":"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=12
    ).save_pretrained(folder)
    torch.manual_seed(12)
    config = T5Config(
        vocab_size=len(words),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    model = T5ForConditionalGeneration(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    return folder


def by_hand(folder: Path, text: str, longest: int) -> str | None:
    """Greedy decoding, one text at a time, without padding; None when the end does not come."""
    import torch
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    model, tokenizer = T5ForConditionalGeneration.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inputs, said = torch.tensor([tokenizer(text)["input_ids"]]), [0]
    with torch.inference_mode():
        for _ in range(longest):
            said.append(int(model(input_ids=inputs, decoder_input_ids=torch.tensor([said])).logits[0, -1].argmax()))
            if said[-1] == 1:
                return tokenizer.decode(said, skip_special_tokens=True)
    return None


def test_a_local_model_gives_what_greedy_decoding_by_hand_gives(t5: Path) -> None:
    config = LocalTranslator(
        kind="local",
        model=str(t5),
        prefix="{source} {target} : ",
        codes={"en": "english", "de": "german"},
        num_beams=1,
        batch_size=3,
        max_new_tokens=12,
    )
    items = [Item(text) for text in [*TEXTS, "w1 " * 30]]
    done = {one.number: one for portion in LocalModel(config).translate(items, "en", "de") for one in portion}
    assert sorted(done) == [0, 1, 2, 3, 4]
    expected = [by_hand(t5, f"english german : {text}", 12) for text in TEXTS]
    assert any(expected) and None in expected  # both cases are there
    for number, text in enumerate(expected):
        assert done[number].text == (text or None)
        assert bool(done[number].problem) is not bool(text)
    assert done[4].text is None and done[4].problem == "longer than the model's 12 tokens"


def test_a_folder_that_holds_no_such_model_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="sequence-to-sequence"):
        list(LocalModel(LocalTranslator(kind="local", model=str(tiny_model))).translate([Item("w1")], "en", "de"))


class _Multilingual:
    """What NLLB's and M2M100's tokenizers have in common."""

    src_lang, unk_token_id = None, 0
    all_special_tokens = ("</s>", "eng_Latn", "__de__")

    def convert_tokens_to_ids(self, token: str) -> int:
        return {"eng_Latn": 7, "__de__": 9}.get(token, 0)


def test_multilingual_models_are_told_both_languages() -> None:
    tokenizer = _Multilingual()
    assert _language_options(tokenizer, {"source": "eng_Latn", "target": "de"}) == {"forced_bos_token_id": 9}
    assert tokenizer.src_lang == "eng_Latn"
    with pytest.raises(ModelError, match=r"no language 'en'. .* translator.codes: \{en: ...\}. It knows de, eng_Latn"):
        _language_options(tokenizer, {"source": "en", "target": "de"})
    assert _language_options(object(), {"source": "en", "target": "de"}) == {}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """Answers each request by the next of ``replies``: a status with headers, or None for a translation."""
    replies: list[tuple[int, dict[str, str]] | None] = []
    asked: list[tuple[str, str | None, dict]] = []
    waits: list[float] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers.get("Authorization"), body))
            reply = replies.pop(0) if replies else None
            text = body["messages"][0]["content"].partition("\n---\n")[2].removesuffix("\n---")
            content = json.dumps(
                {"choices": [{"message": {"content": f" {text[::-1]} "}}]} if reply is None else {"error": "later"}
            ).encode()
            self.send_response(200 if reply is None else reply[0])
            for name, value in ({} if reply is None else reply[1]).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    monkeypatch.setattr("mosaic_sae.chat_endpoint.time.sleep", waits.append)
    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{one.server_port}/v1/", replies, asked, waits
    one.shutdown()
    one.server_close()


def translated(config: EndpointTranslator, texts: list[str]) -> list[str | None]:
    return [one.text for portion in ChatTranslator(config).translate([Item(text) for text in texts], "en", "de") for one in portion]


def test_an_endpoint_is_asked_again_and_the_key_comes_from_the_environment(server, monkeypatch: pytest.MonkeyPatch) -> None:
    url, replies, asked, waits = server
    replies += [(429, {"Retry-After": "7"}), (503, {}), None]
    monkeypatch.setenv("MY_KEY", "secret")
    config = EndpointTranslator(kind="openai", base_url=url, model="m", key_variable="MY_KEY", codes={"de": "German"}, parallel=1)
    assert translated(config, ['a "b"\n{target}', "", "c"]) == ['}tegrat{\n"b" a', None, "c"]
    assert waits == [7.0, 2.0]  # as told, then doubled from one second
    path, key, body = asked[2]
    assert (path, key, body["model"], body["temperature"]) == ("/v1/chat/completions", "Bearer secret", "m", 0)
    assert "from en into German" in body["messages"][0]["content"] and 'a "b"\n{target}' in body["messages"][0]["content"]
    assert "secret" not in json.dumps(ChatTranslator(config).identity)


def test_answers_keep_their_places_when_several_are_under_way(server) -> None:
    url, *_ = server
    config = EndpointTranslator(kind="openai", base_url=url, model="m", parallel=3)
    texts = [f"text {number}" for number in range(30)]
    assert translated(config, texts) == [text[::-1] for text in texts]


def test_an_endpoint_that_refuses_or_stays_away_is_named(server, monkeypatch: pytest.MonkeyPatch) -> None:
    url, replies, asked, waits = server
    config = EndpointTranslator(kind="openai", base_url=url, model="m", retries=2)
    replies += [(401, {})]
    with pytest.raises(ModelError, match=r"HTTP 401.*environment variable"):
        translated(config, ["a"])
    replies += [(500, {})] * 3
    with pytest.raises(ModelError, match="asked 3 times, the last time with HTTP 500"):
        translated(config, ["a"])
    assert len(asked) == 4 and waits == [1.0, 2.0]
    with pytest.raises(ModelError, match="9/chat/completions cannot be reached"):
        translated(config.model_copy(update={"base_url": "http://127.0.0.1:9"}), ["a"])
    with pytest.raises(ModelError, match="expected an address"):
        translated(config.model_copy(update={"base_url": "localhost"}), ["a"])
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ModelError, match="NO_SUCH_KEY"):
        ChatTranslator(config.model_copy(update={"key_variable": "NO_SUCH_KEY"}))
