"""Splits of kind language: who trains, who tests, and that no translation straddles."""

from collections import Counter

import pytest

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import ProbeError
from mosaic_sae.sources.all_splits import make_splits
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.domains import domain_splits
from mosaic_sae.sources.images import Picture

LANGUAGES = ["de", "en", "ja"]


def parallel(n_items: int = 60, splits: list[str] | None = None, grouped: bool = True) -> Examples:
    """``n_items`` items in three languages; class b is a third of them; ja lacks every fourth item."""
    rows = [
        (f"{item}/{language}", f"{language} word {item}", "b" if item % 3 == 0 else "a", str(item), language)
        for item in range(n_items)
        for language in LANGUAGES
        if language != "ja" or item % 4
    ]
    ids, texts, labels, groups, languages = (list(column) for column in zip(*rows, strict=True))
    sides = None if splits is None else [splits[int(group) % len(splits)] for group in groups]
    return Examples("toy", ids, texts, labels, groups if grouped else None, languages, sides, {}, "", [], {})


def spec(**keys) -> SplitSpec:
    return SplitSpec(kind="language", **{"min_train": 5, **keys})


def test_each_language_trains_in_turn_and_the_test_part_is_one() -> None:
    data = parallel()
    made = domain_splits(data, spec(), 0.25, 1)
    assert [(split.domain, split.rows.name) for split in made] == [(name, f"language {name}") for name in LANGUAGES]
    tested = made[0].rows.test
    items_tested = {data.groups[row] for row in tested}
    assert {data.languages[row] for row in tested} == set(LANGUAGES)
    # A quarter of each class of each language: 15 items of 60, 5 of them class b.
    assert Counter((data.languages[row], data.labels[row]) for row in tested if data.languages[row] != "ja") == {
        (language, label): n for language in ("de", "en") for label, n in (("a", 10), ("b", 5))
    }
    for split in made:
        assert split.rows.test.tolist() == tested.tolist()
        assert {data.languages[row] for row in split.rows.train} == {split.domain}
        assert not items_tested & {data.groups[row] for row in split.rows.train}


def test_training_parts_have_one_size_and_the_same_items() -> None:
    data = parallel()
    made = {split.domain: split.rows for split in domain_splits(data, spec(), 0.25, 1)}
    n_ja = sum(language == "ja" for language in data.languages) - sum(data.languages[row] == "ja" for row in made["ja"].test)
    assert {name: len(rows.train) for name, rows in made.items()} == dict.fromkeys(LANGUAGES, n_ja)
    assert {data.groups[row] for row in made["de"].train} == {data.groups[row] for row in made["en"].train}
    # The share of class b, a third, survives the reduction to within one row.
    assert abs(sum(data.labels[row] == "b" for row in made["de"].train) - n_ja / 3) <= 1
    free = {split.domain: len(split.rows.train) for split in domain_splits(data, spec(equal_sizes=False), 0.25, 1)}
    assert free == {"de": 45, "en": 45, "ja": n_ja}


def test_shares_are_nested_and_keep_every_class() -> None:
    data = parallel()
    made = [split for split in domain_splits(data, spec(train_shares=[1.0, 0.1, 0.5]), 0.25, 1) if split.domain == "de"]
    assert [split.rows.name for split in made] == ["language de 10%", "language de 50%", "language de"]
    tenth, half, whole = (set(split.rows.train.tolist()) for split in made)
    assert tenth < half < whole
    assert len(half) == round(len(whole) / 2)
    assert Counter(data.labels[row] for row in tenth) == {"a": 2, "b": 2}


def test_groups_of_several_rows_stay_whole() -> None:
    # Four sentences per document and language.
    data = parallel(160)
    documents = [str(int(group) // 4) for group in data.groups]
    data = Examples("toy", data.ids, data.texts, data.labels, documents, data.languages, None, {}, "", [], {})
    for split in domain_splits(data, spec(train_shares=[0.3, 1.0]), 0.25, 3):
        tested = {documents[row] for row in split.rows.test}
        taken = set(split.rows.train.tolist())
        for document in {documents[row] for row in taken}:
            own = {row for row in range(len(data)) if documents[row] == document and data.languages[row] == split.domain}
            assert document not in tested and own <= taken


def test_the_datasets_own_split_is_used_and_texts_do_not_straddle() -> None:
    data = parallel(splits=["train", "train", "dev", "test"], grouped=False)
    data.texts[0] = data.texts[data.ids.index("3/en")] = "the same word"  # a training row in de, a test row in en
    made = domain_splits(data, spec(), 0.9, 1)
    assert {data.splits[row] for row in made[0].rows.test} == {"test"} and len(made[0].rows.test) == data.splits.count("test")
    assert all(0 not in split.rows.train for split in made)
    assert made[0].rows.notes["left_out_of_train"] == 1 and made[0].rows.notes["validation_rows_in_train"] == data.splits.count("dev")


def test_languages_that_cannot_be_trained_on_are_tested_on_and_named() -> None:
    data = parallel()
    for row, (language, label) in enumerate(zip(data.languages, data.labels, strict=True)):
        if language == "ja" and label == "b":
            data.labels[row] = "a"
    data.languages[1] = " "
    made = domain_splits(data, spec(min_train=40), 0.25, 1)
    assert [split.domain for split in made] == ["de", "en"]
    assert "ja" in {data.languages[row] for row in made[0].rows.test}
    notes = made[0].rows.notes
    assert notes["not_trained_on"]["ja"].startswith(("33", "34")) and "min_train (40)" in notes["not_trained_on"]["ja"]
    assert notes["rows_without_language"] == 1 and all(1 not in [*split.rows.train, *split.rows.test] for split in made)
    assert "class 'b'" in domain_splits(data, spec(), 0.25, 1)[0].rows.notes["not_trained_on"]["ja"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"languages": ["dee"]}, "no row is in language 'dee'. Did you mean 'de'"),
        ({"languages": ["ja"], "min_train": 40}, "language 'ja' cannot be trained on: 34 training rows"),
        ({"min_train": 500}, "no language can be trained on. de: 45 training rows"),
    ],
)
def test_what_cannot_be_done_is_said(keys: dict, words: str) -> None:
    with pytest.raises(ProbeError) as error:
        domain_splits(parallel(), spec(**keys), 0.25, 1)
    assert words in str(error.value)


