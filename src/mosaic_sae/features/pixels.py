"""Pixels as features: what a picture gives without any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sae.sources.images import Picture, open_picture

if TYPE_CHECKING:
    from PIL import Image

SIDE = 20
"""Pictures become squares of this many pixels, whatever their shape."""


def pixels(pictures: Sequence[Picture | None]) -> np.ndarray:
    """Shrink each picture to ``SIDE`` x ``SIDE`` pixels, each the mean of the area that it covers.

    Returns:
        float32 [n, 3 * SIDE ** 2], red, green and blue of each pixel from 0 to 1, row by row; 0 where there is no picture.

    Raises:
        SourceError: a picture cannot be read.
    """
    values = np.zeros((len(pictures), SIDE, SIDE, 3), dtype=np.float32)
    for row, picture in enumerate(pictures):
        if picture is not None:
            values[row] = np.asarray(_square(open_picture(picture)), dtype=np.float32) / 255
    return values.reshape(len(pictures), -1)


def _square(image: Image.Image) -> Image.Image:
    from PIL import Image

    return image.resize((SIDE, SIDE), Image.Resampling.BOX)
