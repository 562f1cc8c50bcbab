"""Pictures: where one is, and how it becomes an upright RGB image."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.errors import SourceError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Picture:
    """An image file, as bytes in memory or as a path; exactly one of the two."""

    data: bytes | None = None
    path: Path | None = None

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            SourceError: the file cannot be read.
        """
        if self.data is not None:
            return self.data
        assert self.path is not None
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise SourceError(f"picture {self.path} cannot be read: {error.strerror or error}.") from error


def open_picture(picture: Picture) -> Image.Image:
    """Decode a picture to an upright RGB image; transparency is put on white.

    Raises:
        SourceError: it cannot be read or decoded.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(picture.read())) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            over = upright.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
        return upright.convert("RGB")