def test_row_order_changes_nothing() -> None:
    data = parallel()
    back = list(range(len(data)))[::-1]
    columns = ([column[row] for row in back] for column in (data.ids, data.texts, data.labels, data.groups, data.languages))
    turned = Examples("toy", *columns, None, {}, "", [], {})
    straight, reverse = (
        [({one.ids[row] for row in split.rows.train}, {one.ids[row] for row in split.rows.test}) for split in made]
        for one, made in ((data, domain_splits(data, spec(), 0.25, 1)), (turned, domain_splits(turned, spec(), 0.25, 1)))
    )
    assert straight == reverse


def test_splits_of_all_kinds_are_named_in_order_and_names_differ() -> None:
    data = parallel()
    specs = [SplitSpec(), spec(languages=["en"], train_shares=[0.5, 1]), spec(name="far", min_train=1000)]
    made = make_splits(data, specs, 0.25, 1)
    assert [(split.name, split.domain, split.share) for split in made] == [
        ("random", None, 1.0), ("language en 50%", "en", 0.5), ("language en", "en", 1.0), ("far", None, 1.0),
    ]  # fmt: skip
    assert isinstance(made[3].rows, ProbeError)
    with pytest.raises(ProbeError, match="two splits would be called 'language en'"):
        make_splits(data, [SplitSpec(name="language en"), spec()], 0.25, 1)


def pictured(n_items: int = 60, grouped: bool = True) -> Examples:
    """Each item as a text and as a picture; every sixth has a second picture. Class b is a third of the items."""
    rows = [
        (f"{item}/{kind}", f"word {item}" if kind == "text" else "", "b" if item % 3 == 0 else "a", str(item), kind)
        for item in range(n_items)
        for kind in ["text", "picture", "again"][: 3 if item % 6 == 0 else 2]
    ]
    ids, texts, labels, groups, kinds = (list(column) for column in zip(*rows, strict=True))
    pictures = [None if kind == "text" else Picture(name.encode()) for name, kind in zip(ids, kinds, strict=True)]
    return Examples("toy", ids, texts, labels, groups if grouped else None, None, None, {}, "", [], {}, pictures)


def of_modality(**keys) -> SplitSpec:
    return SplitSpec(kind="modality", **{"min_train": 5, **keys})


def test_texts_and_images_train_in_turn_and_test_on_the_same_items() -> None:
    data = pictured()
    made = domain_splits(data, of_modality(train_shares=[0.5, 1.0]), 0.25, 1)
    assert [(split.domain, split.rows.name) for split in made] == [
        ("image", "modality image 50%"), ("image", "modality image"), ("text", "modality text 50%"), ("text", "modality text"),
    ]  # fmt: skip
    of_image, of_text = made[1].rows, made[3].rows
    assert of_image.test.tolist() == of_text.test.tolist()
    tested = Counter((data.modalities[row], data.labels[row]) for row in of_text.test)
    assert tested["text", "a"] == 10 and tested["text", "b"] == 5  # a quarter of the items
    items_tested = {data.groups[row] for row in of_text.test}
    assert {data.groups[row] for row in of_text.test if data.modalities[row] == "image"} == items_tested
    for split, kind in ((of_image, "image"), (of_text, "text")):
        assert {data.modalities[row] for row in split.train} == {kind}
        assert not items_tested & {data.groups[row] for row in split.train}
    # Texts are fewer; images are reduced to their number, whole items at a time.
    assert len(of_text.train) == 45 and 44 <= len(of_image.train) <= 45
    assert of_text.notes | {"by": "modality", "domain": "text", "share": 1.0, "training_rows_there": 45} == of_text.notes


def test_without_groups_only_equal_pictures_and_texts_are_held_together() -> None:
    data = pictured(grouped=False)
    data.pictures[1] = data.pictures[4]
    data.texts[4] = "a caption"
    made = domain_splits(data, of_modality(), 0.25, 2)
    assert all((1 in split.rows.test) == (4 in split.rows.test) for split in made)
    assert made[0].rows.notes["images_with_text"] == 1


def test_one_modality_is_not_enough() -> None:
    with pytest.raises(ProbeError, match="needs text rows and image rows; there are text rows only"):
        domain_splits(parallel(), of_modality(), 0.25, 1)
    with pytest.raises(ProbeError, match=r"no modality can be trained on\. image: \d+ training rows, fewer than min_train \(500\)"):
        domain_splits(pictured(), of_modality(min_train=500), 0.25, 1)
