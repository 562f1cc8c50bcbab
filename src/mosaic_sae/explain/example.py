"""Explain the decision of one point on one example, from what is on disk: no model, no classifier, one row of each store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mosaic_sae.errors import ProbeError, StoreError, unknown_name
from mosaic_sae.explain.cards import card_of, evidence_path, summary
from mosaic_sae.explain.decision import Features, LinearDecision, TreeDecision, load_decision
from mosaic_sae.explain.evidence import read_evidence, stores_of
from mosaic_sae.explain.explanation import Explanation, LatentPart, Step, Token, named
from mosaic_sae.explain.names import read_names, with_names
from mosaic_sae.explain.questions import answers, question
from mosaic_sae.explain.rows import read_example
from mosaic_sae.features.binarise import binarise
from mosaic_sae.features.pooling import pool
from mosaic_sae.features.shares import token_shares
from mosaic_sae.fsio import read_json
from mosaic_sae.probes.save import PREDICTIONS
from mosaic_sae.store.format import TokenLatents
from mosaic_sae.store.reader import LatentStore, TokenStore

MOST_LATENTS = 20


def explain_example(base: Path, folder: Path, example: str | int, about: str | None = None, most: int = MOST_LATENTS) -> Explanation:
    """Explain one decision.

    Logistic probes are linear in the features, so a latent's contribution is weight / scale x feature and all of them with
    the bias are the logit. Trees: what a question adds to the share of a class is the difference of the shares below and
    above it (Saabas, "Interpreting random forests", 2014, for one tree); with the share at the root they are that at the leaf.

    Args:
        base: folder of results (``base_classify_dir``).
        folder: of the point.
        example: an example's id, or the number of its row.
        about: class whose decision is explained; None = the predicted one.
        most: most latents listed.

    Raises:
        MosaicError: no such example or class, or a point that is not on SAE latents.
        StoreError: the stores are gone or of other rows.
    """
    point = read_json(folder / "point.json")
    evidence = _evidence(base, point)
    stores = stores_of(base, point, evidence)
    probe = load_decision(folder, point)
    found = read_example(stores.examples, example)
    latents = LatentStore(stores.latents)
    tokens = _token_store(stores.tokens)
    if latents.n_rows != tokens.n_rows:
        raise StoreError(f"{stores.latents} has {latents.n_rows} rows, {stores.tokens} {tokens.n_rows}; they must be the same rows.")
    row = latents.row(found.row)
    key = point["key"]
    features = _features(row, key)
    probabilities = probe.probabilities(features)
    predicted = probe.classes[int(probabilities.argmax())]
    if about is not None and about not in probe.classes:
        raise ProbeError(unknown_name("class", about, probe.classes))
    target = probe.classes.index(about or predicted)

    def words(latent: int) -> str:
        return summary(card_of(evidence, latent))

    if isinstance(probe, LinearDecision):
        asked, contributions = probe.coefficients.latents.astype(np.int64), probe.contributions(features)[target]
        bias, path = float(probe.bias[target]), []
    else:
        asked, contributions, bias = _tree_contributions(probe, features, target)
        path = _steps(probe, features, key, words)
    asked, contributions = _strongest(asked, contributions, isinstance(probe, TreeDecision))
    parts = _token_parts(row, key, asked, contributions)
    places = row.positions.astype(np.int64)
    return Explanation(
        point=point["fingerprint"],
        key=key,
        id=found.id,
        row=found.row,
        text=found.text,
        label=found.label,
        language=found.language,
        in_test=_is_in_test(folder, found.id),
        kind=key["classifier"],
        classes=probe.classes,
        probabilities=named(probe.classes, probabilities),
        predicted=predicted,
        about=probe.classes[target],
        bias=bias,
        decision=bias + float(contributions.sum()),
        latents=[
            LatentPart(
                latent=latent,
                value=float(features.of(np.array([latent]))[0]),
                contribution=float(contribution),
                words=words(latent),
                without=named(probe.classes, probe.probabilities(features.without([latent]))),
                tokens=_of_latent(row, parts, latent, places),
            )
            for latent, contribution in zip(asked[:most].tolist(), contributions[:most], strict=True)
        ],
        others={"n": len(asked[most:]), "contribution": float(contributions[most:].sum())},
        tokens=_tokens(tokens.pieces(found.row), row, parts, places),
        path=path,
        _probe=probe,
        _features=features,
    )


def _features(row: TokenLatents, key: Mapping[str, Any]) -> Features:
    pooled = binarise(pool(row, key["pooling"]), key["binarise"])
    return Features(pooled.indices.astype(np.int64), pooled.data)


def _evidence(base: Path, point: Mapping[str, Any]) -> dict[str, Any] | None:
    path = evidence_path(base, point)
    saved = _saved(path, path.stat().st_mtime_ns) if path else None
    return with_names(saved, read_names(base, saved["sae"])) if saved else None


# One example needs little of these files, and the next one little else.
@lru_cache(maxsize=4)
def _saved(path: Path, version: int) -> dict[str, Any] | None:  # noqa: ARG001
    return read_evidence(path)


@lru_cache(maxsize=4)
def _token_store(folder: Path) -> TokenStore:
    return TokenStore(folder)


def _tree_contributions(tree: TreeDecision, features: Features, target: int) -> tuple[np.ndarray, np.ndarray, float]:
    path = tree.path(features)
    shares = np.array([tree.shares(node)[target] for node in path])
    asked, place = np.unique([tree.nodes[node]["latent"] for node in path[:-1]], return_inverse=True)
    return asked.astype(np.int64), np.bincount(place, weights=np.diff(shares), minlength=len(asked)), float(shares[0])


def _steps(tree: TreeDecision, features: Features, key: Mapping[str, Any], words: Callable[[int], str]) -> list[Step]:
    steps = []
    path = tree.path(features)
    for place, number in enumerate(path):
        node = tree.nodes[number]
        latent, cut = node["latent"], node["threshold"]
        is_leaf = latent is None
        went_right = not is_leaf and path[place + 1] == node["right"]
        steps.append(
            Step(
                node=number,
                latent=latent,
                question="" if is_leaf else question(latent, key["pooling"], key["binarise"], cut),
                answer="" if is_leaf else answers(key["binarise"], cut)[went_right],
                value=None if is_leaf else float(features.of(np.array([latent]))[0]),
                threshold=cut,
                words="" if is_leaf else words(latent),
                n=int(node["n"]),
                shares=named(tree.classes, tree.shares(number)),
            )
        )
    return steps


def _strongest(latents: np.ndarray, contributions: np.ndarray, keep_all: bool) -> tuple[np.ndarray, np.ndarray]:
    """Put the largest |contribution| first; a logistic probe's silent latents, which add nothing, are left out."""
    order = np.argsort(-np.abs(contributions), kind="stable")
    order = order if keep_all else order[contributions[order] != 0]
    return latents[order], contributions[order]


