"""Model folders from the Hugging Face hub: the local cache first, and one clear message when a model cannot be had."""

from __future__ import annotations

from pathlib import Path

from mosaic_sae.errors import ModelError


def snapshot(repo: str, revision: str | None, patterns: list[str]) -> Path:
    """Return the local folder of a repository's snapshot, downloading what matches ``patterns`` if it is not cached.

    Args:
        repo: "owner/name".
        revision: commit, tag or branch; None is the default branch.
        patterns: glob patterns of the files that are needed.

    Raises:
        ModelError: offline and not cached, no such repository or revision, or no access to it.
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
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, etag_timeout=5))
    except GatedRepoError as cause:
        raise ModelError(
            f"Access to the model {repo} is gated. Accept its terms on its hub page, then log in with: hf auth login"
        ) from cause
    except RevisionNotFoundError as cause:
        raise ModelError(f"There is no revision '{revision}' of the model {repo}. Check `revision:`.") from cause
    except (RepositoryNotFoundError, HFValidationError) as cause:
        raise ModelError(
            f"There is no hub repository '{repo}', and no local folder of that name. "
            "Check the spelling; for a private repository log in with: hf auth login"
        ) from cause
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as cause:
        raise ModelError(
            f"Cannot get the model {repo}: it is not in the local cache and the hub cannot be reached. "
            f"With network access run: hf download {repo} (it is then found offline), or give a local folder instead."
        ) from cause
