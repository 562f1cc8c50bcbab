"""From a ``sae:`` block, a layer, a width and a site to one SAE. Imports no torch before weights are read."""

from __future__ import annotations

import dataclasses
import difflib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError, unknown_name
from mosaic_sae.sae.formats import FORMATS, SaeFormat
from mosaic_sae.sae.hub import fetch_config, fetch_weights
from mosaic_sae.sae.metadata import check_hook, site_of
from mosaic_sae.sae.paths import fill_path

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder

logger = logging.getLogger(__name__)

PACKAGED_FOLDER = Path(__file__).parent / "packaged"
PACKAGED = "packaged/"
_MOST_LISTED = 8
# Sites of the residual stream, and of what blocks add to it.
_WRITTEN = ("resid_pre", "resid_mid", "resid_post", "mlp_out", "attn_out")


def load_sae(block: SaeBlock, layer: int, width: str | None, site: str) -> SparseAutoencoder:
    """Load the SAE of one layer, width and location; the block's own place is all that is looked at.

    The config is read first: an SAE of another layer or location is refused before its weights are read, and before they are
    downloaded where they are a file of their own.

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
    sae = _with_stated(sae_format.read(folder, name, block.norm_scaling_factor), block)
    centred = block.center_writing_weights or metadata.center_writing_weights
    return _centred(sae, site_of(metadata, site)) if centred else sae


def _with_stated(sae: SparseAutoencoder, block: SaeBlock) -> SparseAutoencoder:
    """Add what the block says: the L0 where the files state none, and the normalisation in place of theirs."""
    if block.l0 is None and block.normalize_activations is None:
        return sae
    return dataclasses.replace(
        sae,
        metadata=dataclasses.replace(sae.metadata, l0=block.l0 if sae.metadata.l0 is None else sae.metadata.l0),
        normalize_activations=block.normalize_activations or sae.normalize_activations,
    )


def _centred(sae: SparseAutoencoder, site: str) -> SparseAutoencoder:
    """Let an SAE of a model with centred writing weights read the model as it is published.

    Centring W_E and every matrix that writes to the residual stream takes the mean over d_model away from what is written
    and from the stream, and changes nothing else: norms take it away as well.
    """
    if site not in _WRITTEN or sae.normalize_activations == "layer_norm":
        return sae
    if sae.normalize_activations not in {"none", "centre"}:
        raise SaeError(
            f"SAE '{sae.metadata.name}' was trained on a model with centred writing weights and is normalised by "
            f"{sae.normalize_activations}, which cannot be read together. Choose an SAE of the model as it is published."
        )
    return dataclasses.replace(sae, normalize_activations="centre")


def locate_sae(block: SaeBlock, layer: int, width: str | None, site: str) -> tuple[Path, str]:
    """Return (folder, name for people), or (file, name) for a format of one file; from the hub only the config file is fetched.

    Raises:
        SaeError: nothing there, or a file of the format is missing.
    """
    sae_format: SaeFormat = FORMATS.load(block.format)
    path = fill_path(block.path, layer, width, site)
    if block.repo:
        return fetch_config(block.repo, path, block.revision, sae_format), f"{block.repo}/{path}"
    if path.startswith(PACKAGED):
        name = path.removeprefix(PACKAGED)
        folder = PACKAGED_FOLDER / name
        if not folder.is_dir():
            present = [found.parent.name for found in PACKAGED_FOLDER.glob(f"*/{sae_format.config_file}")]
            raise SaeError(unknown_name("packaged SAE", name, present))
    else:
        folder = Path(path).expanduser()
        name = _local_name(folder, block.path)
        if sae_format.file_pattern:
            return _the_file(folder, block, layer, sae_format), name
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


def _local_name(folder: Path, template: str) -> str:
    """Name a local SAE by its path from the first part that differs between layers and widths, so that no two share a name."""
    parts = Path(template).parts
    first = next((index for index, part in enumerate(parts) if "{" in part), len(parts) - 1)
    return "/".join(folder.resolve().parts[first - len(parts) :])


def _the_file(path: Path, block: SaeBlock, layer: int, sae_format: SaeFormat) -> Path:
    """Return the file that ``path`` names, or the one in the folder that it names."""
    found = sorted(path.glob(sae_format.file_pattern)) if path.is_dir() else [path]
    if len(found) == 1 and found[0].is_file():
        return found[0]
    if path.is_dir():
        holds = f"holds {len(found)} of them: {', '.join(one.name for one in found[:_MOST_LISTED])}" if found else "holds none"
        raise SaeError(
            f"Format '{block.format}' is one file, {sae_format.file_pattern}, but the folder {path} {holds}. Name the file in sae.path."
        )
    nearby = _nearest_folders(path, sae_format)
    raise SaeError(f"No SAE file {path} (sae.path '{block.path}', layer {layer}).{nearby}")


def _nearest_folders(folder: Path, sae_format: SaeFormat) -> str:
    """List SAE folders near a path that is not one, most similar names first."""
    existing = next((parent for parent in folder.absolute().parents if parent.is_dir()), None)
    if existing is None or existing == Path(existing.anchor):
        return ""
    if sae_format.file_pattern:
        found = [match for depth in ("", "*/") for match in existing.glob(depth + sae_format.file_pattern)]
    else:
        found = [match.parent for depth in ("*", "*/*") for match in existing.glob(f"{depth}/{sae_format.config_file}")]
    kind = "file" if sae_format.file_pattern else "folder"
    if not found:
        return f" {existing} exists, but no SAE {kind} of this format is in it."
    wanted = str(folder.absolute())
    found.sort(key=lambda one: (-difflib.SequenceMatcher(None, wanted, str(one)).ratio(), str(one)))
    listed = ", ".join(str(one) for one in found[:_MOST_LISTED])
    return f" SAE {kind}s nearby: {listed}" + (f" and {len(found) - _MOST_LISTED} more." if len(found) > _MOST_LISTED else ".")