def _token_parts(row: TokenLatents, key: Mapping[str, Any], latents: np.ndarray, contributions: np.ndarray) -> np.ndarray:
    """Return what each (token, latent) pair of a row carries of the contributions: float64 [nnz]."""
    of_latent = np.zeros(row.d_sae)
    of_latent[latents] = contributions
    return token_shares(row, key["pooling"], key["binarise"]) * of_latent[row.indices]


def _of_latent(row: TokenLatents, parts: np.ndarray, latent: int, places: np.ndarray) -> list[tuple[int, float]]:
    pairs = np.flatnonzero((row.indices == latent) & (parts != 0))
    token = np.searchsorted(row.token_offsets, pairs, side="right") - 1
    return list(zip(places[token].tolist(), parts[pairs].tolist(), strict=True))


def _tokens(pieces: list[str], row: TokenLatents, parts: np.ndarray, places: np.ndarray) -> list[Token]:
    token = np.repeat(np.arange(row.n_tokens), np.diff(row.token_offsets))
    carried = np.zeros(len(pieces))
    carried[places] = np.bincount(token, weights=parts, minlength=row.n_tokens)
    counts = np.zeros(len(pieces), dtype=bool)
    counts[places] = True
    return [Token(*cells) for cells in zip(pieces, counts.tolist(), carried.tolist(), strict=True)]


def _is_in_test(folder: Path, example: str) -> bool:
    ids = pq.read_table(folder / PREDICTIONS, columns=["id"]).column("id")
    return pc.index(ids, pa.scalar(example, ids.type)).as_py() >= 0
