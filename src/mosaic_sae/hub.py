"""Folders from the Hugging Face hub: the local cache first, and one clear message when it cannot be had."""

from __future__ import annotations

from pathlib import Path

from mosaic_sae.errors import MosaicError


def snapshot(
    repo: str, revision: str | None, patterns: list[str], *, what: str, error: type[MosaicError], repo_type: str = "model"
) -> Path:
    """Return the local folder of a hub repository's snapshot, downloading what matches ``patterns`` if it is not cached.

    Args:
        repo: "owner/name".
        revision: commit, tag or branch; None is the default branch.
        patterns: glob patterns of the files that are needed.
        what: how messages call it, e.g. "the model google/gemma-2b".
        error: class to raise.
        repo_type: "model" or "dataset".

    Raises:
        MosaicError: (as ``error``) offline and not cached, no such repository or revision, or no access to it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(repo, repo_type=repo_type, revision=revision, allow_patterns=patterns, etag_timeout=5))
    except GatedRepoError as cause:
        raise error(f"Access to {what} is gated. Accept its terms on its hub page, then log in with: hf auth login") from cause
    except RevisionNotFoundError as cause:
        raise error(f"There is no revision '{revision}' of {what}. Check `revision:`.") from cause
    except (RepositoryNotFoundError, HFValidationError) as cause:
        raise error(
            f"There is no hub repository '{repo}' ({what}), and no local folder of that name. "
            "Check the spelling; for a private repository log in with: hf auth login"
        ) from cause
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as cause:
        raise error(
            f"Cannot get {what}: it is not in the local cache and the hub cannot be reached. "
            f"With network access run: hf download {repo} (it is then found offline), or give a local folder instead."
        ) from cause
