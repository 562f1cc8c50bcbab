"""The pictures of emoji that the adapter learns from: seven drawings of the train ids, out of npm packages. Test ids are never opened."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from make_data import share
from PIL import Image

from mosaic_sae.fsio import sha256_file

SIZE = 64
VALIDATION_SHARE = 0.1
"""Of the families of the train part; they choose everything and are not learnt from."""


@dataclass(frozen=True)
class PicturePackage:
    """One pinned npm package with drawings of emoji."""

    package: str
    version: str
    licence: str
    sha256: str
    owner: str

    @property
    def file(self) -> str:
        """File name that ``npm pack`` gives it."""
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def vendor(self) -> str:
        """Short name of the drawings."""
        return self.package.rsplit("/", 1)[-1].removeprefix("emoji-datasource-")


PNG_PACKAGES = (
    PicturePackage(
        "emoji-datasource-google",
        "16.0.0",
        "Apache-2.0",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        "Google (Noto Emoji)",
    ),
    PicturePackage(
        "emoji-datasource-twitter",
        "16.0.0",
        "CC-BY-4.0",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        "Twitter, Inc. and other contributors (Twemoji)",
    ),
)
SVG_PACKAGES = (
    PicturePackage(
        "@iconify-json/noto-v1",
        "1.2.5",
        "Apache-2.0",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
        "Google (Noto Emoji, first version)",
    ),
    PicturePackage(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "MIT",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        "Microsoft (Fluent Emoji)",
    ),
    PicturePackage(
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "MIT",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
        "Microsoft (Fluent Emoji)",
    ),
    PicturePackage(
        "@iconify-json/emojione",
        "1.2.3",
        "CC-BY-4.0",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
        "EmojiOne (version 2)",
    ),
    PicturePackage(
        "@iconify-json/fxemoji",
        "1.2.2",
        "Apache-2.0",
        "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
        "Mozilla (Firefox OS Emoji)",
    ),
)
# Their tables say which code points a drawing's name stands for; sets without such a table use the same names.
NAME_TABLES = (
    PicturePackage(
        "@iconify-json/noto",
        "1.2.9",
        "Apache-2.0",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        "Google (Noto Emoji)",
    ),
    PicturePackage(
        "@iconify-json/twemoji",
        "1.2.5",
        "CC-BY-4.0",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        "Twitter, Inc. and other contributors (Twemoji)",
    ),
)
ALL_PACKAGES = PNG_PACKAGES + SVG_PACKAGES + NAME_TABLES


def fetch(folder: Path) -> None:
    """Download what is missing in ``folder`` with npm, and stop unless every archive is the pinned one."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in ALL_PACKAGES:
        path = folder / package.file
        if not path.exists():
            subprocess.run(["npm", "pack", "--silent", f"{package.package}@{package.version}"], cwd=folder, check=True)
        if (found := sha256_file(path)) != package.sha256:
            raise SystemExit(f"{path}: SHA-256 is {found}, expected {package.sha256}")


def read_names(table: Path) -> pd.DataFrame:
    """Return one row per emoji of the packaged ``emoji_names`` in English.

    Columns text, label, code (hexadecimal code points without the selector fe0f), part (fit, validation or test).
    """
    names = pd.read_parquet(table)
    names = names[names["language"] == "en"].copy()
    names["code"] = ["-".join(f"{ord(character):x}" for character in emoji) for emoji in names["emoji"]]
    learnt = ["fit" if share(f"validation:{family}") >= VALIDATION_SHARE else "validation" for family in names["family"]]
    names["part"] = [part if split == "train" else "test" for split, part in zip(names["split"], learnt, strict=True)]
    return names.sort_values("code", ignore_index=True)


def read_pictures(folder: Path, codes: set[str]) -> pd.DataFrame:
    """Return the pictures of ``codes`` and of no others: columns code, vendor, pixels (uint8 [64 64 3] on white)."""
    rows = []
    for package in PNG_PACKAGES:
        inside = f"package/img/{package.vendor}/{SIZE}/"
        with tarfile.open(folder / package.file) as archive:
            for member in archive:
                code = _bare(member.name.removeprefix(inside).removesuffix(".png"))
                if member.name.startswith(inside) and code in codes:
                    handle = archive.extractfile(member)
                    assert handle is not None
                    rows.append({"code": code, "vendor": package.vendor, "pixels": _on_white(handle.read())})
    # Only here: the rest of the recipe, and its tests, do without the renderer.
    import resvg_py

    tables = [_icons(folder, package)[1] for package in NAME_TABLES]
    code_of = {name: _bare(code) for table in reversed(tables) for code, name in table.items()}
    for package in SVG_PACKAGES:
        drawings, own = _icons(folder, package)
        chosen = {code_of[name]: name for name in sorted(drawings) if name in code_of}
        chosen |= {_bare(code): name for code, name in own.items() if name in drawings}
        for code, name in sorted(chosen.items()):
            if code in codes:
                pixels = _on_white(bytes(resvg_py.svg_to_bytes(svg_string=drawings[name])))
                rows.append({"code": code, "vendor": package.vendor, "pixels": pixels})
    return pd.DataFrame(rows).sort_values(["vendor", "code"], ignore_index=True)


def _icons(folder: Path, package: PicturePackage) -> tuple[dict[str, str], dict[str, str]]:
    """Return the drawings of an Iconify package by name as SVG, and its table from code points to names (may be empty)."""
    with tarfile.open(folder / package.file) as archive:
        icons, characters = (json.load(archive.extractfile(f"package/{name}.json")) for name in ("icons", "chars"))  # type: ignore[arg-type]
    drawings = {}
    for name, icon in icons["icons"].items():
        box = [icon.get(key, icons.get(key, default)) for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))]
        drawings[name] = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{SIZE}" height="{SIZE}"'
            f' viewBox="{box[0]} {box[1]} {box[2]} {box[3]}">{icon["body"]}</svg>'
        )
    return drawings, characters


def _on_white(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return np.asarray(white.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _bare(code: str) -> str:
    """Return code points without the selector that asks for an emoji's coloured form, which packages do not write alike."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")
