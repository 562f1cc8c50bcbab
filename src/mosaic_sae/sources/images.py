"""Pictures: where one is, and how it becomes an upright RGB image."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.errors import SourceError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 80_000_000
"""A larger picture is refused before it is decoded: it would take more than 240 MB as RGB."""
_16_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}
# Pillow's word for 32-bit integers is also how it reads some 16-bit files.
_WIDE = {"I", "F"}
_FAST = (8, 8)


@dataclass(frozen=True)
class Picture:
    """An image file, as bytes in memory or as a path; exactly one of the two."""

    data: bytes | None = field(default=None, repr=False)
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
        except FileNotFoundError as error:
            raise SourceError(f"no such file: {self.path}") from error
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror or error}") from error

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's bytes: pictures with one hash are one picture in splits.

        Raises:
            SourceError: the file cannot be read.
        """
        return hashlib.sha256(self.read()).hexdigest()


def open_picture(picture: Picture) -> Image.Image:
    """Decode a picture to an upright RGB image.

    The first frame of an animation; turned as its EXIF data say; transparency put on white; 16-bit grey values divided by
    256.

    Raises:
        SourceError: it cannot be read or decoded, or has more than ``MAX_PIXELS`` pixels.
    """
    with _decoding(picture) as image:
        return _to_rgb(_upright(image))


def check_picture(picture: Picture) -> None:
    """Decode a picture to the end, as ``open_picture`` does, but in a smaller size where the format allows it.

    Raises:
        SourceError: as ``open_picture``.
    """
    with _decoding(picture) as image:
        # JPEG files decode several times faster at an eighth of their size, and every byte is still read.
        image.draft(image.mode, _FAST)
        _to_rgb(_upright(image))


def thumbnail(picture: Picture, side: int = 64) -> str:
    """Return a picture, made to fit into a square of ``side`` pixels, as a data address that a page can show.

    Raises:
        SourceError: as ``open_picture``.
    """
    image, file = open_picture(picture), io.BytesIO()
    image.thumbnail((side, side))
    image.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


@contextlib.contextmanager
def _decoding(picture: Picture) -> Iterator[Image.Image]:
    from PIL import Image

    data = picture.read()
    if not data:
        raise SourceError("the file is empty")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; MAX_PIXELS refuses smaller ones. Odd metadata change nothing.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise SourceError(_too_large(f"{image.width:,} x {image.height:,} pixels"))
                yield image
    except SourceError:
        raise
    except Image.DecompressionBombError as error:
        raise SourceError(_too_large("more pixels than Pillow opens")) from error
    except Image.UnidentifiedImageError as error:
        raise SourceError(f"not an image that Pillow can read (it begins with {data[:8]!r})") from error
    # What a decoder raises depends on where the bytes are damaged: OSError, SyntaxError, ValueError, EOFError, struct.error ...
    except Exception as error:
        raise SourceError(f"it cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}") from error


def _too_large(size: str) -> str:
    return f"too large: {size}, at most {MAX_PIXELS:,} are read; make it smaller"


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode in _16_BIT | _WIDE:
        return _from_wide_grey(image).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _from_wide_grey(image: Image.Image) -> Image.Image:
    """Bring 16-bit grey to 8 bits; Pillow's own conversion cuts everything above 255 off."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    if image.mode in _WIDE and not (values.min() >= 0 and values.max() <= 65535 and image.mode == "I"):
        raise SourceError("grey values of 32 bits have no known range; save it with 8 or 16 bits")
    return Image.fromarray((values.astype(np.uint32) >> 8).astype(np.uint8))
