"""The doctor on tiny models: what it measures, against a hand-written pass; overflow; transcoders; the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline_checks import make_experiment, toy_texts
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from mosaic_sae.cli.main import app
from mosaic_sae.errors import MosaicError
from mosaic_sae.pipeline.doctor import diagnose
from mosaic_sae.sae.formats import saelens

__all__ = ["make_experiment", "toy_texts"]


def by_hand(folder: Path, texts: list[str]) -> list[torch.Tensor]:
    """Activations after block 2 of every token but BOS, and of BOS, and after block 1."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids]])
        with torch.no_grad():
            states = model(ids, output_hidden_states=True).hidden_states
        rows.append((states[3][0, 1:], states[3][0, 0], states[2][0, 1:]))
    tokens, first, before = zip(*rows, strict=True)
    return [torch.cat(tokens), torch.stack(first), torch.cat(before)]


def explained(sae, acts: torch.Tensor, target: torch.Tensor | None = None) -> float:
    target = acts if target is None else target
    error = (target - sae.decode(sae.encode(acts), acts)).double().square().sum()
    return float(1 - error / (target - target.mean(0)).double().square().sum())


def test_the_figures_are_those_of_a_plain_pass(make_experiment, tiny_model: Path, tiny_sae: Path, toy_texts: list[str]) -> None:
    experiment = make_experiment()
    found = diagnose(experiment, experiment.models[0], toy_texts)[0].measured
    tokens, first, before = by_hand(tiny_model, toy_texts)
    sae = saelens.read(tiny_sae, "tiny")
    dense = sae.encode_dense(tokens)
    assert found.quality.n_tokens == len(tokens)
    assert found.quality.explained_variance == pytest.approx(explained(sae, tokens), abs=1e-4)
    assert found.quality.l0 == pytest.approx(float((dense > 0).sum(1).double().mean()), abs=0.02)
    assert sorted(found.layers) == [0, 1, 2, 3]
    assert found.layers[1] == pytest.approx(explained(sae, before), abs=1e-4)
    assert found.norms.first == pytest.approx(float(first.norm(dim=1).mean()), rel=1e-4)
    assert found.norms.median == pytest.approx(float(np.median(tokens.norm(dim=1))), rel=1e-4)
    assert next(token["id"] for token in found.first_tokens) == 1 and not found.first_tokens[0]["counts"]


def test_overflow_of_float16_is_named(make_experiment, tiny_model: Path, toy_texts: list[str], tmp_path: Path) -> None:
    large = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        large.model.layers[1].mlp.down_proj.weight *= 1e6
    large.save_pretrained(tmp_path / "large")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "large")
    experiment = make_experiment(settings={"dtype": "float16"})
    entry = experiment.models[0].model_copy(update={"name": str(tmp_path / "large")})
    found = diagnose(experiment, entry, toy_texts)[0]
    assert not found.fits
    assert found.findings[0].text.endswith("float16 overflows on this model.")
    assert diagnose(make_experiment(), entry, toy_texts)[0].measured.n_not_finite == 0


def test_a_transcoder_is_judged_by_what_it_predicts(make_experiment, tiny_model: Path, tiny_sae: Path, toy_texts, tmp_path: Path) -> None:
    folder = tmp_path / "transcoder"
    folder.mkdir()
    config = json.loads((tiny_sae / "cfg.json").read_text())
    config |= {"architecture": "jumprelu_transcoder", "d_out": config["d_in"], "apply_b_dec_to_input": False}
    config["metadata"] |= {"hook_name": "blocks.2.hook_resid_pre", "hook_name_out": "blocks.2.hook_resid_post"}
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(load_file(tiny_sae / "sae_weights.safetensors"), folder / "sae_weights.safetensors")
    experiment = make_experiment()
    entry = experiment.models[0].model_copy(update={"sae": experiment.models[0].sae.model_copy(update={"path": str(folder)})})
    found = diagnose(experiment, entry, toy_texts)[0].measured
    tokens, _, before = by_hand(tiny_model, toy_texts)
    expected = explained(saelens.read(folder, "t"), before, tokens)
    assert found.point == "blocks.2.hook_resid_pre"
    assert found.quality.explained_variance == pytest.approx(expected, abs=1e-4)


def test_the_command_prints_facts_and_findings_and_exits_1_on_a_problem(
    tiny_model: Path, tiny_sae: Path, toy_texts: list[str], tmp_path: Path
) -> None:
    lines = ["text,label", *(f"{text},{'ab'[number % 2]}" for number, text in enumerate(toy_texts))]
    (tmp_path / "toy.csv").write_text("\n".join(lines) + "\n")
    config = tmp_path / "toy.yaml"
    config.write_text(
        f"models: [{{name: {tiny_model}, layers: [2], sae: {{path: {tiny_sae}}}}}]\n"
        f"datasets: [{{name: {tmp_path}/toy.csv, text_field: text, label_field: label}}]\n"
    )
    # A random SAE describes nothing.
    result = CliRunner().invoke(app, ["doctor", str(config), "--texts", "20"])
    assert result.exit_code == 1
    assert "does not fit as it is used" in result.stdout
    assert "Problem: The SAE explains less than nothing of the variance" in result.stdout
    assert "output of layers.2, float32" in result.stdout and "[<bos>(1)]" in result.stdout
    report = json.loads(CliRunner().invoke(app, ["doctor", str(config), "--json"]).stdout)
    assert report[0]["fits"] is False and report[0]["findings"][0]["level"] == "problem"
    assert report[0]["n_texts"] == 50


def test_the_command_without_a_config(tiny_model: Path, tiny_sae: Path) -> None:
    words = ["doctor", "--model", str(tiny_model), "--layer", "2", "--sae", str(tiny_sae), "--json", "--texts", "8"]
    report = json.loads(CliRunner().invoke(app, words).stdout)
    assert (report[0]["model"], report[0]["point"], report[0]["n_texts"]) == (str(tiny_model), "blocks.2.hook_resid_post", 8)


@pytest.mark.parametrize(("words", "message"), [
    (["--layer", "2"], "--layer and --sae belong to --model"),
    (["--model", "x"], "--model needs --layer"),
])  # fmt: skip
def test_options_that_do_not_go_together_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(MosaicError, match=message):
        CliRunner().invoke(app, ["doctor", *words], catch_exceptions=False)
