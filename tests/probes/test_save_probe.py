"""What is written can be read by another process, and only what we write is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
from sklearn.linear_model import LogisticRegression

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.evaluate import evaluate
from mosaic_sae.probes.save import load_classifier, load_coefficients, save_classifier, save_probe

RELOAD = """
import sys, numpy as np, scipy.sparse as sp
from pathlib import Path
from mosaic_sae.probes.save import load_classifier
for folder in Path(sys.argv[1]).iterdir():
    texts = folder / "texts.txt"
    inputs = texts.read_text().splitlines() if texts.exists() else sp.csr_array(sp.load_npz(folder / "x.npz"))
    np.save(folder / "again.npy", load_classifier(folder / "classifier.skops").predict_proba(inputs))
"""
CASES = {
    "several": ("logistic", "latents", 3),
    "tree": ("tree", "latents", 2),
    "text": ("logistic", "text", 2),
    "l2": ("logistic", "latents", 2),
}


def words_of(planted) -> list[str]:
    rng = np.random.default_rng(0)
    filler = rng.choice(["oak", "elm", "ash", "fir", "木", "लिखो"], (160, 3))
    return [f"{' '.join(words)} {'good ' * rng.integers(0, 2)}{label * 3}" for words, label in zip(filler, planted.labels, strict=True)]


def test_a_fresh_process_gives_the_same_probabilities(make_planted, params, tmp_path: Path) -> None:
    expected = {}
    for case, (classifier, kind, n_classes) in CASES.items():
        planted = make_planted(n_classes=n_classes, signal=0.5)
        features = words_of(planted) if kind == "text" else planted.features
        chosen = params.model_copy(update={"penalties": ["l2" if case == "l2" else "l1"], "c_values": [1.0]})
        result = evaluate(features, planted.split, planted.labels, planted.units, planted.keys, classifier, chosen, 3, 0)
        save_classifier(result.estimator, tmp_path / case / "classifier.skops")
        if kind == "text":
            (tmp_path / case / "texts.txt").write_text("\n".join(features[row] for row in result.rows))
        else:
            sp.save_npz(tmp_path / case / "x.npz", features[result.rows])
        expected[case] = result.probabilities
    subprocess.run([sys.executable, "-c", RELOAD, str(tmp_path)], check=True)
    for case, probabilities in expected.items():
        assert probabilities.std() > 0
        np.testing.assert_array_equal(np.load(tmp_path / case / "again.npy"), probabilities, err_msg=case)


def test_files_of_a_point(make_planted, params, tmp_path: Path) -> None:
    planted = make_planted(n_classes=3, signal=0.5)
    result = evaluate(planted.features, planted.split, planted.labels, planted.units, planted.keys, "logistic", params, 3, 0)
    ids = [f"id-{i}" for i in range(160)]
    save_probe(result, tmp_path / "point", ids, planted.units)
    assert sorted(path.name for path in (tmp_path / "point").iterdir()) == [
        "classifier.skops",
        "coefficients.safetensors",
        "predictions.parquet",
    ]

    table = pd.read_parquet(tmp_path / "point" / "predictions.parquet")
    assert list(table.columns) == ["id", "unit", "label", "predicted", "p_a", "p_b", "p_c"]
    assert table["id"].tolist() == [f"id-{row}" for row in planted.split.test]
    assert table["unit"].tolist() == [planted.units[row] for row in planted.split.test]
    assert table["label"].tolist() == [planted.labels[row] for row in planted.split.test]
    np.testing.assert_array_equal(table[["p_a", "p_b", "p_c"]].to_numpy(), result.probabilities)

    read = load_coefficients(tmp_path / "point" / "coefficients.safetensors")
    assert read.classes == ["a", "b", "c"]
    assert read.latents.tolist() == result.coefficients.latents.tolist()
    rows = planted.features[planted.split.test]
    np.testing.assert_allclose(read.decision(rows), result.coefficients.decision(rows), rtol=1e-4, atol=1e-5)


def test_baselines_have_no_coefficients_file(make_planted, params, tmp_path: Path) -> None:
    planted = make_planted()
    result = evaluate(planted.features, planted.split, planted.labels, planted.units, planted.keys, "majority", params, 3, 0)
    save_probe(result, tmp_path, planted.keys, planted.units)
    assert not (tmp_path / "coefficients.safetensors").exists()
    assert load_classifier(tmp_path / "classifier.skops").predict(planted.features[:1]).tolist() == [result.predicted[0]]


class Stranger(LogisticRegression):
    """A type that no saved classifier of ours holds."""


def test_unknown_types_are_not_loaded(tmp_path: Path) -> None:
    skops.io.dump(Stranger(), tmp_path / "classifier.skops")
    with pytest.raises(ProbeError, match=r"holds types that no saved classifier.*Stranger.*It was not loaded"):
        load_classifier(tmp_path / "classifier.skops")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="There is no saved classifier at"):
        load_classifier(tmp_path / "classifier.skops")
