"""One evaluation: what it finds, what it must not look at, and what it refuses."""

from __future__ import annotations

import json
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.evaluate import evaluate
from mosaic_sae.probes.selection import GridCell, choose
from mosaic_sae.sources.splits import Split


def run(planted, params, classifier="logistic", **more):
    features = more.pop("features", planted.features)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return evaluate(features, planted.split, planted.labels, planted.units, planted.keys, classifier, params, 3, 0, **more)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_finds_the_planted_latents(n_classes: int, make_planted, params) -> None:
    planted = make_planted(n_classes=n_classes)
    result = run(planted, params)
    assert result.test.macro_f1 > 0.95
    for number, name in enumerate("abc"[:n_classes]):
        first = next(entry for entry in result.top_latents if entry["class"] == name)
        assert first["latent"] == 7 + 10 * number
        train = planted.features[planted.split.train].toarray()
        assert first["scale"] == pytest.approx(train[:, first["latent"]].max())


def test_tree_finds_a_planted_latent(make_planted, params) -> None:
    result = run(make_planted(), params, "tree")
    assert result.test.macro_f1 > 0.95
    assert result.tree is not None
    assert result.tree[0]["latent"] in {7, 17}
    assert result.chosen.params["max_depth"] == 1
    assert result.n_nonzero == 1


def test_random_latents_are_worse(make_planted, params) -> None:
    planted = make_planted(n=240)
    # A control with the same shape, density and values: the columns of each row are dealt out anew.
    rng = np.random.default_rng(1)
    control = sp.csr_array(np.array([rng.permutation(row) for row in planted.features.toarray()], dtype=np.float32))
    assert run(planted, params).test.macro_f1 > run(planted, params, features=control).test.macro_f1 + 0.2


@pytest.mark.parametrize("classifier", ["logistic", "tree", "majority"])
def test_order_of_rows_changes_nothing(classifier: str, make_planted, params) -> None:
    planted = make_planted(signal=0.3, n_classes=3)
    order = np.random.default_rng(5).permutation(160)
    place = np.argsort(order)
    moved = planted.but(
        features=planted.features[order],
        labels=[planted.labels[i] for i in order],
        units=[planted.units[i] for i in order],
        keys=[planted.keys[i] for i in order],
        split=Split("random", np.sort(place[planted.split.train]), np.sort(place[planted.split.test])),
    )
    first, second = run(planted, params, classifier), run(moved, params, classifier)
    assert first.to_point() | {"seconds": 0} == second.to_point() | {"seconds": 0}
    assert sorted(zip(first.rows, first.predicted, strict=True)) == sorted(zip(order[second.rows], second.predicted, strict=True))
    by_row = dict(zip(order[second.rows].tolist(), second.probabilities.tolist(), strict=True))
    assert [by_row[row] for row in first.rows] == first.probabilities.tolist()


def test_shuffled_labels_depend_on_neither_row_order_nor_last_digits(make_planted, params) -> None:
    planted = make_planted(signal=0.3)
    # Groups of many texts, so that within one group and label only the text tells rows apart.
    planted = planted.but(units=[f"u{i // 20}" for i in range(160)])
    order = np.random.default_rng(5).permutation(160)
    place = np.argsort(order)
    noise = np.random.default_rng(6).normal(0, 1e-6, planted.features.nnz)
    nudged = planted.features.copy()
    nudged.data = (nudged.data * (1 + noise)).astype(np.float32)
    moved = planted.but(
        features=nudged[order],
        labels=[planted.labels[i] for i in order],
        units=[planted.units[i] for i in order],
        keys=[planted.keys[i] for i in order],
        split=Split("random", np.sort(place[planted.split.train]), np.sort(place[planted.split.test])),
    )
    first, second = (run(one, params, shuffle_labels=True) for one in (planted, moved))
    assert dict(zip(order[second.rows].tolist(), second.labels.tolist(), strict=True)) == dict(
        zip(first.rows.tolist(), first.labels.tolist(), strict=True)
    )


