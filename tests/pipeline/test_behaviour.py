"""Asking a tiny model: from a csv to answers and back, resumed, judged, and never silent about a row."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from mosaic_sae.config.load import load_behaviour
from mosaic_sae.errors import ConfigError, ModelError, SourceError, StoreError
from mosaic_sae.models.causal import CausalModel
from mosaic_sae.pipeline.behaviour import ask_model
from mosaic_sae.store.answers import AnswerLog

CHOICES = ["cake", "nice garden", "bad poison bomb"]
TEXTS = ["how to make a", "the", "a nice . the bad", "garden alpha", "beta beta beta gamma delta how to", "make"]
ROWS = [
    {"id": f"q{i}", "text": text, "first": CHOICES[i % 3], "second": CHOICES[(i + 1) % 3], "right": "B", "topic": i % 2}
    for i, text in enumerate(TEXTS)
]


def config(folder: Path, model: Path, rows: list[dict[str, Any]] | None = None, ask: dict[str, Any] | None = None, **more: Any) -> Any:
    pd.DataFrame(ROWS if rows is None else rows).to_csv(folder / "questions.csv", index=False)
    values = {
        "name": "tiny",
        "model": str(model),
        "prepend_bos": "always",
        "dtype": "float32",
        "batch_size": 2,
        "out_dir": str(folder / "out"),
        "questions": {"name": str(folder / "questions.csv"), "template": "{text}", "id_field": "id", "keep": ["topic"]},
        "ask": ask or {"kind": "multiple_choice", "choice_fields": ["first", "second"], "answer_field": "right", "answer_is": "letter"},
    }
    (folder / "ask.yaml").write_text(yaml.safe_dump(values | more))
    return load_behaviour(folder / "ask.yaml")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many prompts each batch had that really went through the model."""
    sizes: list[int] = []
    for name in ("choice_log_probs", "respond"):
        original = getattr(CausalModel, name)

        def counted(self, prompts, *rest, original=original):
            sizes.append(len(prompts))
            return original(self, prompts, *rest)

        monkeypatch.setattr(CausalModel, name, counted)
    return sizes


def test_rows_say_what_the_model_picks(tiny_model: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(ask_model(config(tmp_path, tiny_model)))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model).eval(), AutoTokenizer.from_pretrained(tiny_model)
    for row, asked in zip(table.to_dict("records"), ROWS, strict=True):
        wanted, lengths = [], []
        for choice in (asked["first"], asked["second"]):
            prompt, said = [1, *tokenizer(asked["text"]).input_ids], tokenizer(choice).input_ids
            with torch.inference_mode():
                logits = model(torch.tensor([prompt + said])).logits[0].log_softmax(-1)
            wanted.append(sum(float(logits[len(prompt) - 1 + step, token]) for step, token in enumerate(said)))
            lengths.append(len(said))
        assert list(row["log_probs"]) == pytest.approx(wanted, abs=1e-4)
        means = [total / length for total, length in zip(wanted, lengths, strict=True)]
        best = (asked["first"], asked["second"])[means[1] > means[0]]
        assert (row["id"], row["predicted"], row["answer"]) == (asked["id"], best, asked["second"])
        assert row["correct"] == ("correct" if best == asked["second"] else "wrong")
        assert (row["prompt"], row["n_characters"], row["topic"]) == (asked["text"], len(asked["text"]), str(asked["topic"]))
        assert row["n_tokens"] == len(prompt)
    assert set(table["correct"]) == {"correct", "wrong"}
    about = json.loads((tmp_path / "out" / "tiny.json").read_text())
    assert about["correct"] == table["correct"].value_counts().to_dict() and about["skipped"] == []


def test_only_what_is_missing_is_asked(tiny_model: Path, tmp_path: Path, asked: list[int]) -> None:
    whole = pd.read_parquet(ask_model(config(tmp_path, tiny_model)))
    assert asked == [2, 2, 2]
    ask_model(config(tmp_path, tiny_model))
    judged_otherwise = config(tmp_path, tiny_model).model_copy(update={"name": "raw"})
    ask_model(judged_otherwise.model_copy(update={"ask": judged_otherwise.ask.model_copy(update={"normalise": "none"})}))
    assert sum(asked) == 6
    (log,) = (tmp_path / "out" / "answers").glob("*.jsonl")
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # killed while it wrote the fourth answer
    again = pd.read_parquet(ask_model(config(tmp_path, tiny_model, [*ROWS, {**ROWS[0], "id": "new", "text": "nice"}])))
    assert sum(asked) == 6 + 4
    pd.testing.assert_frame_equal(again[:6], whole)


