"""Fetch the names of an SAE's latents from Neuronpedia's public exports, once.

The exports (docs.neuronpedia.org/api-and-data/exports) are gzipped JSON Lines, ``v1/MODEL/SOURCE/explanations/batch-N.jsonl.gz``, in a
public S3 bucket; the site's own export endpoint has been removed.
"""

from __future__ import annotations

import gzip
import re
import urllib.error
import urllib.parse
import urllib.request
from xml.etree import ElementTree

from mosaic_sae.errors import MosaicError
from mosaic_sae.explain.cards import Name
from mosaic_sae.explain.name_files import check_range, name_of_row, parse_rows

EXPORTS = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com"
_TIMEOUT_S = 30
_NAMESPACE = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}


def fetch_names(source: str, d_sae: int, exports: str = EXPORTS) -> dict[int, Name]:
    """Download all names of a source.

    Args:
        source: "MODEL/SOURCE" as in the site's addresses, e.g. "gemma-2-2b/12-gemmascope-res-16k".
        d_sae: number of latents of the SAE that they name.
        exports: address of the bucket.

    Returns:
        By latent, with links; where a latent has several, the first one.

    Raises:
        MosaicError: the network cannot be reached, there is no such source, or its latents are not those of the SAE.
    """
    keys = _listed(source, exports)
    if not keys:
        raise MosaicError(
            f"Neuronpedia has no exported names of '{source}' (looked under v1/{source}/explanations/). "
            "models.names.neuronpedia is MODEL/SOURCE as in the site's addresses, e.g. gemma-2-2b/12-gemmascope-res-16k."
        )
    names: dict[int, Name] = {}
    for key in keys:
        text = gzip.decompress(_get(f"{exports}/{urllib.parse.quote(key)}", source)).decode("utf-8")
        for row in parse_rows(text):
            found = name_of_row(row, f"Neuronpedia {source}", source)
            if found is not None:
                names.setdefault(*found)
    check_range(names, d_sae, f"Neuronpedia's {source}")
    return names


def _listed(source: str, exports: str) -> list[str]:
    """Names of the source's batches, by number."""
    keys: list[str] = []
    after = ""
    while True:
        query = {"list-type": "2", "prefix": f"v1/{source}/explanations/", **({"continuation-token": after} if after else {})}
        root = ElementTree.fromstring(_get(f"{exports}/?{urllib.parse.urlencode(query)}", source))
        keys += [key.text or "" for key in root.findall("s3:Contents/s3:Key", _NAMESPACE)]
        after = root.findtext("s3:NextContinuationToken", "", _NAMESPACE)
        if not after:
            break
    batches = [key for key in keys if key.endswith(".jsonl.gz")]
    return sorted(batches, key=lambda key: [int(digits) for digits in re.findall(r"\d+", key.rpartition("/")[2])])


def _get(url: str, source: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            return response.read()
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise MosaicError(
            f"Cannot fetch the names of '{source}' from Neuronpedia: {reason} ({url.partition('?')[0]}). "
            "Without network, download its explanations elsewhere and name the file in models.names.file, or set models.names.fetch: false."
        ) from error
