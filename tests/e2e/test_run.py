"""A whole run on a tiny model: from a csv file to the table, the report and the next run that does nothing."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from factories import make_texts
from mosaic_sae.config.load import Loaded, load_experiment
from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.explain.evidence import read_evidence, store_paths
from mosaic_sae.explain.example import explain_example
from mosaic_sae.explain.names import read_names
from mosaic_sae.pipeline.ask_names import jobs_of, name_latents, total_cost
from mosaic_sae.pipeline.plan import make_plan
from mosaic_sae.pipeline.run import run
from mosaic_sae.probes.save import load_coefficients

CONFIG = """
settings: {{base_save_dir: {folder}/stores, base_classify_dir: {folder}/results, shard_rows: 32}}
models:
  - name: {model}
    layers: [2]
    sae: {{path: {sae}}}
datasets:
  - name: {folder}/toy.csv
    text_field: text
    label_field: label
    splits:
      - kind: random
      - {{kind: holdout, name: elsewhere, field: place, test_values: [b]}}
classification_params:
  top_n_values: [sum, max]
  binarize_values: [null, 0.5]
  cv_folds: 3
  n_bootstrap: 100
"""


@pytest.fixture
def write_config(tiny_model: Path, tiny_sae: Path, tmp_path: Path):
    def write(places: list[str]) -> Path:
        texts, labels = make_texts(len(places), seed=1)
        with (tmp_path / "toy.csv").open("w", newline="") as handle:
            rows = csv.writer(handle)
            rows.writerow(["text", "label", "place"])
            rows.writerows(zip(texts, labels, places, strict=True))
        path = tmp_path / "toy.yaml"
        path.write_text(CONFIG.format(folder=tmp_path, model=tiny_model, sae=tiny_sae))
        return path

    return write


@pytest.fixture
def loaded(write_config) -> Loaded:
    return load_experiment(write_config(["a", "a", "b"] * 30))


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "results.parquet")


def _explanations_agree_with_predictions(folder: Path, results: pd.DataFrame) -> None:
    """For every SAE point: the explanation of its first and last test example says what the classifier predicted."""
    for path in results[results["representation"] == "sae"]["path"]:
        point = folder.parent / path
        predictions = pd.read_parquet(point / "predictions.parquet")
        for row in (predictions.iloc[0], predictions.iloc[-1]):
            found = explain_example(folder.parent, point, row["id"])
            assert (found.id, found.label, found.predicted, found.in_test) == (row["id"], row["label"], row["predicted"], True)
            for name, probability in found.probabilities.items():
                assert probability == pytest.approx(row[f"p_{name}"], abs=1e-6)
            assert " ".join(token.piece for token in found.tokens[1:]) == found.text


def test_a_run_makes_every_point_and_a_second_run_does_nothing(loaded: Loaded) -> None:
    # Per split: 4 feature sets x (2 classifiers + random control), shuffled labels, two hidden states, TF-IDF, majority.
    expected = 2 * (4 * 3 + 1 + 2 + 2)
    assert [point.action for point in make_plan(loaded)] == ["run"] * expected
    summary = run(loaded)
    assert summary.failed == []
    results = table(summary.run_folder)
    assert len(results) == expected
    assert set(results["binarise"].dropna()) == {0.5}
    assert (results["macro_f1_low"] <= results["macro_f1"]).all() and (results["macro_f1"] <= results["macro_f1_high"]).all()
    assert [point.action for point in make_plan(loaded)] == ["skip"] * expected
    _explanations_agree_with_predictions(summary.run_folder, results)
    before = {path: path.stat().st_mtime_ns for path in summary.run_folder.parent.rglob("point.json")}
    again = run(loaded)
    record = json.loads((again.run_folder / "run.json").read_text())
    assert record["status"] == "done" and record["points"] == {"done": 0, "skipped": expected, "failed": []}
    assert {path: path.stat().st_mtime_ns for path in summary.run_folder.parent.rglob("point.json")} == before
    pd.testing.assert_frame_equal(table(again.run_folder), results)


def test_differences_from_the_sae_probe_are_those_of_the_scores(loaded: Loaded) -> None:
    results = table(run(loaded).run_folder)
    for _, part in results[results["chosen"]].groupby("split"):
        probe = part[part["representation"] == "sae"].sort_values("cv_macro_f1").iloc[-1]
        # Neither the probe itself nor other labels.
        unpaired = (part["fingerprint"] == probe["fingerprint"]) | (part["representation"] == "shuffled_labels")
        assert part["vs_sae"].isna().tolist() == unpaired.tolist()
        paired = part[~unpaired]
        assert (paired["macro_f1"] - probe["macro_f1"]).tolist() == pytest.approx(paired["vs_sae"].tolist())
        assert (paired["vs_sae_low"] <= paired["vs_sae"]).all() and (paired["vs_sae"] <= paired["vs_sae_high"]).all()
    assert results[~results["chosen"]]["vs_sae"].isna().all()


def test_everything_compared_has_the_same_rows(loaded: Loaded) -> None:
    summary = run(loaded)
    base = summary.run_folder.parent
    sides: dict[str, set[tuple[str, ...]]] = {}
    for row in table(summary.run_folder).itertuples():
        if row.representation != "shuffled_labels":
            predictions = pd.read_parquet(base / row.path / "predictions.parquet")
            sides.setdefault(row.split, set()).add((row.n_train, *predictions["id"]))
    assert {split: len(different) for split, different in sides.items()} == {"random": 1, "elsewhere": 1}
    saved = json.loads(next((base / "splits").glob("*elsewhere*")).read_text())
    assert saved["test"] == [str(row) for row in range(2, 90, 3)]
    assert not set(saved["test"]) & set(saved["train"])


def test_the_chosen_point_is_the_best_by_cross_validation(loaded: Loaded) -> None:
    results = table(run(loaded).run_folder)
    for _, family in results[results["representation"] == "sae"].groupby(["split", "classifier"]):
        assert family["chosen"].sum() == 1
        assert family.loc[family["chosen"], "cv_macro_f1"].item() == family["cv_macro_f1"].max()


def test_results_carry_evidence_report_and_provenance(loaded: Loaded) -> None:
    summary = run(loaded)
    assert "<html" in (summary.run_folder / "report.html").read_text() and (summary.run_folder / "report.md").stat().st_size > 1000
    results = table(summary.run_folder)
    row = results[(results["representation"] == "sae") & (results["classifier"] == "logistic")].iloc[0]
    point = json.loads((summary.run_folder.parent / row["path"] / "point.json").read_text())
    about = point["provenance"]
    assert about["rows"] == {"kept": 90, "skipped": 0, "truncated": 0, "windowed": 0} and about["seed"] == 42
    assert about["sae"]["hook_point"] == "blocks.2.hook_resid_post"
    evidence = json.loads((summary.run_folder.parent / "evidence" / f"{about['latent_store']}.json").read_text())
    assert {str(top["latent"]) for top in point["top_latents"]} <= set(evidence["latents"])


def test_latents_have_cards_tables_and_neighbours_and_keep_them(loaded: Loaded) -> None:
    summary = run(loaded)
    base = summary.run_folder.parent
    path = next((base / "evidence").iterdir())
    evidence = read_evidence(path)
    assert evidence is not None
    latents, uses = (pd.read_parquet(summary.run_folder / name) for name in ("latents.parquet", "latent_uses.parquet"))
    results = table(summary.run_folder)
    probe = results[(results["representation"] == "sae") & (results["classifier"] == "logistic") & results["chosen"]].iloc[0]
    weights = load_coefficients(base / probe["path"] / "coefficients.safetensors")
    of_probe = uses[uses["fingerprint"] == probe["fingerprint"]]
    assert sorted(of_probe["latent"]) == weights.latents.tolist() and of_probe["chosen"].all()
    assert set(uses["latent"]) == set(latents["latent"]) and not latents["latent"].duplicated().any()
    # The best use is by a CV-chosen point where there is one, and no other such point ranks the latent higher.
    for row in latents.itertuples():
        mine = uses[(uses["latent"] == row.latent) & (uses["chosen"] == row.best_chosen)]
        assert row.best_rank == mine["rank"].min() and row.n_points == (uses["latent"] == row.latent).sum()
    # A saved card is the one that the stores give, and neighbours are those of the SAE's own directions.
    maker = store_paths(evidence, base).open()
    w_dec = load_file(Path(loaded.experiment.models[0].sae.path) / "sae_weights.safetensors")["W_dec"]
    unit = w_dec / np.linalg.norm(w_dec, axis=1, keepdims=True)
    for latent in list(evidence["latents"])[:5]:
        card = evidence["latents"][latent]
        assert maker.card(int(latent)) == card | {"nearest": None}
        cosine = unit @ unit[int(latent)]
        cosine[int(latent)] = -1
        assert card["nearest"]["decoder"][0]["latent"] == cosine.argmax()
        row = latents[latents["latent"] == int(latent)].iloc[0]
        assert (row["label"], row["n_tokens"], row["density_examples"]) == (card["label"], card["n_tokens"], card["density_examples"])
        assert {entry["name"]: entry["share"] for entry in row["by_class"]} == card["by_class"]
    before = path.stat().st_mtime_ns
    run(loaded)
    assert path.stat().st_mtime_ns == before


def test_names_of_a_file_are_shown_with_their_source(write_config, tmp_path: Path) -> None:
    (tmp_path / "names-2.json").write_text(json.dumps({str(latent): f"meaning of {latent}" for latent in range(48)}))
    config = write_config(["a", "a", "b"] * 30)
    summary = run(load_experiment(config, [f"models.0.names.file={tmp_path}/names-{{layer}}.json"]))
    assert re.search(r"“meaning of \d+” \(names-2\.json\); fires on:", (summary.run_folder / "report.md").read_text())
    (tmp_path / "names-2.json").write_text('{"48": "of another SAE"}')
    with pytest.raises(MosaicError, match="names latent 48, but the SAE has 48 latents"):
        run(load_experiment(config, [f"models.0.names.file={tmp_path}/names-{{layer}}.json"]))


def test_a_language_model_names_the_latents_of_a_run(loaded: Loaded) -> None:
    class Model:
        model, host = "m", "here"

        def is_known(self, question: str) -> bool:
            return False

        def ask(self, question: str) -> str:
            return "words of harm" if "<<" in question else "[]"

    folder = run(loaded).run_folder
    jobs = jobs_of(folder, most=3)
    assert len(jobs) == 3 and total_cost(jobs, Model(), judge=False).requests == 3
    named = name_latents(jobs, folder.parent, Model(), judge=True)
    (sae,) = named
    assert {name["text"] for name in named[sae].values()} == {"words of harm"}
    # A judge that names no text is right about the silent half.
    assert {name["score"] for name in named[sae].values()} <= {0.5, None}
    assert read_names(folder.parent, sae) == named[sae]
    with pytest.raises(MosaicError, match="no SAE 'other'"):
        jobs_of(folder, 3, "other")


def test_a_failing_split_costs_its_own_points_only(write_config) -> None:
    # Held out are nearly all rows: the few that are left for training hold a single class.
    _, labels = make_texts(90, seed=1)
    kept = [row for row, label in enumerate(labels) if label == "good"][:4]
    summary = run(load_experiment(write_config(["a" if row in kept else "b" for row in range(90)])))
    assert {failure.key["split"] for failure in summary.failed} == {"elsewhere"}
    results = table(summary.run_folder)
    assert set(results["split"]) == {"random"}
    record = json.loads((summary.run_folder / "run.json").read_text())
    assert len(record["points"]["failed"]) == len(summary.failed) > 0
    assert "elsewhere" in (summary.run_folder / "report.md").read_text()


def test_what_cannot_begin_leaves_an_earlier_record_alone(loaded: Loaded, write_config) -> None:
    folder = run(loaded).run_folder
    before = {name: (folder / name).read_bytes() for name in ("run.json", "config.yaml", "results.parquet")}
    wrong = load_experiment(write_config(["a", "a", "b"] * 30), ["models.0.name=./nowhere"])
    with pytest.raises(MosaicError, match="nowhere"):
        run(wrong)
    assert {name: (folder / name).read_bytes() for name in before} == before
    done = json.loads(before["run.json"])["points"]
    run(loaded, classify=False)
    assert json.loads((folder / "run.json").read_text())["points"] == done


@pytest.mark.parametrize("act_only", [False, True])
@pytest.mark.parametrize("shard_rows", [7, 64])
def test_other_shards_than_before_and_damage_are_mended(write_config, act_only: bool, shard_rows: int) -> None:
    path = write_config(["a", "a", "b"] * 30)
    first = load_experiment(path, [f"settings.act_only={str(act_only).lower()}"])
    expected = table(run(first).run_folder)
    stores = first.experiment.settings.base_save_dir
    again = load_experiment(path, [f"settings.act_only={str(act_only).lower()}", f"settings.shard_rows={shard_rows}"])
    # Another SAE would have no store yet.
    for folder in stores.rglob("latents*"):
        shutil.rmtree(folder)
    dense = next(stores.rglob("dense*/shard-00001.safetensors"))
    data = bytearray(dense.read_bytes())
    data[-3] ^= 0x41
    dense.write_bytes(data)
    shutil.rmtree(first.experiment.settings.base_classify_dir)
    found = table(run(again).run_folder)
    columns = ["representation", "pooling", "binarise", "classifier", "split", "macro_f1"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])


def test_extract_only_then_classify_only(loaded: Loaded) -> None:
    with pytest.raises(StoreError, match="has yet to be extracted"):
        run(loaded, extract=False)
    folder = run(loaded, classify=False).run_folder
    assert not (folder / "results.parquet").exists()
    assert run(loaded, extract=False).failed == []
    assert (folder / "results.parquet").is_file()


@pytest.mark.parametrize("grouped", [False, True])
def test_row_order_changes_no_split_and_no_score(write_config, tmp_path: Path, grouped: bool) -> None:
    # 30 documents of 3 texts: inside a document only the text tells rows apart.
    path = write_config([f"document {number // 3}" for number in range(90)] if grouped else ["a", "a", "b"] * 30)
    lines = (tmp_path / "toy.csv").read_text().splitlines()
    with_ids = [f"id,{lines[0]}", *(f"r{number},{line}" for number, line in enumerate(lines[1:]))]
    over = ["datasets.0.id_field=id", "classification_params.top_n_values=[sum]", "datasets.0.splits=[{kind: random}]"]
    over += ["datasets.0.group_field=place"] if grouped else []

    def scores(order: list[str], name: str) -> dict[tuple, tuple]:
        (tmp_path / "toy.csv").write_text("\n".join(order) + "\n")
        folder = run(
            load_experiment(path, [*over, f"settings.base_save_dir={tmp_path / name}", f"settings.base_classify_dir={tmp_path / name}"])
        ).run_folder
        rows = table(folder).fillna({"binarise": 0, "pooling": ""})
        return {
            (r.representation, r.pooling, r.binarise, r.classifier): (r.macro_f1, r.cv_macro_f1, r.macro_f1_low) for r in rows.itertuples()
        }

    straight = scores(with_ids, "straight")
    shuffled = scores([with_ids[0], *with_ids[:0:-1]], "reversed")
    assert straight.keys() == shuffled.keys()
    for key, values in straight.items():
        assert shuffled[key] == pytest.approx(values, abs=1e-9), key
