"""SAEs from a hub repository: against a stub hub on loopback, in a process of its own (the client reads its settings once)."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mosaic_sae.fsio import sha256_file

COMMIT = "a" * 40
REPO = "someone/saes"
SCRIPT = """
import dataclasses, importlib, sys
from mosaic_sae import fsio
from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.load import load_sae

def read(folder, name, factor):  # in place of the real one, which imports torch
    return f"loaded {name} " + fsio.sha256_file(folder / module.FORMAT.weights_file)

repo, path, revision, layer, kind = sys.argv[1:6]
module = importlib.import_module("mosaic_sae.sae.formats." + kind)
module.FORMAT = dataclasses.replace(module.FORMAT, read=read)
for _ in range(2):  # the second time everything is cached
    try:
        print(load_sae(SaeBlock(format=kind, repo=repo, path=path, revision=revision or None), int(layer), None, "resid_post"))
    except SaeError as error:
        print("SaeError:", error)
        break
"""


class StubHub:
    """Serves the files of one folder as one repository at one commit, and counts what was asked for."""

    def __init__(self, folder, served=REPO):
        hub = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def refuse(self, status, code):
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.send_header("X-Error-Message", code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def answer(self, body):
                hub.requests.append((self.command, self.path))
                repo, _, rest = self.path.lstrip("/").partition("/resolve/")
                revision, _, name = rest.partition("/")
                if repo == "someone/gated":
                    return self.refuse(403, "GatedRepo")
                if repo != served:
                    return self.refuse(404, "RepoNotFound")
                if revision not in {"main", COMMIT}:
                    return self.refuse(404, "RevisionNotFound")
                if not (folder / name).is_file():
                    return self.refuse(404, "EntryNotFound")
                data = (folder / name).read_bytes()
                self.send_response(200)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body:
                    self.wfile.write(data)
                return None

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(write_folder, tmp_path):
    write_folder(tmp_path / "repo" / "layer_3" / "16k")
    stub = StubHub(tmp_path / "repo")
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture
def load(tmp_path):
    def run(endpoint, repo=REPO, path="layer_{layer}/16k", revision="", layer=3, kind="saelens", **environment):
        clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and not key.startswith("HF_")}
        settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, repo, path, revision, str(layer), kind],
            env={**clean, **settings, **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        run.seconds = time.monotonic() - started
        return done.stdout.strip()

    return run


def test_download_then_cache(hub, load, tmp_path):
    wanted = f"loaded {REPO}/layer_3/16k {sha256_file(tmp_path / 'repo' / 'layer_3' / '16k' / 'sae_weights.safetensors')}"
    assert load(hub.address).splitlines() == [wanted, wanted]
    # each file is sent once; the weights come from the commit that the config came from, whatever the branch does meanwhile
    sent = [path for command, path in hub.requests if command == "GET"]
    assert sent == [f"/{REPO}/resolve/main/layer_3/16k/cfg.json", f"/{REPO}/resolve/{COMMIT}/layer_3/16k/sae_weights.safetensors"]
    assert load("http://127.0.0.1:9").splitlines() == [wanted, wanted]


LAYOUTS = {  # format: (repository, path, small files, file with the arrays)
    "gemma_scope": ("google/gemma-scope-2b-pt-res", "layer_{layer}/width_16k/average_l0_82", {}, "params.npz"),
    "gemma_scope_2": (
        "google/gemma-scope-2-270m-pt",
        "resid_post/layer_{layer}_width_16k_l0_medium",
        {"config.json": {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.12.output"}},
        "params.safetensors",
    ),
    "llama_scope": (
        "fnlp/Llama3_1-8B-Base-LXR-8x",
        "Llama3_1-8B-Base-L{layer}R-8x",
        {"hyperparams.json": {"hook_point_in": "blocks.12.hook_resid_post"}},
        "checkpoints/final.safetensors",
    ),
    "qwen_scope": ("Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50", "layer{layer}.sae.pt", {}, ""),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_other_layouts(load, tmp_path, kind):
    repo, path, small, weights = LAYOUTS[kind]
    place = tmp_path / "repo" / path.format(layer=12)
    file = place / weights
    file.parent.mkdir(parents=True)
    if kind == "gemma_scope":
        np.savez(file, **{name: np.ones(1) for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")})
    else:
        file.write_bytes(b"arrays of the SAE")
    for name, fields in small.items():
        (place / name).write_text(json.dumps(fields))
    hub = StubHub(tmp_path / "repo", repo)
    wanted = f"loaded {repo}/{path.format(layer=12)} {sha256_file(file)}"
    assert load(hub.address, repo, path, layer=12, kind=kind).splitlines() == [wanted, wanted]
    sent = [path.rpartition("/")[2] for command, path in hub.requests if command == "GET"]
    assert sent == [*small, file.name]
    # from the cache, and without the hub: which layer it is
    assert "layer 12" in load("http://127.0.0.1:9", repo, path.format(layer=12), layer=11, kind=kind)
    hub.server.shutdown()
    hub.server.server_close()


def test_another_layer_is_refused_before_its_weights_are_fetched(hub, load, tmp_path):
    config = tmp_path / "repo" / "layer_3" / "16k" / "cfg.json"
    fields = json.loads(config.read_text())
    fields["metadata"]["hook_name"] = "blocks.4.hook_resid_post"
    config.write_text(json.dumps(fields))
    assert "trained on 'blocks.4.hook_resid_post'" in load(hub.address)
    assert not any(path.endswith("safetensors") for _, path in hub.requests)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repo": "someone/nothing"}, "there is no repository someone/nothing"),
        ({"repo": "someone/gated"}, "is gated. Accept its terms"),
        ({"revision": "v9"}, "has no revision 'v9'"),
        ({"layer": 4}, "has no file layer_4/16k/cfg.json"),
        ({"repo": "no/such/name"}, "is no Hugging Face repository name"),
    ],
)
def test_what_the_hub_refuses(hub, load, options, message):
    answer = load(hub.address, **options)
    assert answer.startswith("SaeError: ")
    assert message in answer


@pytest.mark.parametrize(("environment", "reason"), [({"HF_HUB_OFFLINE": "1"}, "offline mode is set"), ({}, "the hub cannot be reached")])
def test_not_cached_and_not_reachable_is_said_at_once(load, environment, reason):
    answer = load("http://127.0.0.1:9", **environment)
    assert answer.startswith("SaeError: Cannot get the SAE someone/saes/layer_3/16k/cfg.json")
    assert reason in answer
    assert load.seconds < 15