def test_an_interruption_loses_only_what_was_being_asked(
    tiny_model: Path, tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = CausalModel.choice_log_probs

    def interrupted(self, *given):
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(CausalModel, "choice_log_probs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask_model(config(tmp_path, tiny_model))
    assert not (tmp_path / "out" / "tiny.parquet").exists()
    # What is on disk is whole while the process is alive: nothing has to be written at its end.
    (log,) = (tmp_path / "out" / "answers").glob("*.jsonl")
    assert len(log.read_text().splitlines()) == 4
    ask_model(config(tmp_path, tiny_model))
    assert asked == [2, 2, 2]


def test_open_answers_are_generated_and_graded(tiny_model: Path, tmp_path: Path, asked: list[int]) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_model), AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = torch.tensor([[1, *tokenizer("how to").input_ids]])
    greedy = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False)[0, ids.shape[1] :]
    said = tokenizer.decode(greedy, skip_special_tokens=True)
    rows = [{"id": "a", "text": "how to", "right": said.upper()}, {"id": "b", "text": "how to", "right": "something else"}]
    ask = {"kind": "open", "answer_field": "right", "max_new_tokens": 4, "stop": ["\n"], "grade": {"kind": "exact"}}
    questions = {"name": str(tmp_path / "questions.csv"), "template": "{text}", "id_field": "id"}
    table = pd.read_parquet(ask_model(config(tmp_path, tiny_model, rows, ask, questions=questions)))
    assert table["response"].tolist() == [said, said] and table["correct"].tolist() == ["correct", "wrong"]
    assert set(table["refusal"]) == {"answers"} and asked == [1]
    with torch.inference_mode():
        logits = model(torch.cat([ids[0], greedy])[None]).logits[0, ids.shape[1] - 1 : -1].log_softmax(-1)
    likely = logits.gather(-1, greedy[:, None]).mean().exp().item()
    assert table["confidence"].tolist() == pytest.approx([likely, likely], abs=1e-4)
    letter = said[-1]
    ask |= {"stop": [letter], "answer_field": None, "grade": {"kind": "regex", "pattern": f"^[^{letter}]*$"}}
    stopped = pd.read_parquet(ask_model(config(tmp_path, tiny_model, rows, ask, questions=questions)))
    assert stopped["response"].tolist() == [said[: said.index(letter)].strip()] * 2 and stopped["correct"].tolist() == ["correct"] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"right": "C"}, r"q1: answer 'C' \(answer_is: letter\) is none of its 2 choices"),
        ({"right": None}, "q1: missing answer"),
        ({"second": "nice garden"}, "q1: two choices are the same"),
        ({"second": ""}, "q1: empty choice"),
        ({"text": " "}, "q1: empty text"),
        ({"id": "q0"}, "q0: duplicate id"),
        ({"text": "a " * 80}, "q1: 83 tokens with its answer; .* reads 64"),
    ],
)
def test_no_row_is_lost_in_silence(tiny_model: Path, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    rows = [ROWS[0], {**ROWS[1], "first": "nice garden", "second": "cake"} | change, ROWS[2]]
    with pytest.raises(SourceError, match=f"1 rows cannot be asked .{reason}"):
        ask_model(config(tmp_path, tiny_model, rows))
    path = ask_model(config(tmp_path, tiny_model, rows, on_bad_rows="skip"))
    assert pd.read_parquet(path)["id"].tolist() == ["q0", "q2"]
    assert len(json.loads(path.with_suffix(".json").read_text())["skipped"]) == 1


@pytest.mark.parametrize(
    ("ask", "wanted"),
    [
        ({"choices": ["no", "yes"], "answer_field": "flag", "answer_is": "index"}, ["yes", "no"]),
        ({"choices_field": "listed", "answer_field": "number", "answer_is": "number"}, ["cake", "bomb"]),
        ({"choices_field": "listed", "answer_field": "said"}, ["garden", "cake"]),
    ],
)
def test_choices_and_answers_come_in_several_forms(tiny_model: Path, tmp_path: Path, ask: dict[str, Any], wanted: list[str]) -> None:
    lists = [["cake", "garden"], ["cake", "how", "bomb"]]
    table = pd.DataFrame({
        "text": ["how to", "make a"],
        "flag": [True, False],
        "listed": lists,
        "number": [1, 3],
        "said": ["garden", "cake"],
    })
    table.to_parquet(tmp_path / "questions.parquet")
    questions = {"name": str(tmp_path / "questions.parquet"), "template": "{text}"}
    path = ask_model(config(tmp_path, tiny_model, ask={"kind": "multiple_choice", **ask}, questions=questions))
    assert pd.read_parquet(path)["answer"].tolist() == wanted


@pytest.fixture
def judge():
    """A stub of an OpenAI-compatible server that calls a response right when it holds "cake", and keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.headers.get("Authorization"), body))
            prompt = body["messages"][0]["content"]
            said = mood.get("says") or ("CORRECT." if "cake" in prompt.split("Response:")[1] else "Wrong: no cake.")
            data = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(mood.get("code", 200))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    seen: list[Any] = []
    mood: dict[str, Any] = {}
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", seen, mood
    server.shutdown()
    server.server_close()


def test_another_model_judges(tiny_model: Path, tmp_path: Path, judge, monkeypatch: pytest.MonkeyPatch) -> None:
    url, seen, mood = judge
    monkeypatch.setenv("MY_KEY", "secret")
    monkeypatch.setattr("mosaic_sae.chat_endpoint.time.sleep", lambda seconds: None)
    (tmp_path / "judge.txt").write_text("Question: {question} Answer: {answer} Say CORRECT or WRONG. Response: {response}")
    grade = {"kind": "judge", "base_url": url, "model": "big", "prompt_file": str(tmp_path / "judge.txt"), "key_variable": "MY_KEY"}
    rows = [{"id": "a", "text": "how to {answer}", "right": "x"}, {"id": "b", "text": "the cake", "right": "y"}]
    questions = {"name": str(tmp_path / "questions.csv"), "template": "{text}", "id_field": "id"}
    wanted = config(tmp_path, tiny_model, rows, {"kind": "open", "answer_field": "right", "grade": grade}, questions=questions)
    mood["says"] = "I think that it may be right"
    with pytest.raises(ModelError, match="gave no verdict: 'I think"):
        ask_model(wanted)
    mood.clear()
    table = pd.read_parquet(ask_model(wanted))
    holds = ["cake" in response for response in table["response"]]
    assert table["correct"].tolist() == ["correct" if one else "wrong" for one in holds]
    path, key, body = seen[-2]
    assert path == "/v1/chat/completions" and key == "Bearer secret" and body["model"] == "big" and body["temperature"] == 0
    # A brace in the question is not filled in.
    assert body["messages"][0]["content"].startswith("Question: how to {answer} Answer: x Say CORRECT")
    count = len(seen)
    ask_model(wanted)
    assert len(seen) == count
    assert "secret" not in "".join(file.read_text() for file in (tmp_path / "out").rglob("*.json*"))
    (tmp_path / "judge.txt").write_text("{question} {response} Response: again")
    mood["code"] = 401
    with pytest.raises(ModelError, match=r"HTTP 401.*environment variable"):
        ask_model(wanted)
    offline = grade | {"base_url": "http://127.0.0.1:9"}
    with pytest.raises(ModelError, match=r"127.0.0.1:9/chat/completions cannot be reached"):
        ask_model(config(tmp_path, tiny_model, rows, {"kind": "open", "answer_field": "right", "grade": offline}, questions=questions))


def test_nothing_is_uploaded_unless_asked_for(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[int]) -> None:
    import huggingface_hub

    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"push_to is 'me/answers', but .* HF_TOKEN is not set"):
        ask_model(config(tmp_path, tiny_model, push_to="me/answers"))
    assert asked == []
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    with pytest.raises(ModelError, match=r"tiny.parquet is written, but could not be uploaded to me/answers"):
        ask_model(config(tmp_path, tiny_model, push_to="me/answers"))  # tests are offline
    calls = []

    class Api:
        def __init__(self, token: str) -> None:
            calls.append(token)

        def create_repo(self, repo: str, **options: Any) -> None:
            calls.append((repo, options["private"]))

        def upload_file(self, **options: Any) -> None:
            calls.append((options["repo_id"], options["path_in_repo"]))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    ask_model(config(tmp_path, tiny_model, push_to="me/answers"))
    assert calls == ["hf_x", ("me/answers", True), ("me/answers", "tiny.parquet"), ("me/answers", "tiny.json")]


def test_a_damaged_log_is_told(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path / "log.jsonl")
    log.add({"a": 1.5, "b": [2]})
    assert AnswerLog(log.path)["b"] == [2] and "c" not in log
    log.path.write_text("{}\n" + log.path.read_text())
    with pytest.raises(StoreError, match="line 1 is damaged"):
        AnswerLog(log.path)


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        ({"kind": "multiple_choice", "answer_field": "right"}, "name one of choices_field, choice_fields and choices, got none"),
        ({"kind": "open", "grade": {"kind": "exact"}}, "answer_field: missing; grade kind exact"),
        ({"kind": "open", "grade": {"kind": "exactly"}}, "Did you mean 'exact'"),
        ({"kind": "opened"}, "Did you mean 'open'"),
    ],
)
def test_the_file_is_checked(tmp_path: Path, ask: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config(tmp_path, tmp_path, ask=ask)
