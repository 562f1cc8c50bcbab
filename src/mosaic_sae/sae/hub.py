"""Fetch the files of an SAE from a Hugging Face repository: the local cache first, the network only for what is missing.

File by file, not as a snapshot: releases hold thousands of SAEs, and the small config decides whether the weights are wanted.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats import SaeFormat

_SECONDS_TO_ANSWER = 5


def fetch_config(repo: str, subfolder: str, revision: str | None, sae_format: SaeFormat) -> Path:
    """Return the folder that holds the SAE's config file, or the one file that is the SAE; the weights need not be there yet.

    Raises:
        SaeError: not cached and not reachable, no such repository, revision or file, or no access.
    """
    fetched = _fetch(repo, subfolder, sae_format.config_file, revision)
    return (fetched, *fetched.parents)[len(PurePosixPath(sae_format.config_file).parts)]


def fetch_weights(repo: str, subfolder: str, folder: Path, sae_format: SaeFormat) -> None:
    """Put the weights beside a config file that ``fetch_config`` returned, from the same commit.

    Raises:
        SaeError: as ``fetch_config``.
    """
    # The cache keeps a commit's files under snapshots/COMMIT/; a branch may have moved since the config was fetched.
    commit = (folder, *folder.parents)[len(PurePosixPath(subfolder).parts)].name
    _fetch(repo, subfolder, sae_format.weights_file, commit)


def _fetch(repo: str, subfolder: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    filename = str(PurePosixPath(subfolder) / file)
    try:
        return Path(hf_hub_download(repo, filename, revision=revision, local_files_only=True))
    except HFValidationError as error:
        raise SaeError(f"sae.repo '{repo}' is no Hugging Face repository name (owner/name): {error}") from error
    except LocalEntryNotFoundError:
        return _download(repo, filename, revision)


def _download(repo: str, filename: str, revision: str | None) -> Path:
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        # One question first: the download itself would retry for half a minute when there is no network.
        get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision), timeout=_SECONDS_TO_ANSWER)
        return Path(hf_hub_download(repo, filename, revision=revision))
    except (errors.HTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        at = f"{repo}/{filename}" + (f" at revision {revision}" if revision else "")
        raise SaeError(f"Cannot get the SAE {at}: {_reason(error, repo, filename, revision)}.") from error


def _reason(error: Exception, repo: str, filename: str, revision: str | None) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"repository {repo} is gated. Accept its terms on its page, then log in with: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no repository {repo}, or it is private. Check sae.repo; for a private one log in with: hf auth login"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"repository {repo} has no revision '{revision}'. Check sae.revision"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"repository {repo} has no file {filename}. Check sae.path, a folder (or the SAE's one file) inside it, and sae.format"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub answered with an error: {error}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "it is not in the local cache, and offline mode is set (HF_HUB_OFFLINE). Run once without, or set sae.path to a local folder"
    if isinstance(error, errors.HTTPError | errors.LocalEntryNotFoundError):
        return (
            f"it is not in the local cache, and the hub cannot be reached ({type(error).__name__}). "
            "Run once with network, or set sae.path to a local folder"
        )
    return f"the download failed: {error}"
