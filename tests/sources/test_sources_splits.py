import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import ProbeError
from mosaic_sae.sources.assign import choose_test_units, make_units
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.sampling import quotas
from mosaic_sae.sources.splits import cv_folds, duplicate_units, make_split
from mosaic_sae.sources.units import unit_keys

RANDOM = SplitSpec()
quick = settings(deadline=None, max_examples=40, derandomize=True)


def toy(texts, labels, groups=None, ids=None, splits=None, fields=None) -> Examples:
    return Examples("toy", ids or [str(row) for row in range(len(texts))], texts, labels, groups, None, splits, fields or {}, "", [], {})


@st.composite
def examples(draw, n_min: int = 12, grouped: bool = True):
    """Rows of two or three classes with some repeated texts and, sometimes, groups; two singletons of each class are sure."""
    classes = draw(st.sampled_from(["ab", "abc"]))
    n = draw(st.integers(n_min, 60))
    sure = [(f"sure {label} {copy}", label, "") for label in classes for copy in range(2)]
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 80), st.sampled_from(classes), st.integers(0, 12) if grouped else st.just(0)), min_size=n, max_size=n
        )
    )
    full = sure + [(f"text {text}", label, f"g{group}" if group else "") for text, label, group in rows]
    return toy([row[0] for row in full], [row[1] for row in full], [row[2] for row in full] if grouped else None)


def permuted(data: Examples, order: list[int]) -> Examples:
    return toy(
        [data.texts[row] for row in order],
        [data.labels[row] for row in order],
        [data.groups[row] for row in order] if data.groups else None,
        [data.ids[row] for row in order],
    )


# ---- units


def test_units_by_hand():
    texts = ["Straße  one", "STRASSE one", "two", "three", "four", "five", "ｆｉｖｅ"]
    groups = ["", "g", "g", "h", "", "", ""]
    keys = duplicate_units(toy(texts, ["x"] * 7, groups))
    # 0 and 1 by text (case, white space), 1 and 2 by group, 5 and 6 by compatibility form; the empty group ties nothing.
    assert [keys.index(key) for key in keys] == [0, 0, 0, 3, 4, 5, 5]


def test_long_chain_is_one_unit():
    # Row i shares its text with row i+1 and its group with row i-1: all hang together.
    n = 5000
    texts = [f"t{row // 2}" for row in range(n)]
    groups = [f"g{(row + 1) // 2}" for row in range(n)]
    assert len(set(unit_keys(texts, groups))) == 1


@quick
@given(examples(), st.randoms(use_true_random=False))
def test_units_do_not_depend_on_row_order(data, shuffle):
    order = list(range(len(data)))
    shuffle.shuffle(order)
    keys = duplicate_units(data)
    assert duplicate_units(permuted(data, order)) == [keys[row] for row in order]


# ---- random split


@quick
@given(examples(), st.integers(0, 5), st.floats(0.1, 0.6))
def test_random_split_covers_parts_and_keeps_units_whole(data, seed, test_size):
    split = make_split(data, RANDOM, test_size, seed)
    assert sorted([*split.train, *split.test]) == list(range(len(data)))
    assert split.train.dtype == split.test.dtype == np.int64
    assert list(split.train) == sorted(split.train)
    keys = duplicate_units(data)
    assert not {keys[row] for row in split.train} & {keys[row] for row in split.test}
    assert {data.labels[row] for row in split.train} == {data.labels[row] for row in split.test} == set(data.classes)


