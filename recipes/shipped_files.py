"""Make the files of a packaged dataset from pinned downloads, or check that they come out as shipped."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from make_data import OUT

from mosaic_sae.fsio import sha256_file


class Download(Protocol):
    """One pinned upstream package."""

    @property
    def file(self) -> str:
        """File name of the download."""

    @property
    def sha256(self) -> str:
        """What its bytes hash to."""

    @property
    def fetch(self) -> str:
        """Command that downloads it."""


def make_or_check(description: str | None, downloads: Sequence[Download], write: Callable[[Path, Path], None]) -> None:
    """Read the command line, verify the downloads, and let ``write(folder, out)`` make the files."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with the downloads")
    parser.add_argument("--check", action="store_true", help="compare with the shipped files instead of writing")
    arguments = parser.parse_args()
    for download in downloads:
        path = arguments.folder / download.file
        if not path.exists():
            raise SystemExit(f"{path} is missing; download it with: {download.fetch}")
        if (found := sha256_file(path)) != download.sha256:
            raise SystemExit(f"{path}: SHA-256 is {found}, expected {download.sha256}")
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) if arguments.check else OUT
        write(arguments.folder, out)
        if arguments.check:
            different = [file.name for file in sorted(out.iterdir()) if file.read_bytes() != (OUT / file.name).read_bytes()]
            if different:
                raise SystemExit(
                    f"not as shipped: {', '.join(different)} (the card names the versions to use; here pyarrow {pa.__version__})"
                )
            print("all files are as shipped")
