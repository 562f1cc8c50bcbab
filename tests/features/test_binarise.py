"""The threshold rule at, below and above the edge."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from mosaic_sae.errors import ProbeError
from mosaic_sae.features.binarise import binarise


def features() -> sp.csr_array:
    return sp.csr_array(np.array([[0.0, 0.5, 1.0], [0.7, 0.0, 3.0], [0.0, 0.0, 0.0]], dtype=np.float32))


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (1.0, [[0, 0, 1], [0, 0, 1], [0, 0, 0]]),
        (0.5, [[0, 1, 1], [1, 0, 1], [0, 0, 0]]),
        # 0.7 is not a float32 number: the stored value is a little smaller.
        (0.7, [[0, 0, 1], [1, 0, 1], [0, 0, 0]]),
        (1e-60, [[0, 1, 1], [1, 0, 1], [0, 0, 0]]),
        (3.5, [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ],
)
def test_at_least_the_threshold_becomes_one(threshold: float, expected: list[list[int]]) -> None:
    x = features()
    binary = binarise(x, threshold)
    assert binary.toarray().tolist() == expected
    assert binary.dtype == np.float32
    assert binary.nnz == np.sum(expected)
    np.testing.assert_array_equal(x.toarray(), features().toarray())


def test_null_keeps_the_values() -> None:
    np.testing.assert_array_equal(binarise(features(), None).toarray(), features().toarray())


def test_twice_is_once() -> None:
    once = binarise(features(), 1.0)
    np.testing.assert_array_equal(binarise(once, 1.0).toarray(), once.toarray())


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_thresholds_that_silence_would_pass_are_refused(threshold: float) -> None:
    with pytest.raises(ProbeError, match=f"got the threshold {threshold}.*above 0, or null"):
        binarise(features(), threshold)
