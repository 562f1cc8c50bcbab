"""Datasets on the Hugging Face hub, through the ``datasets`` library and its cache."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mosaic_sae.errors import SourceError, nearest
from mosaic_sae.sources.base import Table
from mosaic_sae.sources.saved import choose_split, to_table

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SECONDS_TO_ANSWER = 8.0


def read_hub(name: str, config: str | None, split: str | None, revision: str | None) -> Table:
    """Download a dataset, or read it from the cache of ``datasets`` when the hub cannot be reached.

    The hub is asked once, with a short timeout, before anything is downloaded: without network this fails at once instead
    of after many retries, and the revision is pinned to a commit.

    Raises:
        SourceError: no such dataset, revision, configuration or split; no access; no network and no cached copy.
    """
    if not _NAME.fullmatch(name):
        raise SourceError(
            f"dataset '{name}' is no file or folder here, and no name on the Hugging Face hub could be spelled like that."
            f" Expected a path, 'owner/name', or 'packaged/NAME'."
        )
    info, unreachable = _ask_hub(name, revision)
    if unreachable:
        with _offline():
            data = _load(name, config, split, None, unreachable)
    else:
        data = _load(name, config, split, info.sha, None)
    found = _cached_commit(data)
    if unreachable:
        _check_cached_revision(name, revision, found, unreachable)
        logger.warning(f"{name}: using the copy in the cache (commit {found or 'unknown'}); {unreachable}")
    provenance = {"kind": "hub", "config_name": config, "split": str(data.split), "revision": found or (info.sha if info else None)}
    if info and info.card_data and info.card_data.get("license"):
        provenance["licence"] = info.card_data.get("license")
    return to_table(data, provenance)


def _ask_hub(name: str, revision: str | None) -> tuple[Any, str]:
    """Return (the hub's DatasetInfo, ""), or (None, why the hub cannot be reached).

    Raises:
        SourceError: the hub answers that there is no such dataset or revision, or that access is refused.
    """
    import datasets
    from huggingface_hub import HfApi, constants, errors

    if constants.HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE:
        return None, "offline mode is set (HF_HUB_OFFLINE)"
    try:
        return HfApi().dataset_info(name, revision=revision, timeout=_SECONDS_TO_ANSWER), ""
    except errors.OfflineModeIsEnabled:
        return None, "offline mode is set (HF_HUB_OFFLINE)"
    except errors.GatedRepoError as error:
        raise SourceError(_gated(name)) from error
    except errors.RevisionNotFoundError as error:
        raise SourceError(f"dataset '{name}' has no revision '{revision}' on the Hugging Face hub.") from error
    except errors.RepositoryNotFoundError as error:
        raise SourceError(
            f"dataset '{name}' is no file or folder here, and the Hugging Face hub has no dataset of that name that you may read."
            f" Check the spelling; if it is private, log in first: hf auth login"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status < 500:
            raise SourceError(f"dataset '{name}': the Hugging Face hub answered with status {status}: {error}") from error
        return None, f"the Hugging Face hub answered with status {status}"
    except errors.HTTPError as error:  # of the HTTP library that huggingface_hub uses: no connection, timeout
        return None, f"the Hugging Face hub cannot be reached ({type(error).__name__})"
    except errors.HFValidationError as error:
        raise SourceError(f"dataset '{name}' is no file or folder here and no valid name on the Hugging Face hub: {error}") from error
    except json.JSONDecodeError:
        return None, "something other than the Hugging Face hub answered"


def _gated(name: str) -> str:
    return (
        f"dataset '{name}' is gated: accept its terms on its page on the Hugging Face hub with your account, then log in: hf auth login"
        f" (or set HF_TOKEN)."
    )


def _load(name: str, config: str | None, split: str | None, commit: str | None, unreachable: str | None) -> Any:
    """Load one split. ``unreachable`` says why only the cache can be read, None = it need not."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import GatedRepoError, HTTPError

    try:
        data = datasets.load_dataset(name, name=config, revision=commit)
    except (DatasetsError, OSError, ValueError, RuntimeError, HTTPError) as error:
        if unreachable:
            raise SourceError(_not_cached(name, config, unreachable, str(error))) from error
        if isinstance(error, GatedRepoError) or (isinstance(error, DatasetNotFoundError) and "gated" in str(error)):
            raise SourceError(_gated(name)) from error
        raise SourceError(f"dataset '{name}': {_explained(error, config)}") from error
    return data[choose_split(name, [str(one) for one in data], split)]


def _not_cached(name: str, config: str | None, unreachable: str, detail: str) -> str:
    shown = f"'{name}'" + (f", configuration '{config}'," if config else "")
    cached = f" ({detail.splitlines()[-1]})" if "Available configs" in detail else ""
    return (
        f"dataset {shown} is no file or folder here, and there is no copy of it in the cache{cached}; {unreachable}."
        f" Run once with network, or name a local file or a dataset that ships with MOSAIC (packaged/NAME)."
    )


def _explained(error: Exception, config: str | None) -> str:
    text = str(error).strip()
    listed = re.search(r"(?:available configs|Available|among the available configs): \[(.*?)\]", text, re.DOTALL)
    if listed and ("onfig" in text):
        configs = re.findall(r"'([^']+)'", listed[1])
        if config is None:
            return f"it has several configurations: {', '.join(configs)}. Name one, e.g. config_name: {configs[0]}."
        return f"no configuration '{config}'.{nearest(config, configs)} Configurations: {', '.join(configs)}."
    if "scripts are no longer supported" in text:
        return (
            "it is a loading script, which datasets no longer runs. Use its parquet branch (revision: refs/convert/parquet) if it has one."
        )
    return f"datasets cannot load it: {type(error).__name__}: {' '.join(text.split())[:400]}"


def _cached_commit(data: Any) -> str | None:
    # The cache keeps each version in a folder named by its commit.
    for file in data.cache_files:
        if _COMMIT.fullmatch(Path(file["filename"]).parent.name):
            return Path(file["filename"]).parent.name
    return None


def _check_cached_revision(name: str, revision: str | None, found: str | None, unreachable: str) -> None:
    if revision is None:
        return
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    reference = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="dataset") / "refs" / revision
    wanted = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    if wanted != found:
        raise SourceError(
            f"dataset '{name}': the copy in the cache is of commit {found or 'unknown'}, which need not be revision '{revision}';"
            f" {unreachable}. Run once with network, or remove revision to use the cached copy."
        )


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let ``datasets`` go straight to its cache, without a try at the network."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
