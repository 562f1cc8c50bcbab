"""Latent shift: which latents of a probe mean the same in other domains, and which only in the one it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from mosaic_sae.features.binarise import binarise

if TYPE_CHECKING:
    # The report names the kinds below, and the app that imports it does without scikit-learn.
    from mosaic_sae.probes.coefficients import Coefficients

MIN_DIFFERENCE = 0.1
"""A latent marks a class in a domain when the share of the class's texts in which it stands out is larger by this ..."""
FALSE_DISCOVERIES = 0.05
"""... and the difference is significant at this false-discovery rate over all latents, classes and domains of a table."""
KINDS = ("shared", "partly shared", "specific", "unclear")


@dataclass(frozen=True)
class DomainProbe:
    """The probe of one training domain, on the latents it was chosen to read."""

    domain: str
    pooled: sp.csr_array
    """float32 [n_rows, d_sae]: latents of the test rows, pooled as this probe reads them."""
    threshold: float | None
    """Of its binarisation; None where it reads the values."""
    coefficients: Coefficients
    sae: str
    """Which SAE on which model it reads; weights of one latent compare only where this is equal."""


@dataclass(frozen=True)
class Shift:
    """One strong latent of one probe, in one domain."""

    train_domain: str
    label: str
    """The class that the latent speaks for in the training domain."""
    latent: int
    weight: float
    """In the probe of the training domain."""
    kind: str
    """One of KINDS."""
    domain: str
    n: int
    """Test texts in this domain."""
    density: float
    """Share of them in which the latent is active."""
    density_class: float
    """The same of those of the class; NaN where there are none."""
    density_rest: float
    """The same of the others."""
    high_class: float
    """Share of the class's texts in which it stands out."""
    high_rest: float
    """The same of the others."""
    p_value: float
    """One-sided, of Fisher's exact test on one text per unit; NaN without texts of the class or of others."""
    marks_class: bool
    weight_here: float
    """In the probe of this domain; 0 if that probe leaves the latent out, NaN if there is none on the same SAE."""
    strongest: int | None
    """Row of the test text in this domain with the largest pooled value; None where the latent is silent."""


def latent_shift(
    probes: Sequence[DomainProbe], labels: Sequence[str], domains: Sequence[str], units: Sequence[str], n_top: int
) -> list[Shift]:
    """Follow the strongest latents of each domain's probe through all domains.

    A latent *stands out* in a text when it is active there (its pooled value, as the probe sees it, is above 0), and, if it
    is active in more than half of the domain's texts, when its value is above their median: of a latent that is nearly
    always active, the probe reads how strong it is. It *marks* a class in a domain when it stands out in a share of the
    class's texts that is larger than that of the others by ``MIN_DIFFERENCE`` and significantly so: by Fisher's exact test
    on one text per unit, with the rate of false discoveries over all lines limited to ``FALSE_DISCOVERIES`` (Benjamini and
    Hochberg 1995). It is "unclear" when it does not even mark its class in the domain of its probe (there it speaks
    together with other latents only, or too rarely to tell), "shared" when it also does in more than half of the other
    domains, "specific" when it does in none of them, and else "partly shared". Domains without test texts of the class, or
    without others, do not count.

    Args:
        probes: one for each training domain.
        labels: [n_rows] of the test rows.
        domains: [n_rows].
        units: [n_rows]; texts of one unit are not independent.
        n_top: latents for each class and training domain.

    Returns:
        A line for each strong latent and each domain that has test rows.
    """
    truth, domain_of = np.asarray(labels), np.asarray(domains)
    here = {domain: domain_of == domain for domain in sorted(set(domains))}
    single = _one_of_each(domains, units)
    weights = {probe.domain: (probe.sae, _weights(probe.coefficients)) for probe in probes}
    lines: list[Shift] = []
    for probe in probes:
        features = binarise(probe.pooled, probe.threshold)
        for top in probe.coefficients.top(n_top):
            latent, label = top["latent"], top["class"]
            seen, values = _column(features, latent), _column(probe.pooled, latent)
            of_class = truth == label
            for domain, rows in here.items():
                active, high = seen > 0, seen > _silence(seen[rows])
                sae, own = weights.get(domain, ("", {}))
                lines.append(
                    Shift(
                        train_domain=probe.domain,
                        label=label,
                        latent=latent,
                        weight=top["weight"],
                        kind="",
                        domain=domain,
                        n=int(rows.sum()),
                        density=_share(active, rows),
                        density_class=_share(active, rows & of_class),
                        density_rest=_share(active, rows & ~of_class),
                        high_class=_share(high, rows & of_class),
                        high_rest=_share(high, rows & ~of_class),
                        p_value=_fisher(high, rows & of_class & single, rows & ~of_class & single),
                        marks_class=False,
                        weight_here=own.get(label, {}).get(latent, 0.0) if sae == probe.sae else np.nan,
                        strongest=_strongest(values, rows),
                    )
                )
    return _judged(lines)


