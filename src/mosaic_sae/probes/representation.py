"""What a probe reads: pooled latents, pooled hidden states, or texts, all through the same few calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.ngrams import MIN_TEXTS, NgramVectorizer, make_vectorizers

Matrix: TypeAlias = Any
"""CSR array or two-dimensional float array."""


class Representation(Protocol):
    """Rows that become matrices with everything fitted on the training rows alone."""

    kind: str
    """"latents", "dense" or "text"."""

    def __len__(self) -> int: ...

    def inputs(self, rows: np.ndarray) -> Any:
        """Return these rows as the saved classifier takes them."""
        ...

    def matrices(self, train: np.ndarray, test: np.ndarray, scaled: bool) -> tuple[Matrix, Matrix]:
        """Return both parts as matrices; vocabulary, and scale where ``scaled``, come from ``train`` alone."""
        ...

    def fit_transformer(self, train: np.ndarray, scaled: bool) -> Any:
        """Return the fitted scikit-learn transformer from ``inputs`` to such a matrix, or None where they are the same."""
        ...


class LatentRows:
    """Pooled latents: CSR float32 [n_rows, d_sae]. Scaled by each latent's largest value, so that zeros stay zeros."""

    kind = "latents"

    def __init__(self, features: sp.csr_array) -> None:
        self.features = narrow_indices(sp.csr_array(features))
        self.features.sort_indices()
        _refuse_not_finite(self.features.data, np.repeat(np.arange(features.shape[0]), np.diff(self.features.indptr)))

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def inputs(self, rows: np.ndarray) -> sp.csr_array:  # noqa: D102
        return narrow_indices(self.features[rows])

    def matrices(self, train: np.ndarray, test: np.ndarray, scaled: bool) -> tuple[Matrix, Matrix]:  # noqa: D102
        return _transform_both(self, train, test, scaled)

    def fit_transformer(self, train: np.ndarray, scaled: bool) -> MaxAbsScaler | None:  # noqa: D102
        return MaxAbsScaler().fit(self.inputs(train)) if scaled else None


class DenseRows:
    """Pooled hidden states: float32 [n_rows, d_model]. Scaled to mean 0 and variance 1 per dimension."""

    kind = "dense"

    def __init__(self, states: np.ndarray) -> None:
        self.states = np.ascontiguousarray(states, dtype=np.float32)
        _refuse_not_finite(self.states.ravel(), np.repeat(np.arange(len(states)), self.states.shape[1]))

    def __len__(self) -> int:
        return len(self.states)

    def inputs(self, rows: np.ndarray) -> np.ndarray:  # noqa: D102
        return self.states[rows]

    def matrices(self, train: np.ndarray, test: np.ndarray, scaled: bool) -> tuple[Matrix, Matrix]:  # noqa: D102
        return _transform_both(self, train, test, scaled)

    def fit_transformer(self, train: np.ndarray, scaled: bool) -> StandardScaler | None:  # noqa: D102
        return StandardScaler().fit(self.inputs(train)) if scaled else None


class TextRows:
    """Texts, read as TF-IDF. Always scaled: words and characters of every text have unit length."""

    kind = "text"

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)

    def __len__(self) -> int:
        return len(self.texts)

    def inputs(self, rows: np.ndarray) -> list[str]:  # noqa: D102
        return [self.texts[row] for row in rows]

    @cached_property
    def _counts(self) -> dict[str, sp.csr_array]:
        # Counting looks at one text at a time, so it is done once for all folds; what it means to know a term is not.
        return {name: sp.csr_array(_counter(vectorizer).fit_transform(self.texts)) for name, vectorizer in make_vectorizers().items()}

    def _known_terms(self, train: np.ndarray) -> dict[str, np.ndarray]:
        known = {}
        for name, counts in self._counts.items():
            n_texts = np.bincount(counts[train].indices, minlength=counts.shape[1])
            # Texts without spaces may share no whole word: then the characters stand alone.
            if (n_texts >= MIN_TEXTS).any():
                known[name] = np.flatnonzero(n_texts >= MIN_TEXTS)
        if not known:
            raise ProbeError(f"TF-IDF: no run of characters occurs in {MIN_TEXTS} of the {len(train)} training texts; give more texts.")
        return known

    def matrices(self, train: np.ndarray, test: np.ndarray, scaled: bool) -> tuple[Matrix, Matrix]:  # noqa: ARG002
        """Restrict the counts to the terms known from ``train``: equal to fitting the vectorizers on these texts (tested)."""
        blocks = []
        for name, known in self._known_terms(train).items():
            counts = self._counts[name][:, known]
            weigh = TfidfTransformer(sublinear_tf=True).fit(counts[train])
            blocks.append((weigh.transform(counts[train]), weigh.transform(counts[test])))
        x_train, x_test = (narrow_indices(sp.csr_array(sp.hstack(parts, format="csr"))) for parts in zip(*blocks, strict=True))
        return x_train, x_test

    def fit_transformer(self, train: np.ndarray, scaled: bool) -> FeatureUnion:  # noqa: ARG002, D102
        vectorizers = make_vectorizers()
        return FeatureUnion([(name, vectorizers[name]) for name in self._known_terms(train)]).fit(self.inputs(train))


Features: TypeAlias = "sp.csr_array | np.ndarray | Sequence[str] | Representation"


def as_representation(features: Features) -> Representation:
    """Take CSR as latents, a two-dimensional array as hidden states and a list of strings as texts."""
    if isinstance(features, LatentRows | DenseRows | TextRows):
        return features
    if sp.issparse(features):
        return LatentRows(features)
    if isinstance(features, np.ndarray) and features.ndim == 2:
        return DenseRows(features)
    if isinstance(features, Sequence) and all(isinstance(text, str) for text in features):
        return TextRows(features)
    raise TypeError(f"features are a CSR array, a two-dimensional array or a list of texts, got {type(features).__name__}")


def narrow_indices(x: sp.csr_array) -> sp.csr_array:
    """Give CSR 32-bit indices; scipy widens them when it takes rows, and liblinear and the decision tree take no others."""
    if max(x.nnz, *x.shape) <= np.iinfo(np.int32).max:
        x.indices, x.indptr = x.indices.astype(np.int32, copy=False), x.indptr.astype(np.int32, copy=False)
    return x


def _transform_both(representation: LatentRows | DenseRows, train: np.ndarray, test: np.ndarray, scaled: bool) -> tuple[Matrix, Matrix]:
    x_train, x_test = representation.inputs(train), representation.inputs(test)
    scaler = representation.fit_transformer(train, scaled)
    return (x_train, x_test) if scaler is None else (scaler.transform(x_train), scaler.transform(x_test))


def _counter(vectorizer: NgramVectorizer) -> CountVectorizer:
    return CountVectorizer(
        analyzer=vectorizer.analyzer, ngram_range=vectorizer.ngram_range, token_pattern=vectorizer.token_pattern, dtype=np.float64
    )


def _refuse_not_finite(values: np.ndarray, rows: np.ndarray) -> None:
    bad = np.unique(rows[~np.isfinite(values)])
    if len(bad):
        shown = ", ".join(map(str, bad[:5]))
        raise ProbeError(
            f"{len(bad)} rows of the features hold NaN or infinity (first rows: {shown}). "
            "Extract again with dtype: float32 or bfloat16; float16 overflows on some models."
        )