@quick
@given(examples(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_random_split_does_not_depend_on_row_order(data, seed, shuffle):
    order = list(range(len(data)))
    shuffle.shuffle(order)
    other = permuted(data, order)
    one = {data.ids[row] for row in make_split(data, RANDOM, 0.25, seed).test}
    assert one == {other.ids[row] for row in make_split(other, RANDOM, 0.25, seed).test}


@quick
@given(st.lists(st.integers(2, 60), min_size=2, max_size=5), st.floats(0.05, 0.9), st.integers(0, 3))
def test_single_rows_are_stratified_to_within_one(sizes, test_size, seed):
    labels = [f"c{number}" for number, size in enumerate(sizes) for _ in range(size)]
    split = make_split(toy([f"t{row}" for row in range(len(labels))], labels), RANDOM, test_size, seed)
    counts = Counter(labels[row] for row in split.test)
    assert all(1 <= counts[f"c{number}"] <= size - 1 for number, size in enumerate(sizes))
    if all(1 <= test_size * size <= size - 1 for size in sizes):  # else small classes are moved off their share
        assert all(abs(counts[f"c{number}"] - test_size * size) < 1 for number, size in enumerate(sizes))
        assert len(split.test) == round(test_size * len(labels))


@quick
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), min_size=12, max_size=40), st.integers(0, 3))
def test_whole_groups_miss_the_wanted_share_by_half_a_group_at_most(groups, seed):
    groups = [*groups, ("a", 1), ("a", 1), ("b", 1), ("b", 1)]
    labels = [label for label, size in groups for _ in range(size)]
    names = [f"g{number}" for number, (_, size) in enumerate(groups) for _ in range(size)]
    split = make_split(toy([f"t{row}" for row in range(len(labels))], labels, names), RANDOM, 0.3, seed)
    counts, wanted = Counter(labels[row] for row in split.test), Counter(labels)
    for label in "ab":
        largest = max(size for name, size in groups if name == label)
        assert abs(counts[label] - 0.3 * wanted[label]) <= largest / 2 + 1


def test_seed_changes_the_split_and_the_same_seed_does_not():
    data = toy([f"t{row}" for row in range(40)], ["a", "b"] * 20)
    tests = [tuple(make_split(data, RANDOM, 0.25, seed).test) for seed in (1, 1, 2)]
    assert tests[0] == tests[1] != tests[2]


def test_test_part_is_a_fair_draw_of_rows():
    data = toy([f"t{row}" for row in range(40)], ["a", "b"] * 20)
    times = Counter(row for seed in range(300) for row in make_split(data, RANDOM, 0.25, seed).test)
    # Each row is drawn with probability 1/4: 75 of 300 on average, standard deviation 7.5.
    assert all(45 < times[row] < 105 for row in range(40))


def test_adding_a_duplicate_moves_it_with_its_text():
    data = toy([f"t{row}" for row in range(20)], ["a", "b"] * 10)
    tested = {data.texts[row] for row in make_split(data, RANDOM, 0.3, 0).test}
    more = toy([*data.texts, "T4", " t5 "], [*data.labels, "a", "b"])
    split = make_split(more, RANDOM, 0.3, 0)
    assert (4 in split.test) == (20 in split.test)
    assert (5 in split.test) == (21 in split.test)
    assert len(tested) == 6


def test_class_in_one_unit_stays_in_train_and_is_noted_and_drains_no_other_class():
    labels = ["lone"] * 500 + ["a"] * 50 + ["b"] * 50
    data = toy([f"t{row}" for row in range(600)], labels, ["g"] * 500 + [""] * 100)
    split = make_split(data, RANDOM, 0.2, 0)
    assert Counter(labels[row] for row in split.test) == {"a": 10, "b": 10}
    assert split.notes == {"classes_not_in_test": ["lone"]}


def test_two_large_groups_of_a_class_are_parted():
    labels = ["a"] * 20 + ["b"] * 20
    data = toy([f"t{row}" for row in range(40)], labels, ["g"] * 10 + ["h"] * 10 + [""] * 20)
    split = make_split(data, RANDOM, 0.2, 0)
    assert Counter(labels[row] for row in split.test) == {"a": 10, "b": 4}


def test_everything_in_one_unit_cannot_be_parted():
    data = toy([f"t{row}" for row in range(6)], ["a", "b"] * 3, ["g"] * 6)
    with pytest.raises(ProbeError, match=r"6 rows in 1 units.*group_field"):
        make_split(data, RANDOM, 0.3, 0)


def test_quotas_by_hand():
    counts = {"a": 50, "b": 30, "c": 20}
    # 33 % of 100 is 16.5, 9.9, 6.6: floors 16, 9, 6 and the two rows left go to the largest remainders .9 and .6.
    assert quotas(counts, 33, dict.fromkeys(counts, 1), counts) == {"a": 16, "b": 10, "c": 7}
    assert quotas({"a": 98, "b": 2}, 10, {"a": 1, "b": 1}, {"a": 97, "b": 1}) == {"a": 9, "b": 1}
    assert quotas({"b": 5, "a": 5}, 5, {"a": 1, "b": 1}, {"a": 4, "b": 4}) == {"a": 3, "b": 2}


