"""Which rows TF-IDF and pixels are scored on, by hand."""

import numpy as np
import pytest

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import ProbeError
from mosaic_sae.pipeline.readable import left_out, part_it_reads
from mosaic_sae.sources.all_splits import NamedSplit
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.images import Picture
from mosaic_sae.sources.splits import Split

P = Picture(b"x")


def dataset(rows: str) -> Examples:
    """t: a text, p: a picture, b: both."""
    pictures = [None if row == "t" else P for row in rows]
    texts = ["" if row == "p" else "word" for row in rows]
    n = len(rows)
    return Examples(
        "d", [str(row) for row in range(n)], texts, ["a"] * n, None, None, None, {}, "", [], {}, pictures if P in pictures else None
    )


def split(train: list[int], test: list[int], kind: str = "random") -> NamedSplit:
    return NamedSplit(f"{kind} x", SplitSpec(kind=kind), Split(f"{kind} x", np.array(train), np.array(test), {"n": 1}))


def test_where_all_rows_can_be_read_the_split_is_the_same() -> None:
    one = split([0, 1], [2])
    assert part_it_reads(dataset("ttt"), one, "tfidf") is one.rows and part_it_reads(dataset("ttt"), one, "pixels") is None
    assert part_it_reads(dataset("ppp"), one, "tfidf") is None and part_it_reads(dataset("ppp"), one, "pixels") is one.rows
    assert part_it_reads(dataset("bbb"), one, "tfidf") is one.rows is part_it_reads(dataset("bbb"), one, "vision_tower")
    assert part_it_reads(dataset("tpt"), one, "majority") is one.rows


def test_across_modality_a_baseline_keeps_the_test_rows_that_it_reads() -> None:
    data, of_text, of_image = dataset("ttpptpb"), split([0, 1], [4, 5, 6], "modality"), split([2, 3], [4, 5, 6], "modality")
    tfidf = part_it_reads(data, of_text, "tfidf")
    assert (tfidf.train.tolist(), tfidf.test.tolist(), tfidf.notes) == ([0, 1], [4, 6], {"n": 1, "test_rows_it_cannot_read": 1})
    assert part_it_reads(data, of_image, "tfidf") is None and part_it_reads(data, of_text, "pixels") is None
    assert part_it_reads(data, of_image, "pixels").test.tolist() == [5, 6]
    assert part_it_reads(data, split([0, 1], [4, 5]), "tfidf") is None  # other rows than its neighbours: left out


def test_it_is_said_in_words() -> None:
    data = dataset("ttpptp")
    splits = [split([0, 2], [4, 5]), split([0, 1], [4, 5], "modality")]
    assert left_out(data, splits, ["majority", "tfidf", "pixels"]) == [
        "TF-IDF reads texts only: left out of random x; tested on those alone in modality x.",
        "Pixels reads pictures only: left out of random x, modality x.",
    ]
    assert left_out(dataset("tttttt"), splits, ["tfidf"]) == []


def test_a_split_that_could_not_be_made_is_still_reported() -> None:
    error = ProbeError("no")
    assert part_it_reads(dataset("tp"), NamedSplit("x", SplitSpec(), error), "tfidf") is error


@pytest.mark.parametrize("baseline", ["pixels", "vision_tower"])
def test_texts_alone(baseline: str) -> None:
    assert part_it_reads(dataset("tt"), split([0], [1]), baseline) is None
