import io

import numpy as np
import pytest

from mosaic_sae.errors import SourceError
from mosaic_sae.features.pixels import SIDE, pixels
from mosaic_sae.sources.images import Picture

Image = pytest.importorskip("PIL.Image")


def file_of(values: np.ndarray) -> Picture:
    """uint8 [height, width, 3]."""
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(file, "PNG")
    return Picture(file.getvalue())


def test_pixels_by_hand() -> None:
    # Twice as wide as high, each final pixel the mean of 4 x 2: the left three quarters red at 255, of it the top row at half.
    values = np.zeros((2 * SIDE, 4 * SIDE, 3))
    values[:, : 3 * SIDE, 0] = 255
    values[0:2, :, 0] /= 2
    found = pixels([file_of(values), None, file_of(np.full((1, 1, 3), [0, 51, 255]))])
    assert found.dtype == np.float32 and found.shape == (3, 3 * SIDE * SIDE)
    square = found[0].reshape(SIDE, SIDE, 3)
    wanted = np.zeros((SIDE, SIDE))
    wanted[:, : SIDE * 3 // 4] = 1
    wanted[0] *= 127 / 255
    assert square[:, :, 0] == pytest.approx(wanted, abs=0.003) and not square[:, :, 1:].any()
    assert not found[1].any()
    assert found[2].reshape(-1, 3) == pytest.approx(np.tile([0, 0.2, 1], (SIDE * SIDE, 1)))


def test_a_mean_of_an_area_and_not_a_sample() -> None:
    board = np.indices((4 * SIDE, 4 * SIDE)).sum(axis=0) % 2 * 255
    assert pixels([file_of(np.repeat(board[:, :, None], 3, axis=2))]) == pytest.approx(0.5, abs=0.003)


def test_a_picture_that_is_gone() -> None:
    with pytest.raises(SourceError, match="the file is empty"):
        pixels([Picture(b"")])
