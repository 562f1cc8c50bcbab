"""From a ``sae:`` block, a layer, a width and a site to one SAE. Imports no torch before weights are read."""

from __future__ import annotations

import difflib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError, unknown_name
from mosaic_sae.sae.formats import FORMATS, SaeFormat
from mosaic_sae.sae.hub import fetch_config, fetch_weights
from mosaic_sae.sae.metadata import check_hook

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder

logger = logging.getLogger(__name__)

PACKAGED_FOLDER = Path(__file__).parent / "packaged"
_PACKAGED = "packaged/"
_MOST_LISTED = 8


def load_sae(block: SaeBlock, layer: int, width: str | None, site: str) -> SparseAutoencoder:
    """Load the SAE of one layer, width and location; the block's own place is all that is looked at.

    The config is read first: an SAE of another layer or location is refused before its weights are read or downloaded.

    Args:
        block: where it is; ``{layer}``, ``{width}`` and ``{site}`` in ``path`` are filled in.
        layer: block of the model, from 0.
        width: as the config spells it, or None.
        site: resid_post, mlp_out or attn_out; an SAE of another site of the same location is taken as well.

    Raises:
        SaeError: nothing there, unreadable, unsupported, not reachable, or trained for another layer or location.
    """
    sae_format: SaeFormat = FORMATS.load(block.format)
    folder, name = locate_sae(block, layer, width, site)
    metadata = sae_format.read_metadata(folder, name)
    check_hook(metadata, layer, site, name)
    if metadata.hook_name is None:
        logger.warning(f"SAE {name} does not say which layer and site it was trained on; it is used at layer {layer}, {site} as asked.")
    if block.repo:
        fetch_weights(block.repo, fill_path(block.path, layer, width, site), folder, sae_format)
    return sae_format.read(folder, name, block.norm_scaling_factor)


def locate_sae(block: SaeBlock, layer: int, width: str | None, site: str) -> tuple[Path, str]:
    """Return (folder, name for people); from the hub only the config file is fetched.

    Raises:
        SaeError: no such folder, or a file of the format is missing in it.
    """
    sae_format: SaeFormat = FORMATS.load(block.format)
    path = fill_path(block.path, layer, width, site)
    if block.repo:
        return fetch_config(block.repo, path, block.revision, sae_format), f"{block.repo}/{path}"
    if path.startswith(_PACKAGED):
        name = path.removeprefix(_PACKAGED)
        folder = PACKAGED_FOLDER / name
        if not folder.is_dir():
            present = [found.parent.name for found in PACKAGED_FOLDER.glob(f"*/{sae_format.config_file}")]
            raise SaeError(unknown_name("packaged SAE", name, present))
    else:
        folder = Path(path).expanduser()
        name = folder.resolve().name
        if not folder.is_dir():
            raise SaeError(f"No SAE folder {folder} (sae.path '{block.path}', layer {layer}).{_nearest_folders(folder, sae_format)}")
    missing = [file for file in (sae_format.config_file, sae_format.weights_file) if not (folder / file).is_file()]
    if missing:
        present = sorted(found.name for found in folder.iterdir())[:_MOST_LISTED]
        raise SaeError(
            f"SAE folder {folder} has no {' and no '.join(missing)}, which format '{block.format}' needs. "
            f"It holds: {', '.join(present) or 'nothing'}.{_nearest_folders(folder, sae_format)}"
        )
    return folder, name


def fill_path(path: str, layer: int, width: str | None, site: str) -> str:
    """Fill ``{layer}``, ``{width}`` and ``{site}`` in.

    Raises:
        SaeError: another placeholder, or ``{width}`` without a width.
    """
    values = {"layer": str(layer), "width": width, "site": site}

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise SaeError(f"sae.path '{path}': {unknown_name('placeholder', match[1], values)}")
        filled = values[match[1]]
        if filled is None:
            raise SaeError(f"sae.path '{path}' has {{width}}, but the model entry lists no widths.")
        return filled

    return re.sub(r"\{(\w*)\}", value, path).rstrip("/")


def _nearest_folders(folder: Path, sae_format: SaeFormat) -> str:
    """List SAE folders near a path that is not one, most similar names first."""
    existing = next((parent for parent in folder.absolute().parents if parent.is_dir()), None)
    if existing is None or existing == Path(existing.anchor):
        return ""
    found = [match.parent for depth in ("*", "*/*") for match in existing.glob(f"{depth}/{sae_format.config_file}")]
    if not found:
        return f" {existing} exists, but no SAE folder is in it."
    wanted = str(folder.absolute())
    found.sort(key=lambda one: (-difflib.SequenceMatcher(None, wanted, str(one)).ratio(), str(one)))
    listed = ", ".join(str(one) for one in found[:_MOST_LISTED])
    return f" SAE folders nearby: {listed}" + (f" and {len(found) - _MOST_LISTED} more." if len(found) > _MOST_LISTED else ".")