def test_unit_of_two_classes_counts_for_both():
    # Wanted: 2 of each class. Any two of the mixed units do it; a third would overshoot.
    units = [f"u{row // 2}" for row in range(20)]
    chosen = choose_test_units(make_units(["a", "b"] * 10, units), 0.2, 0)
    assert len(chosen) == 2


# ---- column


def test_column_split_and_validation_counts_as_train():
    data = toy(list("abcdef"), ["x", "y"] * 3, splits=["train", "Train", "test", " test", "validation", "dev"])
    split = make_split(data, SplitSpec(kind="column"), 0.2, 0)
    assert (split.train.tolist(), split.test.tolist()) == ([0, 1, 4, 5], [2, 3])
    assert split.notes == {"validation_rows_in_train": 2}
    assert split.name == "column"


def test_train_rows_that_are_also_in_test_are_left_out_and_counted():
    data = toy(["a", "b", "A ", "c", "d", "e"], ["x", "y", "x", "y", "x", "y"], splits=["train", "train", "test", "test", "train", "train"])
    split = make_split(data, SplitSpec(kind="column"), 0.2, 0)
    assert (split.train.tolist(), split.test.tolist()) == ([1, 4, 5], [2, 3])
    assert split.notes == {"left_out_of_train": 1}


@pytest.mark.parametrize(("cell", "message"), [("tets", r"'tets'. Did you mean 'test'"), ("", "says nothing")])
def test_column_with_other_values(cell, message):
    data = toy(list("abcd"), ["x", "y"] * 2, splits=["train", "test", cell, cell], ids=["i", "j", "k", "l"])
    with pytest.raises(ProbeError, match=f"2 rows do not: row with id 'k' says {message}|2 rows do not: row with id 'k' {message}"):
        make_split(data, SplitSpec(kind="column"), 0.2, 0)


def test_column_without_test_rows():
    data = toy(list("abcd"), ["x", "y"] * 2, splits=["train"] * 4)
    with pytest.raises(ProbeError, match=r"test has no rows\. Check the cells of split_field"):
        make_split(data, SplitSpec(kind="column"), 0.2, 0)


# ---- holdout


def holdout(*values: str, field: str = "site") -> SplitSpec:
    return SplitSpec(kind="holdout", name="far", field=field, test_values=list(values))


def test_holdout_takes_all_rows_of_the_values():
    data = toy(list("abcdef"), ["x", "y"] * 3, fields={"site": ["p", "p", "q", "q", "r", "r"]})
    split = make_split(data, holdout("q", "r"), 0.2, 0)
    assert (split.name, split.train.tolist(), split.test.tolist(), split.notes) == ("far", [0, 1], [2, 3, 4, 5], {})


def test_holdout_leaves_shared_texts_and_groups_out_of_train():
    sites = ["p", "p", "p", "p", "q", "q"]
    data = toy(["a", "b", "c", "d", "A", "e"], ["x", "y", "x", "y", "x", "y"], ["", "g", "", "", "", "g"], fields={"site": sites})
    split = make_split(data, holdout("q"), 0.2, 0)
    assert (split.train.tolist(), split.test.tolist()) == ([2, 3], [4, 5])
    assert split.notes == {"left_out_of_train": 2}


def test_holdout_errors_say_what_to_do():
    data = toy(list("abcd"), ["x", "y", "y", "y"], fields={"site": ["p", "p", "q", "q"]})
    with pytest.raises(ProbeError, match=r"field 'sites' was not loaded. Did you mean 'site'\? Loaded: site"):
        make_split(data, holdout("q", field="sites"), 0.2, 0)
    with pytest.raises(ProbeError, match=r"no row has site = 'Q'.*Most frequent: 'p' \(2\), 'q' \(2\)"):
        make_split(data, holdout("Q"), 0.2, 0)
    with pytest.raises(ProbeError, match=r"train has no row of class 'x', so it cannot be learnt\. Hold out other values of 'site'"):
        make_split(data, holdout("p"), 0.2, 0)
    with pytest.raises(ProbeError, match="train has no rows"):
        make_split(data, holdout("p", "q"), 0.2, 0)


