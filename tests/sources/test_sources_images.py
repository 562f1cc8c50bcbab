"""Pictures made by hand, in every odd form; what they decode to is computed by hand too."""

import base64
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from mosaic_sae.errors import SourceError
from mosaic_sae.sources import images
from mosaic_sae.sources.images import Picture, check_picture, open_picture, thumbnail

Image = pytest.importorskip("PIL.Image")
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def file_of(image, suffix: str = "PNG", **keys: object) -> Picture:
    file = io.BytesIO()
    image.save(file, suffix, **keys)
    return Picture(file.getvalue())


def seen(picture: Picture) -> list[list[tuple[int, int, int]]]:
    """Pixels row by row, after a check that agrees."""
    check_picture(picture)
    image = open_picture(picture)
    assert image.mode == "RGB"
    return [[tuple(pixel) for pixel in row] for row in np.asarray(image).tolist()]


def close(pixel: tuple[int, int, int], wanted: tuple[int, int, int], by: int = 4) -> bool:
    return max(abs(one - other) for one, other in zip(pixel, wanted, strict=True)) <= by


def test_rows_come_before_columns() -> None:
    image = Image.new("RGB", (3, 2), "black")  # three wide, two high
    image.putpixel((2, 0), RED)
    assert seen(file_of(image)) == [[BLACK, BLACK, RED], [BLACK, BLACK, BLACK]]


@pytest.mark.parametrize(
    ("turn", "corner"),
    # Where the first stored pixel of a 3 x 2 picture is shown, as (row, column), by the meaning of EXIF's orientation.
    [(1, (0, 0)), (2, (0, 2)), (3, (1, 2)), (4, (1, 0)), (5, (0, 0)), (6, (0, 1)), (7, (2, 1)), (8, (2, 0))],
)
def test_exif_says_which_way_is_up(turn: int, corner: tuple[int, int]) -> None:
    image = Image.new("RGB", (3, 2), "black")
    image.putpixel((0, 0), WHITE)
    exif = Image.Exif()
    exif[0x0112] = turn
    shown = seen(file_of(image, exif=exif))
    assert (len(shown), len(shown[0])) == ((2, 3) if turn < 5 else (3, 2))
    assert [(row, column) for row, pixels in enumerate(shown) for column, pixel in enumerate(pixels) if pixel == WHITE] == [corner]


def test_transparency_is_put_on_white() -> None:
    half_blue, nothing = (0, 0, 255, 128), (255, 0, 0, 0)
    image = Image.new("RGBA", (2, 1), nothing)
    image.putpixel((1, 0), half_blue)
    # 128/255 of blue over white: 255 * (1 - 128/255) = 127 in red and green.
    assert seen(file_of(image)) == [[WHITE, (127, 127, 255)]]
    grey = Image.new("LA", (2, 1), (0, 0))
    grey.putpixel((1, 0), (0, 128))
    assert seen(file_of(grey)) == [[WHITE, (127, 127, 127)]]


def test_palettes_with_and_without_a_transparent_colour() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    for column in range(3):
        image.putpixel((column, 0), column)
    assert seen(file_of(image)) == [[RED, GREEN, BLUE]]
    assert seen(file_of(image, transparency=1)) == [[RED, WHITE, BLUE]]
    assert seen(file_of(image, transparency=bytes([255, 0, 128]))) == [[RED, WHITE, (127, 127, 255)]]
    assert seen(file_of(image, "GIF", transparency=2)) == [[RED, GREEN, WHITE]]


def test_a_transparent_colour_without_an_alpha_channel() -> None:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), GREEN)
    assert seen(file_of(image, transparency=GREEN)) == [[RED, WHITE]]


def test_one_bit_and_eight_bit_grey() -> None:
    image = Image.new("1", (2, 1), 0)
    image.putpixel((1, 0), 1)
    assert seen(file_of(image)) == [[BLACK, WHITE]]
    assert seen(file_of(Image.new("L", (1, 1), 77))) == [[(77, 77, 77)]]


def test_sixteen_bit_grey_keeps_its_shades() -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    assert seen(file_of(Image.fromarray(values))) == [[(value,) * 3 for value in (0, 0, 1, 128, 255)]]
    assert seen(file_of(Image.fromarray(values), "TIFF")) == [[(value,) * 3 for value in (0, 0, 1, 128, 255)]]
    assert seen(file_of(Image.fromarray(values.astype(np.int32)), "TIFF")) == [[(value,) * 3 for value in (0, 0, 1, 128, 255)]]


