"""Make the packaged dataset ``emoji_pictures``: each emoji once by its English name and once by its picture.

    npm pack cldr-annotations-full@48.2.0 unicode-emoji-json@0.9.0 emoji-datasource-google@16.0.0
    python recipes/make_emoji_pictures.py FOLDER             write the files that ship with the package
    python recipes/make_emoji_pictures.py FOLDER --check     write nothing; fail unless they come out byte for byte

FOLDER holds the downloads; their SHA-256 is pinned, and nothing of theirs is installed or executed.
The bytes of the file depend on the versions of pyarrow and Pillow, which the card records.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
import pyarrow.parquet as pq
from make_data import TEST_SHARE, share
from make_emoji_names import CLDR, GROUPS, Archive, emoji_rows
from PIL import Image
from shipped_files import make_or_check

from mosaic_sae.fsio import sha256_file, write_json, write_text, write_with
from mosaic_sae.sources.images import Picture, open_picture

NAME, SAME_SPLIT_AS = "emoji_pictures", "emoji_names"
SIZE, N_COLOURS = 64, 128
# The package states MIT for its code and Apache-2.0 for Google's pictures.
PICTURES = Archive("emoji-datasource-google", "16.0.0", "Apache-2.0", "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438")
NOTICE = f"""The pictures in {NAME}.parquet are emoji of Google's Noto Emoji font (Copyright 2013 Google LLC), licensed under the
Apache License, Version 2.0, which follows. They were changed: put on a white ground and reduced to {N_COLOURS} colours."""
CARD: dict[str, Any] = {
    "title": "Emoji by name and by picture, by Unicode group",
    "how": [
        "Two rows for each emoji: text is CLDR's short name in English, image its picture in Google's Noto Emoji font; label is its"
        " Unicode group, emoji_id what the two rows have in common.",
        f"Pictures are PNG files of {SIZE} x {SIZE} pixels, put on white and reduced to {N_COLOURS} colours.",
        "Flags are left out, because their names are those of countries; so is an emoji without a name in English or without a picture.",
        "Pictures that emoji of different groups share are left out with their names; of those of one group the first stays.",
        f"family and split are those of {SAME_SPLIT_AS}: emoji with similar names, as man and woman factory worker, are one family.",
        "Rows are in the order of a hash of their ids, so that the head of the file is a fair sample.",
    ],
    "known_problems": [
        "Names are one to five words long, and some groups are conventions: is a globe with meridians a place or a symbol?",
        "Pictures of one group have one style (yellow faces, blue squares with white arrows): pixels alone tell much.",
        "Some pictures show letters or digits that their names spell (ABC, keycaps).",
    ],
}


def picture_rows(folder: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the rows (id, text, image, label, language, emoji_id, family, emoji) and how many emoji were read, left out and kept."""
    named, _ = emoji_rows(folder)
    pictures = _pictures(folder)
    emoji = [
        row | {"emoji_id": row["id"].removesuffix("/en"), "image": pictures[_key(row["id"].removesuffix("/en"))]}
        for row in named
        if row["language"] == "en" and _key(row["id"].removesuffix("/en")) in pictures
    ]
    labels, first = defaultdict(set), dict[str, dict[str, Any]]()
    for row in emoji:
        labels[_digest(row)].add(row["label"])
    agreed = [row for row in emoji if len(labels[_digest(row)]) == 1]
    for row in sorted(agreed, key=lambda row: row["id"]):
        first.setdefault(_digest(row), row)
    counts = {"read": len(emoji), "conflicting": len(emoji) - len(agreed), "duplicates": len(agreed) - len(first), "kept": len(first)}
    rows = [
        row | {"id": f"{row['emoji_id']}/{kind}", "text": row["text"] if kind == "name" else None, "image": image}
        for row in first.values()
        for kind, image in (("name", None), ("picture", row["image"]))
    ]
    return sorted(rows, key=lambda row: share(row["id"])), counts


def _pictures(folder: Path) -> dict[str, bytes]:
    """Pictures by the code points of their emoji."""
    files: dict[str, bytes] = {}
    with tarfile.open(folder / PICTURES.file) as archive:
        for member in archive:
            if member.name.startswith("package/img/google/64/") and (handle := archive.extractfile(member)):
                files[Path(member.name).name] = handle.read()
            elif member.name == "package/emoji.json" and (handle := archive.extractfile(member)):
                known = json.load(handle)
    return {_key(one["unified"]): _png(files[one["image"]]) for one in known if one["has_img_google"]}


def _key(codes: str) -> str:
    """Code points without the selector that asks for the coloured form, which the packages do not write alike."""
    return "-".join(part.lstrip("0") for part in codes.lower().split("-") if part != "fe0f")


def _png(data: bytes) -> bytes:
    image = open_picture(Picture(data))
    if image.size != (SIZE, SIZE):
        raise SystemExit(f"a picture of {image.size} pixels; {SIZE} x {SIZE} were expected")
    file = io.BytesIO()
    image.quantize(N_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _digest(row: dict[str, Any]) -> str:
    return hashlib.sha256(row["image"]).hexdigest()


def write(folder: Path, out: Path) -> None:
    """Write the table, its card and the licences."""
    rows, counts = picture_rows(folder)
    for row in rows:
        row["split"] = "test" if share(f"{SAME_SPLIT_AS}:{row['family']}") < TEST_SHARE else "train"
    columns = ["id", "text", "image", "label", "language", "split", "emoji_id", "family", "emoji"]
    schema = pa.schema([(name, pa.binary() if name == "image" else pa.string()) for name in columns])
    table = pa.Table.from_pylist(rows, schema)
    path = out / f"{NAME}.parquet"
    write_with(path, lambda temporary: pq.write_table(table, temporary, compression="zstd", compression_level=19))
    notices = [f"The texts, labels and pictures of {NAME}.parquet come from the packages below.\n"]
    for archive in (CLDR, GROUPS, PICTURES):
        text = archive.read(folder, "LICENSE").decode("utf-8").strip()
        notices.append(f"{'=' * 100}\n{archive.package} {archive.version} ({archive.licence})\n{'=' * 100}\n\n{text}\n")
    notices.append("unicode-emoji-json takes the groups from Unicode's emoji-test.txt, which is under the first of these licences.\n")
    notices.append(f"{NOTICE}\n\n{(Path(__file__).parent / 'Apache-2.0.txt').read_text(encoding='utf-8').strip()}")
    write_text(out / f"{NAME}.LICENSES.txt", "\n".join(line.rstrip() for line in "\n".join(notices).splitlines()) + "\n")
    card = CARD | {
        "schema": 1,
        "name": NAME,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
        "made_by": "recipes/make_emoji_pictures.py",
        "made_with": f"pyarrow {pa.__version__}, Pillow {PIL.__version__}",
        "emoji": counts,
        "labels": dict(Counter(row["label"] for row in rows)),
        "splits": dict(sorted(Counter(f"{row['split']}/{row['label']}" for row in rows).items())),
        "families": len({row["family"] for row in rows}),
        "licence": "Apache-2.0 (pictures), MIT and Unicode-3.0",
        "notices": f"{NAME}.LICENSES.txt",
        "upstream": [
            {"package": one.package, "version": one.version, "archive": one.file, "sha256": one.sha256, "licence": one.licence}
            for one in (CLDR, GROUPS, PICTURES)
        ],
    }
    write_json(out / f"{NAME}.json", card)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {counts}")


if __name__ == "__main__":
    make_or_check(__doc__, (CLDR, GROUPS, PICTURES), write)
