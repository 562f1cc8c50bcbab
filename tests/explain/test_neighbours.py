"""Nearest latents against a plain loop over all pairs."""

import numpy as np
import pytest

from mosaic_sae.explain import neighbours
from mosaic_sae.explain.neighbours import nearest_by_co_activation, nearest_by_decoder
from store_folders import write_stores


def test_decoder_directions_by_hand():
    # Directions in the plane at 0, 10, 95 and 190 degrees, of different lengths, and one that is 0.
    angles = np.radians([0, 10, 95, 190])
    w_dec = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1.0], [5.0], [2.0], [9.0]])
    w_dec = np.concatenate([w_dec, np.zeros((1, 2))]).astype(np.float32)
    near = nearest_by_decoder(w_dec, [0, 2, 4])
    assert [one["latent"] for one in near[0]] == [1]  # the cosines of 95 and 190 degrees are below 0
    assert near[0][0]["similarity"] == pytest.approx(np.cos(np.radians(10)), abs=1e-5)
    # 85 degrees to the one at 10, 95 to those at 0 and 190.
    assert [(one["latent"], one["similarity"]) for one in near[1]] == [(1, pytest.approx(np.cos(np.radians(85)), abs=1e-5))]
    assert near[2] == []


@pytest.mark.parametrize("table", [1, 40, 10**6])
def test_decoder_blocks_change_nothing(monkeypatch, table):
    monkeypatch.setattr(neighbours, "_TABLE", table)
    w_dec = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    unit = w_dec / np.linalg.norm(w_dec, axis=1, keepdims=True)
    cosine = unit @ unit.T
    for latent, near in zip([3, 17, 29], nearest_by_decoder(w_dec, [3, 17, 29]), strict=True):
        order = [other for other in np.argsort(-cosine[latent]) if other != latent][:5]
        assert [one["latent"] for one in near] == order
        assert [one["similarity"] for one in near] == pytest.approx(cosine[latent][order].tolist(), abs=1e-5)


@pytest.mark.parametrize("table", [1, 25, 10**6])
@pytest.mark.parametrize("shard_rows", [1, 3, 20])
def test_co_activation_is_the_jaccard_index_of_tokens(tmp_path, monkeypatch, table, shard_rows):
    monkeypatch.setattr(neighbours, "_TABLE", table)
    draw = np.random.default_rng(1)
    rows = [
        [(place, {int(j): 1.0 for j in np.flatnonzero(draw.random(12) < 0.3)}) for place in range(draw.integers(0, 6))] for _ in range(20)
    ]
    store, _ = write_stores(tmp_path, rows, [list(range(6))] * 20, 12, shard_rows)
    fires = [
        {number for number, (_, found) in enumerate(token for row in rows for token in row) if latent in found} for latent in range(12)
    ]
    for latent, near in zip([0, 5, 11], nearest_by_co_activation(store, [0, 5, 11]), strict=True):
        jaccard = {other: len(fires[latent] & fires[other]) / len(fires[latent] | fires[other]) for other in range(12) if other != latent}
        order = sorted(jaccard, key=lambda other: (-jaccard[other], other))[:5]
        assert sorted(jaccard[one["latent"]] for one in near) == pytest.approx(sorted(jaccard[other] for other in order))
        assert [one["similarity"] for one in near] == pytest.approx([jaccard[one["latent"]] for one in near], abs=1e-6)
        assert [one["similarity"] for one in near] == sorted((one["similarity"] for one in near), reverse=True)


def test_a_silent_latent_is_near_to_none(tmp_path):
    store, _ = write_stores(tmp_path, [[(0, {0: 1.0, 1: 2.0})], [(0, {0: 1.0})]], [[0], [0]], 4)
    assert nearest_by_co_activation(store, [0, 3]) == [[{"latent": 1, "similarity": 0.5}], []]
    assert nearest_by_co_activation(store, []) == []