@pytest.mark.parametrize("classifier", ["logistic", "tree"])
def test_nothing_is_learnt_from_the_test_part(classifier: str, make_planted, params) -> None:
    planted = make_planted(signal=0.5)
    test = planted.split.test
    labels = list(planted.labels)
    for row in test:
        labels[row] = "a" if labels[row] == "b" else "b"
    dense = planted.features.toarray()
    dense[test] = 1000 * np.random.default_rng(0).random((len(test), 60))
    honest = run(planted, params, classifier)
    changed = run(planted.but(labels=labels, features=sp.csr_array(dense.astype(np.float32))), params, classifier)
    assert changed.test.macro_f1 != honest.test.macro_f1
    assert [(cell.params, cell.folds) for cell in changed.grid] == [(cell.params, cell.folds) for cell in honest.grid]
    assert changed.chosen == honest.chosen
    assert changed.top_latents == honest.top_latents
    assert changed.tree == honest.tree


def test_choice_follows_cross_validation(make_planted, params) -> None:
    result = run(make_planted(signal=0.2), params)
    assert result.chosen.mean == max(cell.mean for cell in result.grid)
    assert len(result.chosen.folds) == 3
    assert result.cv_macro_f1 == pytest.approx(np.mean(result.chosen.folds))


def test_ties_go_to_the_simpler_setting() -> None:
    cells = [GridCell({"C": 0.1}, [0.5, 0.7]), GridCell({"C": 1.0}, [0.7, 0.5 + 1e-12]), GridCell({"C": 10.0}, [0.2, 0.2])]
    assert choose(cells).params == {"C": 0.1}
    assert choose(cells[::-1]).params == {"C": 1.0}
    assert cells[0].sd == pytest.approx(np.sqrt(0.02))


def test_majority_by_hand(make_planted, params) -> None:
    planted = make_planted()
    labels = ["b" if i % 4 else "a" for i in range(160)]
    result = run(planted.but(labels=labels), params, "majority")
    n, n_b = len(planted.split.test), sum(labels[row] == "b" for row in planted.split.test)
    assert set(result.predicted) == {"b"}
    assert result.test.macro_f1 == pytest.approx((2 * n_b / (n_b + n)) / 2)
    assert result.test.roc_auc == 0.5
    share = np.mean([labels[row] == "b" for row in planted.split.train])
    np.testing.assert_allclose(result.probabilities, np.tile([1 - share, share], (n, 1)))
    assert result.n_nonzero == 0


def test_hidden_states(make_planted, params) -> None:
    planted = make_planted()
    result = run(planted, params, features=planted.features.toarray())
    assert result.kind == "dense"
    assert result.test.macro_f1 > 0.9
    assert result.coefficients is None
    assert result.top_latents == []


def test_texts(make_planted, params) -> None:
    planted = make_planted()
    filler = np.random.default_rng(0).choice(["oak", "elm", "ash", "fir", "yew"], (160, 3))
    texts = [f"{' '.join(words)} {'good' if label == 'a' else 'bad'}" for words, label in zip(filler, planted.labels, strict=True)]
    result = run(planted, params, features=texts)
    assert result.kind == "text"
    assert result.test.macro_f1 == 1.0


@pytest.mark.parametrize("classifier", ["logistic", "tree", "majority"])
def test_point_is_plain_json_of_the_agreed_form(classifier: str, make_planted, params) -> None:
    planted = make_planted(n_classes=3)
    point = run(planted, params, classifier).to_point()
    assert json.loads(json.dumps(point, allow_nan=False)) == point
    keys = "classes test cv hyperparameters grid n_train n_test n_nonzero top_latents tree notes seconds"
    assert set(point) == set(keys.split())
    test_keys = "n accuracy macro_f1 macro_f1_low macro_f1_high weighted_f1 roc_auc per_class confusion"
    assert set(point["test"]) == set(test_keys.split())
    assert point["test"]["macro_f1_low"] <= point["test"]["macro_f1"] <= point["test"]["macro_f1_high"]
    assert point["n_train"] + point["n_test"] == 160
    assert set(point["grid"][0]) == {"params", "macro_f1_mean", "macro_f1_sd"}
    assert len(point["cv"]["folds"]) == 3
    assert (point["tree"] is not None) == (classifier == "tree")
    assert bool(point["top_latents"]) == (classifier == "logistic")
    assert len(point["top_latents"]) <= 60


