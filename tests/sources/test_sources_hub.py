import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("hub_stub", Path(__file__).with_name("hub_stub.py"))
assert _SPEC
hub_stub = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(hub_stub)

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
CODE = """
import json, sys, time
import datasets
from mosaic_sae.config.dataset_entry import DatasetEntry
from mosaic_sae.errors import SourceError
from mosaic_sae.sources.load import load_examples
for keys in json.loads(sys.argv[1]):
    start = time.monotonic()
    try:
        found = load_examples(DatasetEntry(**{"text_field": "q", "label_field": "a", **keys}), 0)
        hashes = [picture.sha256 for picture in found.pictures or []]
        result = {"texts": found.texts, "labels": found.labels, "provenance": found.provenance, "fingerprint": found.fingerprint}
        result["pictures"] = hashes
    except SourceError as error:
        result = {"error": str(error)}
    print(json.dumps(result | {"seconds": time.monotonic() - start}))
"""


def run(home: Path, endpoint: str, *entries: dict[str, Any], **environment: str) -> list[dict[str, Any]]:
    """Load each entry in a fresh process that knows no other hub, and return what came of it."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    clean = keep | {"HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": endpoint} | environment
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(entries)], env=clean, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(home: Path) -> dict[str, dict[str, Any]]:
    """What the stand-in hub gives; the cache in ``home`` is filled on the way."""
    entries = {
        "test": {"name": "me/tiny", "split": "test", "config_name": "", "revision": "v1"},
        "no split": {"name": "me/tiny"},
        "wrong split": {"name": "me/tiny", "split": "tests"},
        "wrong column": {"name": "me/tiny", "split": "test", "text_field": "question"},
        "wrong revision": {"name": "me/tiny", "revision": "v2"},
        "missing": {"name": "me/nothing"},
        "gated": {"name": "me/gated"},
        "broken": {"name": "me/broken"},
        "no config": {"name": "me/two"},
        "wrong config": {"name": "me/two", "config_name": "smal"},
        "config": {"name": "me/two", "config_name": "small"},
        "pictures": {"name": "me/pictures", "text_field": None, "image_field": "image"},
    }
    with hub_stub.serve() as endpoint:
        return dict(zip(entries, run(home, endpoint, *entries.values()), strict=True))


def test_one_split_with_class_names_commit_and_licence(online):
    found = online["test"]
    assert (found["texts"], found["labels"]) == (["x", "y"], ["no", "yes"])
    assert {key: found["provenance"].get(key) for key in ("kind", "revision", "split", "licence")} == {
        "kind": "hub",
        "revision": hub_stub.COMMIT,
        "split": "test",
        "licence": "mit",
    }


def test_only_split_of_a_configuration_needs_no_name(online):
    assert online["config"]["labels"] == ["yes", "no", "yes"]
    assert online["config"]["provenance"]["config_name"] == "small"


def test_pictures_come_as_the_files_they_are(online):
    found = online["pictures"]
    assert found["labels"] == ["dark", "light"]
    assert found["pictures"] == [hashlib.sha256(hub_stub.picture(shade)).hexdigest() for shade in (3, 250)]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no split", "dataset 'me/tiny' has several splits: train, test. Name one, e.g. split: train."),
        ("wrong split", "has no split 'tests'. Did you mean 'test'? Splits: train, test."),
        ("wrong column", "text_field names 'question', which is no column. Columns: q, a."),
        ("wrong revision", "dataset 'me/tiny' has no revision 'v2' on the Hugging Face hub."),
        ("missing", "the Hugging Face hub has no dataset of that name that you may read"),
        ("gated", "dataset 'me/gated' is gated: accept its terms"),
        ("broken", "the Hugging Face hub answered with status 503"),
        ("no config", "several configurations: small, large. Name one, e.g. config_name: small."),
        ("wrong config", "no configuration 'smal'. Did you mean 'small'? Configurations: small, large."),
    ],
)
def test_what_is_wrong_is_said_plainly(online, case, message):
    assert message in online[case]["error"]
    assert "\n" not in online[case]["error"]


def test_without_network_the_cached_copy_is_read_and_all_else_fails_at_once(home, online):
    cached, pinned, other, unknown = run(
        home,
        NOWHERE,
        {"name": "me/tiny", "split": "test"},
        {"name": "me/tiny", "split": "test", "revision": hub_stub.COMMIT},
        {"name": "me/tiny", "split": "test", "revision": "b" * 40},
        {"name": "me/unknown"},
    )
    assert cached["fingerprint"] == pinned["fingerprint"] == online["test"]["fingerprint"]
    assert cached["provenance"]["revision"] == hub_stub.COMMIT
    assert f"the copy in the cache is of commit {hub_stub.COMMIT}, which need not be revision '{'b' * 40}'" in other["error"]
    assert "there is no copy of it in the cache; the Hugging Face hub cannot be reached (ConnectError)" in unknown["error"]
    assert unknown["seconds"] < 30  # many retries would take minutes


def test_offline_mode_asks_nobody(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (found,) = run(tmp_path, endpoint, {"name": "Anthropic/election_questions", "split": "test"}, HF_HUB_OFFLINE="1")
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):  # no connection is waiting
            silent.accept()
    assert "offline mode is set (HF_HUB_OFFLINE)" in found["error"]
    assert "packaged/NAME" in found["error"]