def test_holdout_that_a_group_ties_to_train_is_explained():
    data = toy(list("abcd"), ["x", "y"] * 2, ["g", "h", "g", "h"], fields={"site": ["p", "p", "q", "q"]})
    with pytest.raises(ProbeError, match=r"train has no rows\. 2 rows were left out of train because they share a text or group"):
        make_split(data, holdout("q"), 0.2, 0)


def test_test_part_of_one_class_is_noted():
    data = toy(list("abcd"), ["x", "y", "y", "y"], fields={"site": ["p", "p", "q", "q"]})
    assert make_split(data, holdout("q"), 0.2, 0).notes == {"classes_not_in_test": ["x"]}


# ---- cross-validation


@quick
@given(examples(), st.integers(2, 5), st.integers(0, 3))
def test_folds_part_the_rows_and_keep_units_whole(data, n_folds, seed):
    keys = duplicate_units(data)
    folds = cv_folds(data.labels, keys, n_folds, seed)
    assert len(folds) == n_folds
    assert sorted(row for _, score in folds for row in score) == list(range(len(data)))
    for fit, score in folds:
        assert sorted([*fit, *score]) == list(range(len(data)))
        assert len(score)
        assert not {keys[row] for row in fit} & {keys[row] for row in score}
        assert {data.labels[row] for row in fit} == set(data.classes)


@quick
@given(examples(), st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_row_order(data, shuffle):
    order = list(range(len(data)))
    shuffle.shuffle(order)
    keys = duplicate_units(data)
    one = [set(score.tolist()) for _, score in cv_folds(data.labels, keys, 4, 0)]
    other = [{order[row] for row in score} for _, score in cv_folds([data.labels[r] for r in order], [keys[r] for r in order], 4, 0)]
    assert one == other


@quick
@given(st.lists(st.integers(2, 40), min_size=2, max_size=4), st.integers(2, 6))
def test_folds_of_single_rows_differ_by_one_row_per_class_at_most(sizes, n_folds):
    labels = [f"c{number}" for number, size in enumerate(sizes) for _ in range(size)]
    if len(labels) < n_folds:
        return
    folds = cv_folds(labels, [f"u{row}" for row in range(len(labels))], n_folds, 0)
    for number in range(len(sizes)):
        counts = [sum(labels[row] == f"c{number}" for row in score) for _, score in folds]
        assert max(counts) - min(counts) <= 1


def test_last_unit_of_a_class_avoids_the_fold_that_holds_the_others():
    # By size u, v, w: u (aaac) goes to fold 0, v (bbb) to fold 1. By counts alone w (bc) would join u, as 1/2 of c weighs
    # less than 3/5 of b; then all of c were in fold 0 and the other fold could not be scored on it.
    labels = [*"aaac", *"bbb", *"bc", "a", "b"]
    units = [*"uuuu", *"vvv", *"ww", "x", "y"]
    folds = cv_folds(labels, units, 2, 0)
    assert sorted(score.tolist() for _, score in folds)[0][:4] == [0, 1, 2, 3]
    assert all({labels[row] for row in fit} == set("abc") for fit, _ in folds)


def test_folds_are_seeded():
    labels, units = ["a", "b"] * 20, [f"u{row}" for row in range(40)]
    folds = [[score.tolist() for _, score in cv_folds(labels, units, 5, seed)] for seed in (1, 1, 2)]
    assert folds[0] == folds[1] != folds[2]


def test_too_few_units_for_the_folds():
    with pytest.raises(ProbeError, match=r"needs 5 independent units .* there are 4\. Lower classification_params\.cv_folds"):
        cv_folds(["a", "b", "a", "b", "a"], ["u", "v", "w", "x", "u"], 5, 0)


def test_class_in_one_unit_cannot_be_cross_validated():
    with pytest.raises(ProbeError, match="all rows of class 'c' share one text or group"):
        cv_folds(["a", "a", "b", "b", "c", "c"], ["1", "2", "3", "4", "5", "5"], 2, 0)


def test_permuting_real_data_changes_no_split(load):
    data = load("packaged/safety_prompts", id_field="id", group_field="family", max_rows=400)
    order = random.Random(0).sample(range(len(data)), len(data))
    one, other = make_split(data, RANDOM, 0.2, 7), make_split(permuted(data, order), RANDOM, 0.2, 7)
    assert {data.ids[row] for row in one.test} == {permuted(data, order).ids[row] for row in other.test}
    assert abs(len(one.test) - 80) <= 5
