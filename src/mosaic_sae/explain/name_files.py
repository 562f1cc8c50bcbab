"""Read names of latents from a file: JSON, JSON Lines or CSV of index and text, or a Neuronpedia export."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mosaic_sae.errors import MosaicError
from mosaic_sae.explain.cards import Name
from mosaic_sae.explain.names import neuronpedia_url

INDEX_KEYS = ("index", "latent", "feature")
TEXT_KEYS = ("description", "name", "text", "label", "explanation")
_FORMATS = (".json", ".jsonl", ".csv", ".tsv")
_SHAPES = (
    'Expected a JSON object {"17": "text"}, or rows (JSON list, JSON Lines, CSV) with an index '
    f"({', '.join(INDEX_KEYS)}) and a text ({', '.join(TEXT_KEYS)})."
)


def read_name_file(path: Path, d_sae: int, source: str | None = None) -> dict[int, Name]:
    """Read names from a file, or from all files of a folder (the batches of a Neuronpedia export).

    Args:
        path: ``.json``, ``.jsonl``, ``.csv``, ``.tsv``, each also with ``.gz``; or a folder of such.
        d_sae: number of latents of the SAE that they name.
        source: "MODEL/SOURCE" on Neuronpedia where the rows do not say it; gives links.

    Returns:
        By latent. Where a latent has several texts, the first one, as in an export with explanations by several models.

    Raises:
        MosaicError: there is no such file, it cannot be read, or it names latents that the SAE does not have.
    """
    if not path.exists():
        raise MosaicError(f"Names of latents: there is no file {path}. Change models.names.file.")
    files = sorted(file for file in path.iterdir() if _format_of(file)) if path.is_dir() else [path]
    if not files:
        raise MosaicError(f"Names of latents: the folder {path} holds no {', '.join(_FORMATS)} files (or the same with .gz).")
    names: dict[int, Name] = {}
    for file in files:
        for number, row in enumerate(_rows(file), start=1):
            latent, name = _name(row, f"{file}, entry {number}", file.name, source)
            names.setdefault(latent, name)
    check_range(names, d_sae, str(path))
    return names


def check_range(names: Iterable[int], d_sae: int, where: str) -> None:
    """Refuse names of latents that an SAE does not have: they are those of another one.

    Raises:
        MosaicError: some index is not in 0..d_sae-1.
    """
    outside = sorted(latent for latent in names if not 0 <= latent < d_sae)
    if outside:
        raise MosaicError(
            f"Names of latents: {where} names latent {outside[0]}, but the SAE has {d_sae:,} latents (0 to {d_sae - 1}). "
            "The names are those of another SAE; change models.names."
        )


def parse_rows(text: str) -> list[Mapping[str, Any]]:
    """Read JSON Lines, as Neuronpedia exports them."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def name_of_row(row: Mapping[str, Any], file_name: str, source: str | None) -> tuple[int, Name] | None:
    """Read one row: (latent, name); None when it is of another shape."""
    index = next((row[key] for key in INDEX_KEYS if row.get(key) not in {None, ""}), None)
    text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)
    try:
        latent = int(str(index))
    except ValueError:
        return None
    if text is None:
        return None
    if "modelId" in row and "layer" in row:
        source = f"{row['modelId']}/{row['layer']}"
    url = neuronpedia_url(source, latent) if source else None
    return latent, {"text": text.strip(), "source": f"Neuronpedia {source}" if source else file_name, "url": url, "score": None}


def _name(row: Mapping[str, Any], where: str, file_name: str, source: str | None) -> tuple[int, Name]:
    found = name_of_row(row, file_name, source)
    if found is None:
        raise MosaicError(f"Names of latents: {where} is {_cut(row)}. {_SHAPES}")
    return found


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    kind = _format_of(path)
    if kind is None:
        raise MosaicError(f"Names of latents: {path} must end in one of {', '.join(_FORMATS)}, or the same with .gz.")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode("utf-8-sig")
        if kind in {".csv", ".tsv"}:
            yield from csv.DictReader(io.StringIO(text, newline=""), delimiter="," if kind == ".csv" else "\t")
            return
        content = parse_rows(text) if kind == ".jsonl" else json.loads(text)
    except (OSError, ValueError, EOFError) as error:
        raise MosaicError(f"Names of latents: {path} cannot be read as {kind[1:]}: {error}") from error
    if isinstance(content, dict):
        # {"17": "text"}
        content = [{"index": index, "text": words} for index, words in content.items()]
    for row in content if isinstance(content, list) else [content]:
        yield row if isinstance(row, dict) else {"value": row}


def _format_of(path: Path) -> str | None:
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return suffix if suffix in _FORMATS else None


def _cut(row: Mapping[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else text[:119] + "…"