def test_shades_without_a_known_range_are_refused() -> None:
    for values in (np.array([[0.5]], dtype=np.float32), np.array([[70_000]], dtype=np.int32), np.array([[-1]], dtype=np.int32)):
        picture = file_of(Image.fromarray(values), "TIFF")
        for read in (open_picture, check_picture):
            with pytest.raises(SourceError, match="32 bits have no known range"):
                read(picture)


def test_sixteen_bit_colour() -> None:
    # Pillow writes none: one pixel (0xFF00, 0x8000, 0x0010) by hand.
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0" + struct.pack(">HHH", 0xFF00, 0x8000, 0x0010))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
    assert close(seen(Picture(png))[0][0], (255, 128, 0), by=1)


def test_cmyk_of_printers() -> None:
    for colour, wanted in (((0, 255, 255, 0), RED), ((255, 0, 255, 0), GREEN), ((0, 0, 0, 0), WHITE), ((0, 0, 0, 255), BLACK)):
        image = Image.new("CMYK", (16, 16), colour)
        for suffix, keys in (("TIFF", {}), ("JPEG", {"quality": 100})):
            assert close(seen(file_of(image, suffix, **keys))[8][8], wanted)


@pytest.mark.parametrize("suffix", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    picture = file_of(frames[0], suffix, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(picture.data)).n_frames == 3
    assert close(seen(picture)[4][4], RED)


def test_one_pixel() -> None:
    assert seen(file_of(Image.new("RGB", (1, 1), GREEN))) == [[GREEN]]


def test_large_pictures_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    assert len(seen(file_of(Image.new("RGB", (10, 10))))) == 10
    picture = file_of(Image.new("RGB", (101, 1)))
    for read in (open_picture, check_picture):
        with pytest.raises(SourceError, match=r"too large: 101 x 1 pixels, at most 100"):
            read(picture)


def test_a_decompression_bomb_is_refused_without_a_warning() -> None:
    def png(width: int, height: int) -> Picture:
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return Picture(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for width, words in ((10_000, "10,000 x 10,000 pixels"), (50_000, "more pixels than Pillow opens")):
            with pytest.raises(SourceError, match=f"too large: {words}"):
                open_picture(png(width, width))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"<svg xmlns='x'/>", r"not an image that Pillow can read \(it begins with b'<svg xml'\)"),
        (file_of(Image.effect_noise((64, 64), 90)).data[:900], "cannot be decoded"),
        (file_of(Image.effect_noise((64, 64), 90), "JPEG").data[:900], "cannot be decoded: image file is truncated"),
        (file_of(Image.effect_noise((64, 64), 90), "JPEG").data[:-500], "cannot be decoded: image file is truncated"),
        (file_of(Image.effect_noise((64, 64), 90), "GIF").data[:900], "cannot be decoded"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, words: str) -> None:
    for read in (open_picture, check_picture):
        with pytest.raises(SourceError, match=words):
            read(Picture(data))


def test_no_damage_gets_past_the_check(n_each: int = 60) -> None:
    """Bytes changed at random: both ways to read agree on what can be read, and nothing but SourceError comes out."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (24, 31, 3), dtype=np.uint8))
    outcomes: dict[bool, int] = {True: 0, False: 0}
    for suffix in ("PNG", "JPEG", "GIF", "BMP", "TIFF"):
        whole = file_of(noise, suffix).data
        for _ in range(n_each):
            data = bytearray(whole)
            for place in random.integers(0, min(len(data), random.choice([60, 10**6])), size=random.integers(1, 6)):
                data[place] = random.integers(0, 256)
            read = []
            for how in (open_picture, check_picture):
                try:
                    how(Picture(bytes(data)))
                    read.append(True)
                except SourceError:
                    read.append(False)
            assert read[0] == read[1]
            outcomes[read[0]] += 1
    assert min(outcomes.values()) > 20


def test_a_thumbnail_keeps_its_shape() -> None:
    address = thumbnail(file_of(Image.new("CMYK", (200, 100), (0, 255, 255, 0)), "TIFF"), side=50)
    start, data = address.split(",")
    assert start == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert (image.format, image.size) == ("JPEG", (50, 25)) and close(image.getpixel((3, 3)), RED)


def test_files_and_hashes(tmp_path: Path) -> None:
    picture = file_of(Image.new("RGB", (1, 1), BLUE))
    (tmp_path / "a.png").write_bytes(picture.data)
    assert seen(Picture(path=tmp_path / "a.png")) == [[BLUE]]
    assert Picture(path=tmp_path / "a.png").sha256 == picture.sha256 != file_of(Image.new("RGB", (1, 1), RED)).sha256
    with pytest.raises(SourceError, match=r"no such file: .*b\.png"):
        open_picture(Picture(path=tmp_path / "b.png"))
    with pytest.raises(SourceError, match="cannot be read: "):
        open_picture(Picture(path=tmp_path))
