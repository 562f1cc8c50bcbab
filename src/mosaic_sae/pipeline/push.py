"""Upload of a result to the Hugging Face hub: only when asked for, and private."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from mosaic_sae.errors import ConfigError, ModelError

logger = logging.getLogger(__name__)

TOKEN = "HF_TOKEN"


def require_token(repo: str) -> str:
    """Return the token for uploads.

    Raises:
        ConfigError: the environment has none; said before anything is computed.
    """
    token = os.environ.get(TOKEN)
    if not token:
        raise ConfigError(f"push_to is '{repo}', but the environment variable {TOKEN} is not set. Set it, or remove push_to.")
    return token


def push(files: Sequence[Path], repo: str) -> None:
    """Put files into a dataset repository, which is made private when it is new.

    Raises:
        ModelError: the hub cannot be reached or refuses; the files stay here.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        api = HfApi(token=require_token(repo))
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        for file in files:
            api.upload_file(path_or_fileobj=file, path_in_repo=file.name, repo_id=repo, repo_type="dataset")
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise ModelError(f"{files[0]} is written, but could not be uploaded to {repo}: {error}") from error
    logger.info("Uploaded to %s (private)", repo)
