"""A latent that marks the class in both languages transfers; latents that mark it in one language each do not."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from mosaic_sae.config.schema import ClassificationParams
from mosaic_sae.probes.evaluate import evaluate
from mosaic_sae.sources.splits import Split
from mosaic_sae.transfer.matrix import Cell, Trained, transfer_cells

N = 400
LANGUAGES = ["de", "en"] * (N // 2)
ITEMS = np.repeat(np.arange(N // 2), 2)  # one item, its German and its English row


def cells_of(shared: bool) -> dict[tuple[str, str], Cell]:
    rng = np.random.default_rng(3)
    is_b = np.repeat(rng.permutation(np.arange(N // 2) % 2), 2).astype(bool)
    values = rng.gamma(1.0, 1.0, (N, 50)) * (rng.random((N, 50)) < 0.2)
    at = np.zeros(N, dtype=int) if shared else np.where(np.array(LANGUAGES) == "de", 1, 2)
    values[np.arange(N)[is_b], at[is_b]] += 10 * rng.uniform(0.5, 1.0, is_b.sum())
    features, labels = sp.csr_array(values.astype(np.float32)), ["b" if one else "a" for one in is_b]
    units, ids = [f"item {item}" for item in ITEMS], [f"{item}/{language}" for item, language in zip(ITEMS, LANGUAGES, strict=True)]
    params = ClassificationParams(penalties=["l2"], c_values=[0.1, 1.0], cv_folds=3, n_bootstrap=200)
    held_out = np.flatnonzero(ITEMS >= 120)
    trained = []
    for language in ("de", "en"):
        train = np.flatnonzero((ITEMS < 120) & (np.array(LANGUAGES) == language))
        result = evaluate(features, Split(language, train, held_out), labels, units, ids, "logistic", params, 3, 0)
        columns = {"id": [ids[row] for row in result.rows], "unit": [units[row] for row in result.rows]}
        trained.append(Trained(language, 1.0, pd.DataFrame(columns | {"label": result.labels, "predicted": result.predicted})))
    found = transfer_cells(trained, dict(zip(ids, LANGUAGES, strict=True)), 200, 0)
    return {(cell.train_domain, cell.test_domain): cell for cell in found}


@pytest.mark.parametrize("pair", [("de", "en"), ("en", "de")])
def test_only_what_the_languages_share_is_carried_over(pair: tuple[str, str]) -> None:
    shared, apart = cells_of(shared=True), cells_of(shared=False)
    assert shared["de", "de"].macro_f1 > 0.95 and apart["de", "de"].macro_f1 > 0.95
    assert shared[pair].macro_f1 > 0.95 and shared[pair].gap_high >= 0
    # Chance: 80 texts, two classes; no better than 0.6, and clearly behind the language's own classifier.
    assert apart[pair].macro_f1 < 0.6 and apart[pair].gap_high < -0.3