def test_predictions_are_in_the_order_of_the_split(make_planted, params) -> None:
    planted = make_planted(signal=0.5)
    result = run(planted, params)
    assert result.rows.tolist() == planted.split.test.tolist()
    assert result.labels.tolist() == [planted.labels[row] for row in planted.split.test]
    assert result.predicted.tolist() == result.estimator.predict(planted.features[planted.split.test]).tolist()
    assert (result.predicted == result.labels).mean() == pytest.approx(result.test.accuracy)
    assert [result.classes[i] for i in result.probabilities.argmax(axis=1)] == result.predicted.tolist()


def test_results_travel_between_processes(make_planted, params) -> None:
    result = run(make_planted(), params)
    assert pickle.loads(pickle.dumps(result)).to_point() == result.to_point()


def test_same_seed_same_result(make_planted, params) -> None:
    planted = make_planted(signal=0.3)
    assert run(planted, params).to_point() | {"seconds": 0} == run(planted, params).to_point() | {"seconds": 0}


def test_a_rare_class_lowers_the_number_of_folds(make_planted, params) -> None:
    planted = make_planted()
    train = planted.split.train
    labels = ["a"] * 160
    for row in train[:4]:
        labels[row] = "rare"
    units = list(planted.units)
    units[train[0]] = units[train[1]] = "together"
    five = params.model_copy(update={"cv_folds": 5})
    result = run(planted.but(labels=labels, units=units), five)
    assert len(result.chosen.folds) == 3
    assert result.notes[0] == "3 folds instead of 5: class 'rare' has only 3 independent examples in the training part."


def test_a_class_of_one_unit_is_refused(make_planted, params) -> None:
    planted = make_planted()
    labels = ["a"] * 160
    labels[planted.split.train[0]] = "rare"
    with pytest.raises(ProbeError, match=r"class 'rare' has 1 independent example there.*Add examples of it"):
        run(planted.but(labels=labels), params)


def test_a_class_of_the_test_part_alone_is_noted_and_counts_as_wrong(make_planted, params) -> None:
    planted = make_planted()
    labels = list(planted.labels)
    labels[planted.split.test[0]] = "new"
    result = run(planted.but(labels=labels), params)
    assert result.classes == ["a", "b", "new"]
    assert "without a training example, always counted as wrong: new" in result.notes[0]
    assert result.test.per_class[2]["f1"] == 0.0
    assert (result.probabilities[:, 2] == 0).all()
    assert result.test.macro_f1 < 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a"] * 159}, "160 rows of features, 159 labels, 160 units and 160 keys"),
        ({"labels": ["a"] * 160}, "holds one class only, 'a'"),
        ({"split": Split("s", np.arange(100), np.arange(99, 160))}, r"Split 's': 1 rows are in both parts \(first: row 99\)"),
        ({"split": Split("s", np.arange(100), np.array([], dtype=int))}, "100 training and 0 test rows; both parts need some"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(change, message: str, make_planted, params) -> None:
    with pytest.raises(ProbeError, match=message):
        run(make_planted().but(**change), params)


def test_unknown_classifier_names_the_nearest(make_planted, params) -> None:
    with pytest.raises(ProbeError, match=r"Unknown classifier 'logistics'. Did you mean 'logistic'\?"):
        run(make_planted(), params, "logistics")
