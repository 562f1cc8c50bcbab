"""A planted latent that means a class everywhere, and one that means it in one language only."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import false_discovery_control, fisher_exact

from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.transfer.shift import DomainProbe, latent_shift

LANGUAGES = ["de", "en", "fr"]
N = 20  # texts of each class and language
LABELS = [label for _ in LANGUAGES for label in ("a", "b") for _ in range(N)]
SPOKEN = [language for language in LANGUAGES for _ in range(2 * N)]
UNITS = [str(number) for _ in LANGUAGES for number in range(2 * N)]


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
    lines = latent_shift([probe("en", [3, 5, 6, 7], [-4.0, -3.0, -2.0, -1.0])], LABELS, SPOKEN, UNITS, 5)
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
    lines = latent_shift([probe("en", [3], [-4.0], threshold=1.5)], LABELS, SPOKEN, UNITS, 5)
    assert [(line.density_class, line.density_rest) for line in lines] == [(1, 0)] * 3


def test_weights_compare_on_one_sae_only() -> None:
    probes = [probe("en", [3, 5], [-4.0, -3.0]), probe("de", [3], [-2.5]), probe("fr", [3], [-9.0], sae="other")]
    lines = [line for line in latent_shift(probes, LABELS, SPOKEN, UNITS, 5) if line.train_domain == "en"]
    here = {(line.latent, line.domain): line.weight_here for line in lines}
    assert here[3, "en"] == -4.0 and here[3, "de"] == -2.5 and here[5, "de"] == 0.0
    assert np.isnan(here[3, "fr"])


def test_only_the_strongest_latents_of_each_class_are_followed() -> None:
    lines = latent_shift([probe("en", [3, 5, 6, 7], [-4.0, -3.0, 2.0, 1.0])], LABELS, SPOKEN, UNITS, 1)
    assert {(line.label, line.latent) for line in lines} == {("a", 3), ("b", 6)}
    # Latent 6 speaks for b in the probe, but marks a in the texts.
    assert {line.kind for line in lines if line.latent == 6} == {"unclear"}


def test_a_language_without_the_class_does_not_count() -> None:
    labels = ["b" if language == "fr" else label for label, language in zip(LABELS, SPOKEN, strict=True)]
    lines = latent_shift([probe("en", [3], [-1.0])], labels, SPOKEN, UNITS, 5)
    assert {line.kind for line in lines} == {"shared"}
    assert np.isnan(next(line.density_class for line in lines if line.domain == "fr"))


def test_a_latent_that_is_always_active_is_judged_by_its_strength() -> None:
    dense = planted().toarray()
    strong = [row for row, label in enumerate(LABELS) if label == "a" and row % 4]
    dense[strong, 7] = 9.0  # in 15 of 20 texts of class a; 4 in all others, which is the median
    one = DomainProbe("en", sp.csr_array(dense), None, probe("en", [7], [-1.0]).coefficients, "s")
    lines = latent_shift([one], LABELS, SPOKEN, UNITS, 5)
    assert {(line.density_class, line.density_rest, line.high_class, line.high_rest, line.kind) for line in lines} == {
        (1, 1, 0.75, 0, "shared")
    }
    # A probe on binary features sees no strength.
    binary = DomainProbe("en", one.pooled, 1.0, one.coefficients, "s")
    assert {line.high_class for line in latent_shift([binary], LABELS, SPOKEN, UNITS, 5)} == {1}


def test_p_values_are_fishers_and_false_discoveries_are_limited() -> None:
    rng = np.random.default_rng(3)
    fires = rng.random((len(LABELS), 60)) < 0.3
    truth, spoken = np.array(LABELS) == "a", np.array(SPOKEN)
    fires[:, :5] = rng.random((len(LABELS), 5)) < np.where(truth, 0.9, 0.3)[:, None]
    found = Coefficients(["a", "b"], np.arange(60, dtype=np.int32), -np.ones((1, 60)), np.zeros(1), np.ones(60))
    lines = latent_shift([DomainProbe("en", sp.csr_array(fires.astype(np.float32)), None, found, "s")], LABELS, SPOKEN, UNITS, 60)
    expected = []
    for line in lines:
        here, column = spoken == line.domain, fires[:, line.latent]
        table = [[(column & here & side).sum(), (~column & here & side).sum()] for side in (truth, ~truth)]
        expected.append(fisher_exact(table, alternative="greater").pvalue)
    assert [line.p_value for line in lines] == pytest.approx(expected)
    adjusted = false_discovery_control(expected, method="bh")
    assert [line.marks_class for line in lines] == [
        p <= 0.05 and line.high_class - line.high_rest >= 0.1 for p, line in zip(adjusted, lines, strict=True)
    ]
    marking = {line.latent for line in lines if line.marks_class}
    assert marking >= set(range(5)) and len(marking) < 8


def test_texts_of_one_unit_are_one_piece_of_evidence() -> None:
    # Latent 3 marks class a of en in 20 of 20 texts; when they are all of two units, that is no evidence.
    units = [f"{label}{row % 2}" for row, label in enumerate(LABELS)]
    line = next(line for line in latent_shift([probe("en", [3], [-4.0])], LABELS, SPOKEN, units, 5) if line.domain == "en")
    assert line.p_value == pytest.approx(1 / 6) and not line.marks_class and line.kind == "unclear"


def test_a_small_difference_marks_nothing() -> None:
    labels, n = ["a", "b"] * 2000, 4000
    dense = np.zeros((n, 1), dtype=np.float32)
    dense[:400:2, 0] = 1.0  # 200 of 2,000 texts of a, and below 50 of b: significant, but 7.5 points
    dense[1:100:2, 0] = 1.0
    found = Coefficients(["a", "b"], np.zeros(1, dtype=np.int32), np.array([[-1.0]]), np.zeros(1), np.ones(1))
    (line,) = latent_shift([DomainProbe("en", sp.csr_array(dense), None, found, "s")], labels, ["en"] * n, list(map(str, range(n))), 5)
    assert line.p_value < 1e-10 and line.high_class - line.high_rest == pytest.approx(0.075) and not line.marks_class
