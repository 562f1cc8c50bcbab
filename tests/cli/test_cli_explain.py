"""``mosaic explain``: what it prints, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from mosaic_sae.explain.example import explain_example
from stored_point import make_point, make_run


def test_a_decision_is_explained(mosaic, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    stored = make_point(tmp_path)
    make_run([stored])
    found = explain_example(stored.base, stored.folder, "e<9>")
    ended = mosaic("explain", "toy", "e<9>", "--results", stored.base)
    assert ended.code == 0
    assert f"Predicted {found.predicted}, which is" in ended.out
    first = found.latents[0]
    line = next(line for line in ended.out.splitlines() if line.split()[:1] == [str(first.latent)])
    assert f"{first.contribution:+.2f}".replace("-", "−") in line and f"{first.without[found.about]:.3f}" in line
    assert f"{found.decision:+.2f}  " in ended.out and "logit of" in ended.out
    assert "[U+202E]" in ended.out or "\u202e" not in ended.out


def test_json_and_latents_taken_away(mosaic, tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    make_run([stored])
    found = explain_example(stored.base, stored.folder, "e<9>", "<a>")
    ended = mosaic("explain", "toy", "e<9>", "--results", stored.base, "--about", "<a>", "--without", "3", "--without", "4", "--json")
    printed = json.loads(ended.out)
    assert printed.pop("without") == {"latents": [3, 4], "probabilities": found.without([3, 4])}
    assert printed == json.loads(json.dumps(found.to_json()))
    ended = mosaic("explain", "toy", "e<9>", "--results", stored.base, "--without", "3")
    chances = explain_example(stored.base, stored.folder, "e<9>").without([3])
    assert "Without 3: " + ", ".join(f"{name} {value:.3f}" for name, value in chances.items()) in ended.out


def test_wrong_names_are_said(mosaic, tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    make_run([stored])
    ended = mosaic("explain", "toy", "nobody", "--results", stored.base)
    assert (ended.code, ended.out) == (2, "")
    assert "Error: There is no example 'nobody' in the datasets of the run toy (d<i>)." in ended.err
    assert mosaic("explain", "toy", "e<9>", "--results", stored.base, "--without", "99").code == 2
