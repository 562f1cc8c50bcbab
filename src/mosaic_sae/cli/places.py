"""Find runs and points in a folder of results."""

from __future__ import annotations

from pathlib import Path

from mosaic_sae.errors import MosaicError, nearest

RUN_FILE, POINT_FILE = "run.json", "point.json"


def run_folders(results: Path) -> list[Path]:
    """Return the folders of all runs, the newest last."""
    return [file.parent for file in sorted(results.glob(f"*/{RUN_FILE}"), key=lambda file: file.stat().st_mtime)]


def results_folder(inside: Path) -> Path:
    """Return the folder of results that a run or a point belongs to."""
    points = next((parent for parent in inside.parents if parent.name == "points"), None)
    return points.parent if points else inside.parent


def find_run(name: str, results: Path) -> Path:
    """Return the folder of a run given by name or by path.

    Raises:
        MosaicError: there is no such run.
    """
    for folder in (Path(name), results / name):
        if (folder / RUN_FILE).is_file():
            return folder
    raise MosaicError(f"There is no run '{name}'. {_existing(name, results)}")


def find_run_or_point(name: str, results: Path) -> Path:
    """Return the folder of a run (name or path) or of a point (path, or the first digits of its fingerprint).

    Raises:
        MosaicError: nothing fits, or several points do.
    """
    path = Path(name)
    if (path / POINT_FILE).is_file():
        return path
    if path.name in (POINT_FILE, RUN_FILE) and path.is_file():
        return path.parent
    for folder in (path, results / name):
        if (folder / RUN_FILE).is_file():
            return folder
    found = _points_by_fingerprint(name, results) if len(name) >= 4 and all(letter in "0123456789abcdef" for letter in name) else []
    if len(found) > 1:
        raise MosaicError(f"{len(found)} points begin with {name}; give more digits: {', '.join(_fingerprint(item) for item in found[:5])}")
    if not found:
        raise MosaicError(f"There is no run or point '{name}'. {_existing(name, results)}")
    return found[0]


def _points_by_fingerprint(digits: str, results: Path) -> list[Path]:
    return sorted(file.parent for file in (results / "points").rglob(POINT_FILE) if _fingerprint(file.parent).startswith(digits))


def _fingerprint(point_folder: Path) -> str:
    return point_folder.name.rpartition("-")[2]


def _existing(name: str, results: Path) -> str:
    names = [folder.name for folder in run_folders(results)]
    if not names:
        return f"{results} holds no runs yet. Make one: mosaic run default"
    return f"Runs in {results}: {', '.join(names)}.{nearest(name, names)} Another folder: --results FOLDER"
