"""The app as a server: routes, headers, callbacks, and what it imports."""

import json
import subprocess
import sys
import time

import pandas as pd
import pytest
from run_folders import add_latents, add_transfer, make_run_folder

from mosaic_sae.app.factory import create_app


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run_folder(tmp_path_factory.mktemp("served"), 40)


@pytest.fixture(scope="module")
def client(run):
    return create_app([run.parent]).server.test_client()


def post(client, outputs, inputs, state=None):
    """Call a callback as the browser does; return what it puts where.

    Args:
        client: of the server.
        outputs: "id.property" of each.
        inputs: value by "id.property".
        state: the same.
    """

    def part(name):
        identifier, prop = name.split(".")
        return {"id": identifier, "property": prop}

    parts = [part(name) for name in outputs]
    body = {
        "output": outputs[0] if len(outputs) == 1 else f"..{'...'.join(outputs)}..",
        "outputs": parts[0] if len(parts) == 1 else parts,
        "inputs": [part(name) | {"value": value} for name, value in inputs.items()],
        "state": [part(name) | {"value": value} for name, value in (state or {}).items()],
        "changedPropIds": list(inputs),
    }
    response = client.post("/_dash-update-component", json=body)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()["response"]


def ask(client, output, **inputs):
    """Ask for a page, or for the grid."""
    if output == "page.children":
        return post(client, [output, "bar.children"], {f"url.{name}": value for name, value in inputs.items()})["page"]["children"]
    return post(client, [output], {f"grid-asked.{name}": value for name, value in inputs.items()})["grid-slot"]["children"]


def test_the_first_page_and_its_layout(client):
    index = client.get("/")
    html = index.get_data(as_text=True)
    assert index.status_code == 200
    assert "--surface" in html  # the shared style is inside
    assert "http://" not in html.replace("http://localhost", "")
    assert "https://" not in html
    assert "page" in client.get("/_dash-layout").get_data(as_text=True)


def test_pages_and_rows_come_through_callbacks(client, run):
    page = ask(client, "page.children", pathname="/", search="")
    assert "safety-and-sentiment" in json.dumps(page)
    rows = ask(client, "grid-slot.children", data={"run": run.name, "query": {}})["props"]["rowData"]
    assert len(rows) == 40
    point = ask(client, "page.children", pathname=f"/point/{rows[0]['fingerprint']}", search="")
    assert rows[0]["fingerprint"] in json.dumps(point)
    assert "is gone" in json.dumps(ask(client, "grid-slot.children", data={"run": "no such run", "query": {}}))


def test_the_evidence_of_a_latent_comes_when_it_is_opened(client, run):
    frame = pd.read_parquet(run / "results.parquet")
    chosen = frame[(frame["representation"] == "sae") & frame["chosen"]].iloc[0]["fingerprint"]

    def opened(latent, fingerprint, n_clicks=1):
        head, body = ({"part": part, "latent": latent, "copy": "0"} for part in ("latent-head", "latent-body"))
        name = '{"copy":["MATCH"],"latent":["MATCH"],"part":"latent-body"}.children'
        sent = {
            "output": name,
            "outputs": {"id": body, "property": "children"},
            "inputs": [{"id": head, "property": "n_clicks", "value": n_clicks}],
            "state": [
                {"id": head, "property": "id", "value": head},
                {"id": "point-at", "property": "data", "value": {"fingerprint": fingerprint, "run": None}},
            ],
            "changedPropIds": [json.dumps(head, sort_keys=True, separators=(",", ":")) + ".n_clicks"],
        }
        return client.post("/_dash-update-component", json=sent)

    answer = opened(2207, chosen)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert "Texts it fires on most" in answer.get_data(as_text=True)
    assert "No evidence was collected" in opened(4444, chosen).get_data(as_text=True)
    assert "No evidence was collected" in opened(2207, "0" * 16).get_data(as_text=True)
    assert opened(2207, chosen, n_clicks=2).status_code == 204


def test_any_address_serves_the_app_and_says_what_is_missing(client):
    assert client.get("/point/0000000000000000").status_code == 200
    assert "No such point" in json.dumps(ask(client, "page.children", pathname="/point/0000000000000000", search=""))
    assert "No such page" in json.dumps(ask(client, "page.children", pathname="/a/b/c", search=""))


def test_reports_of_its_runs_are_served_and_nothing_else(client, run):
    assert client.get(f"/runs/{run.name}/report.html").status_code == 404
    (run / "report.html").write_text("<p>report 31415</p>")
    answer = client.get(f"/runs/{run.name}/report.html")
    assert (answer.status_code, answer.mimetype, answer.get_data(as_text=True)) == (200, "text/html", "<p>report 31415</p>")
    for path in ("/runs/../report.html", "/runs/points/report.html", f"/runs/{run.name}/run.json", "/runs/%2e%2e/report.html"):
        assert b"31415" not in client.get(path).data
        assert b'"schema"' not in client.get(path).data


def test_no_answer_lets_the_page_leave_this_machine(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert client.get("/_dash-layout").headers["Content-Security-Policy"] == policy


def test_all_scripts_and_styles_are_bundled(client):
    html = client.get("/").get_data(as_text=True)
    sources = [part.split('"')[0] for part in html.replace("href=", "src=").split('src="')[1:]]
    assert len(sources) > 8
    for source in sources:
        assert source.startswith("/")
        assert client.get(source).status_code == 200, source


def chosen_points(run):
    frame = pd.read_parquet(run / "results.parquet")
    return ",".join(frame[frame["chosen"]]["fingerprint"][:3])


def test_torch_is_not_imported(run):
    add_transfer(run)
    store = add_latents(run).iloc[0]["store"]
    script = (
        "import sys, pathlib\n"
        "from mosaic_sae.app.factory import create_app, route\n"
        "from mosaic_sae.app.data import Library\n"
        f"folder = pathlib.Path({str(run.parent)!r})\n"
        "create_app([folder]); library = Library([folder]); route(library, '/', '')\n"
        "route(library, '/point/' + library.results(library.run(None)).iloc[0]['fingerprint'], '')\n"
        "for page in ('study', 'transfer', 'run', 'compare', 'latents'): route(library, '/' + page, '')\n"
        f"route(library, '/latent/{store}/2207', '')\n"
        f"route(library, '/compare', '?points={chosen_points(run)}')\n"
        "heavy = sorted({'torch', 'transformers', 'sklearn', 'datasets', 'safetensors'} & set(sys.modules))\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_five_thousand_points_take_little_work(tmp_path):
    run = make_run_folder(tmp_path, 5000)
    client = create_app([tmp_path]).server.test_client()
    started = time.process_time()
    ask(client, "page.children", pathname="/", search="")
    page = time.process_time() - started
    rows = ask(client, "grid-slot.children", data={"run": run.name, "query": {}})["props"]["rowData"]
    total = time.process_time() - started
    assert len(rows) == 5000
    assert page < 1.0  # processor seconds of the server; the two seconds of the promise include the browser's work
    assert total < 1.5
