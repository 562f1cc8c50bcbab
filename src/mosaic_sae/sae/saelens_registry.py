"""Look an SAE up in the registry of SAELens, which the extra [saelens] installs. Imports no torch of its own; SAELens does.

Only the registry is asked; the files are fetched and read by our own loaders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import MissingExtra, SaeError, nearest
from mosaic_sae.sae.paths import fill_path

if TYPE_CHECKING:
    from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup

_MOST_LISTED = 8
# SAELens's loader -> our format; None is its own.
_FORMATS = {
    None: "saelens",
    "sae_lens": "saelens",
    "dictionary_learning_1": "dictionary_learning",
    "gemma_2": "gemma_scope",
    "gemma_2_transcoder": "gemma_scope",
    "gemma_3": "gemma_scope_2",
    "llama_scope": "llama_scope",
    "qwen_scope": "qwen_scope",
}


def registry_block(block: SaeBlock, layer: int, width: str | None, site: str) -> SaeBlock:
    """Turn ``release`` and ``sae_id`` into a block with repository, path and format, and with what the registry alone knows.

    Raises:
        MissingExtra: SAELens is not installed.
        SaeError: no such release or id, or one that is not supported.
    """
    release = block.release or ""
    lookup = _lookup(release)
    sae_id = fill_path(block.sae_id or "", layer, width, site, "sae.sae_id")
    if sae_id not in lookup.saes_map:
        known = list(lookup.saes_map)
        more = f" and {len(known) - _MOST_LISTED:,} more" if len(known) > _MOST_LISTED else ""
        raise SaeError(
            f"Release {release} has no SAE '{sae_id}'.{nearest(sae_id, known)} It has: {', '.join(known[:_MOST_LISTED])}{more}. "
            "Change sae.sae_id."
        )
    if lookup.conversion_func not in _FORMATS:
        raise SaeError(
            f"Release {release} is stored in a format of its own ('{lookup.conversion_func}' in SAELens), which MOSAIC does not read. "
            f"It reads: {', '.join(sorted(set(_FORMATS.values())))}. "
            "Save the SAE with SAELens (save_model) and set sae.path to that folder."
        )
    changes: dict[str, Any] = dict(lookup.config_overrides or {})
    return SaeBlock(
        format=_FORMATS[lookup.conversion_func],
        repo=lookup.repo_id,
        path=lookup.saes_map[sae_id],
        norm_scaling_factor=block.norm_scaling_factor or lookup.norm_scaling_factor.get(sae_id),
        normalize_activations=block.normalize_activations or changes.get("normalize_activations"),
        center_writing_weights=bool((changes.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights")),
        # 0 is how the registry says that it does not know.
        l0=block.l0 or lookup.expected_l0[sae_id] or None,
    )


def _lookup(release: str) -> PretrainedSAELookup:
    try:
        from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
    except ModuleNotFoundError as error:
        if error.name != "sae_lens":
            raise
        raise MissingExtra("sae-lens", "saelens", f"sae.release '{release}'") from error
    directory = get_pretrained_saes_directory()
    if release not in directory:
        close = [name for name in directory if release.split("-")[0] in name][:_MOST_LISTED]
        raise SaeError(
            f"SAELens's registry has no release '{release}'.{nearest(release, directory)} It has {len(directory)}"
            + (f", among them: {', '.join(close)}." if close else ".")
        )
    return directory[release]