def _judged(lines: list[Shift]) -> list[Shift]:
    """Say which lines mark their class, and of what kind each latent is."""
    significant = _discoveries(np.array([line.p_value for line in lines]))
    marked: dict[tuple[str, str, int], dict[str, bool]] = {}
    for line, is_significant in zip(lines, significant, strict=True):
        if not np.isnan(line.p_value):
            of_latent = marked.setdefault((line.train_domain, line.label, line.latent), {})
            of_latent[line.domain] = bool(is_significant) and line.high_class - line.high_rest >= MIN_DIFFERENCE
    judged = []
    for line in lines:
        of_latent = marked.get((line.train_domain, line.label, line.latent), {})
        judged.append(replace(line, marks_class=of_latent.get(line.domain, False), kind=_kind(of_latent, line.train_domain)))
    return judged


def _discoveries(p_values: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's step-up procedure; a NaN is no discovery and counts as no test."""
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    passing = np.flatnonzero(p_values[order] <= FALSE_DISCOVERIES * np.arange(1, len(order) + 1) / max(len(order), 1))
    found = np.zeros(len(p_values), dtype=bool)
    found[order[: passing[-1] + 1 if len(passing) else 0]] = True
    return found


def _fisher(high: np.ndarray, of_class: np.ndarray, of_rest: np.ndarray) -> float:
    from scipy.stats import hypergeom

    n_class, n_rest = int(of_class.sum()), int(of_rest.sum())
    if not (n_class and n_rest):
        return np.nan
    n_high = int(high[of_class].sum())
    return float(hypergeom.sf(n_high - 1, n_class + n_rest, n_high + int(high[of_rest].sum()), n_class))


def _one_of_each(domains: Sequence[str], units: Sequence[str]) -> np.ndarray:
    """True for the first text of each unit in each domain."""
    seen: set[tuple[str, str]] = set()
    first = np.zeros(len(units), dtype=bool)
    for row, pair in enumerate(zip(domains, units, strict=True)):
        first[row] = pair not in seen
        seen.add(pair)
    return first


def _weights(coefficients: Coefficients) -> Mapping[str, dict[int, float]]:
    """Weight of each latent by class, with the sign that ``Coefficients.top`` gives it."""
    binary = len(coefficients.weights) == 1
    return {
        name: dict(zip(coefficients.latents.tolist(), coefficients.weights[0 if binary else number].tolist(), strict=True))
        for number, name in enumerate(coefficients.classes)
    }


def _column(features: sp.csr_array, latent: int) -> np.ndarray:
    return features[:, [latent]].toarray()[:, 0]


def _strongest(values: np.ndarray, here: np.ndarray) -> int | None:
    row = int(np.where(here, values, -np.inf).argmax())
    return row if here[row] and values[row] > 0 else None


def _silence(values: np.ndarray) -> float:
    """Largest value with which a latent does not stand out: 0, or the median where most values are above 0."""
    median = float(np.median(values))
    # Of a latent that is on or off, most values may be the largest one.
    return median if (values > 0).mean() > 0.5 and median < values.max() else 0.0


def _share(of_texts: np.ndarray, rows: np.ndarray) -> float:
    return float(of_texts[rows].mean()) if rows.any() else np.nan


def _kind(marked: Mapping[str, bool], home: str) -> str:
    others = [marks for domain, marks in marked.items() if domain != home]
    if not marked.get(home):
        return "unclear"
    if sum(others) > len(others) / 2:
        return "shared"
    return "partly shared" if any(others) else "specific"
