"""A planted latent that means a class everywhere, and one that means it in one language only."""

import numpy as np
import pytest
import scipy.sparse as sp

from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.transfer.shift import DomainProbe, latent_shift

LANGUAGES = ["de", "en", "fr"]
N = 20  # texts of each class and language
LABELS = [label for _ in LANGUAGES for label in ("a", "b") for _ in range(N)]
SPOKEN = [language for language in LANGUAGES for _ in range(2 * N)]


def planted() -> sp.csr_array:
    """Latent 3 fires in class a of every language, 5 in class a of en, 6 in class a of en and fr, 7 in every text."""
    dense = np.zeros((len(LABELS), 10), dtype=np.float32)
    for row, (label, language) in enumerate(zip(LABELS, SPOKEN, strict=True)):
        if label == "a":
            dense[row, 3] = 2.0
            dense[row, 5] = 1.0 if language == "en" and row % 2 else 0.0
            dense[row, 6] = float(language in {"en", "fr"})
        dense[row, 7] = 4.0
    dense[[row for row, (label, language) in enumerate(zip(LABELS, SPOKEN, strict=True)) if (label, language) == ("b", "de")][:4], 3] = 1.0
    return sp.csr_array(dense)


def probe(language: str, latents: list[int], weights: list[float], sae: str = "s", threshold: float | None = None) -> DomainProbe:
    found = Coefficients(["a", "b"], np.array(latents, dtype=np.int32), np.array([weights]), np.zeros(1), np.ones(len(latents)))
    return DomainProbe(language, planted(), threshold, found, sae)


def test_shared_and_specific_latents_are_told_apart() -> None:
    # Two classes: negative weights speak for the first, a.
    lines = latent_shift([probe("en", [3, 5, 6, 7], [-4.0, -3.0, -2.0, -1.0])], LABELS, SPOKEN, 5)
    assert [(line.latent, line.domain) for line in lines] == [(latent, language) for latent in (3, 5, 6, 7) for language in LANGUAGES]
    assert {line.latent: (line.label, line.weight, line.kind) for line in lines} == {
        3: ("a", -4.0, "shared"),
        5: ("a", -3.0, "specific"),
        6: ("a", -2.0, "partly shared"),
        7: ("a", -1.0, "unclear"),
    }
    of_three = {line.domain: line for line in lines if line.latent == 3}
    # In de also in 4 of the 20 texts of class b.
    assert (of_three["de"].density, of_three["de"].density_class, of_three["de"].density_rest) == pytest.approx((24 / 40, 1, 4 / 20))
    assert (of_three["fr"].density, of_three["fr"].density_class, of_three["fr"].density_rest) == (0.5, 1, 0)
    assert {line.n for line in lines} == {2 * N}
    # The first text of class a in de; latent 5 is silent there.
    assert of_three["de"].strongest == SPOKEN.index("de")
    assert next(line.strongest for line in lines if (line.latent, line.domain) == (5, "de")) is None


def test_activity_is_what_a_binarised_probe_sees() -> None:
    # At 1.5 the firings of strength 1 in class b of de are gone.
    lines = latent_shift([probe("en", [3], [-4.0], threshold=1.5)], LABELS, SPOKEN, 5)
    assert [(line.density_class, line.density_rest) for line in lines] == [(1, 0)] * 3


def test_weights_compare_on_one_sae_only() -> None:
    probes = [probe("en", [3, 5], [-4.0, -3.0]), probe("de", [3], [-2.5]), probe("fr", [3], [-9.0], sae="other")]
    lines = [line for line in latent_shift(probes, LABELS, SPOKEN, 5) if line.train_domain == "en"]
    here = {(line.latent, line.domain): line.weight_here for line in lines}
    assert here[3, "en"] == -4.0 and here[3, "de"] == -2.5 and here[5, "de"] == 0.0
    assert np.isnan(here[3, "fr"])


def test_only_the_strongest_latents_of_each_class_are_followed() -> None:
    lines = latent_shift([probe("en", [3, 5, 6, 7], [-4.0, -3.0, 2.0, 1.0])], LABELS, SPOKEN, 1)
    assert {(line.label, line.latent) for line in lines} == {("a", 3), ("b", 6)}
    # Latent 6 speaks for b in the probe, but marks a in the texts.
    assert {line.kind for line in lines if line.latent == 6} == {"unclear"}


def test_a_language_without_the_class_does_not_count() -> None:
    labels = ["b" if language == "fr" else label for label, language in zip(LABELS, SPOKEN, strict=True)]
    lines = latent_shift([probe("en", [3], [-1.0])], labels, SPOKEN, 5)
    assert {line.kind for line in lines} == {"shared"}
    assert np.isnan(next(line.density_class for line in lines if line.domain == "fr"))
