"""Write a store shard by shard; whatever was finished before a crash is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_sae.fsio import read_json, remove_leftovers, sha256_file, write_json
from mosaic_sae.store.format import FORMAT_VERSION, MANIFEST, read_header, shard_is_good, shard_name, shard_ranges, write_shard


class StoreWriter:
    """One store being written. Shards may be written in any order; the manifest comes last and means complete."""

    def __init__(self, folder: Path, kind: str, fingerprint: str, n_rows: int, shard_rows: int, description: dict[str, Any]) -> None:
        """Prepare a store.

        Args:
            folder: where it goes.
            kind: "tokens", "dense", "activations" or "latents".
            fingerprint: what the numbers depend on.
            n_rows: examples in the whole store.
            shard_rows: examples per shard.
            description: provenance for the manifest; nothing that differs between two runs of the same work.
        """
        self.folder, self.kind, self.fingerprint = folder, kind, fingerprint
        self.ranges = shard_ranges(n_rows, shard_rows)
        self._n_rows, self._shard_rows, self._description = n_rows, shard_rows, description

    @property
    def is_complete(self) -> bool:
        """Whether the manifest is there."""
        return (self.folder / MANIFEST).is_file()

    def missing(self, thorough: bool = True) -> set[int]:
        """Numbers of the shards that are absent or damaged.

        Args:
            thorough: compare the bytes of a complete store with its manifest; False compares their number alone.
        """
        if self.is_complete:
            manifest = read_json(self.folder / MANIFEST)
            bad = {n for n, shard in enumerate(manifest["shards"]) if not self._is_whole(shard, thorough)}
            # A complete store may be cut into other shards than would be made now; its numbers then mean other rows.
            return set(range(len(self.ranges))) if bad and manifest["shard_rows"] != self._shard_rows else bad
        return {n for n, (start, stop) in enumerate(self.ranges) if not shard_is_good(self._path(n), start, stop, self.fingerprint)}

    def write(self, number: int, arrays: dict[str, np.ndarray], counts: dict[str, int]) -> None:
        """Write shard ``number`` atomically; ``counts`` (tokens, nnz, ...) are carried into the manifest."""
        start, stop = self.ranges[number]
        (self.folder / MANIFEST).unlink(missing_ok=True)
        write_shard(self._path(number), arrays, start, stop, self.fingerprint, counts)

    def finish(self) -> None:
        """Write the manifest. All shards must be there."""
        shards = []
        for number, (start, stop) in enumerate(self.ranges):
            path = self._path(number)
            counts = json.loads(read_header(path)["counts"])
            shards.append({
                "file": path.name,
                "start": start,
                "stop": stop,
                "bytes": path.stat().st_size,
                "sha256": sha256_file(path),
                **counts,
            })
        totals = {name: sum(shard[name] for shard in shards) for name in shards[0] if name not in {"file", "start", "stop", "sha256"}}
        remove_leftovers(self.folder)
        named = {shard["file"] for shard in shards}
        for path in self.folder.glob(f"shard-*{Path(shards[0]['file']).suffix}"):
            if path.name not in named:  # of another cut
                path.unlink()
        write_json(
            self.folder / MANIFEST,
            {
                "format": FORMAT_VERSION,
                "kind": self.kind,
                "fingerprint": self.fingerprint,
                "rows": self._n_rows,
                "shard_rows": self._shard_rows,
                "totals": totals,
                "shards": shards,
                "description": self._description,
            },
        )

    def _is_whole(self, shard: dict[str, Any], thorough: bool) -> bool:
        path = self.folder / shard["file"]
        if not path.is_file() or path.stat().st_size != shard["bytes"]:
            return False
        return not thorough or sha256_file(path) == shard["sha256"]

    def _path(self, number: int) -> Path:
        return self.folder / shard_name(number)
