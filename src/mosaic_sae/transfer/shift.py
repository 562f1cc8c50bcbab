"""Latent shift: which latents of a probe mean the same in other domains, and which only in the one it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from mosaic_sae.features.binarise import binarise

if TYPE_CHECKING:
    # The report names the kinds below, and the app that imports it does without scikit-learn.
    from mosaic_sae.probes.coefficients import Coefficients

MIN_DENSITY = 0.05
"""A latent marks a class in a domain when it is active in at least this share of the class's texts there ..."""
MIN_RATIO = 2.0
"""... and at least this many times as often as in the texts of other classes."""
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
    marks_class: bool
    weight_here: float
    """In the probe of this domain; 0 if that probe leaves the latent out, NaN if there is none on the same SAE."""
    strongest: int | None
    """Row of the test text in this domain with the largest pooled value; None where the latent is silent."""


def latent_shift(probes: Sequence[DomainProbe], labels: Sequence[str], domains: Sequence[str], n_top: int) -> list[Shift]:
    """Follow the strongest latents of each domain's probe through all domains.

    A latent *marks* a class in a domain when it is active (its pooled value, as the probe sees it, is above 0) in at
    least ``MIN_DENSITY`` of the class's test texts there and at least ``MIN_RATIO`` times as often as in the others. It is
    "unclear" when it does not even mark its class in the domain of its probe (then the probe uses how strong it is, not
    whether it is active), "shared" when it also does in more than half of the other domains, "specific" when it
    does in none of them, and else of "partly shared". Domains without test texts of the class do not count.

    Args:
        probes: one for each training domain.
        labels: [n_rows] of the test rows.
        domains: [n_rows].
        n_top: latents for each class and training domain.

    Returns:
        A line for each strong latent and each domain that has test rows.
    """
    truth, domain_of = np.asarray(labels), np.asarray(domains)
    weights = {probe.domain: (probe.sae, _weights(probe.coefficients)) for probe in probes}
    lines: list[Shift] = []
    for probe in probes:
        features = binarise(probe.pooled, probe.threshold)
        for top in probe.coefficients.top(n_top):
            latent, label = top["latent"], top["class"]
            active = _column(features, latent) > 0
            values = _column(probe.pooled, latent)
            rates = {domain: _rates(active, truth == label, domain_of == domain) for domain in sorted(set(domains))}
            marked = {domain: _marks(*rate[1:]) for domain, rate in rates.items() if not np.isnan(rate[1])}
            kind = _kind(marked, probe.domain)
            for domain, (density, of_class, of_rest) in rates.items():
                sae, own = weights.get(domain, ("", {}))
                lines.append(
                    Shift(
                        train_domain=probe.domain,
                        label=label,
                        latent=latent,
                        weight=top["weight"],
                        kind=kind,
                        domain=domain,
                        n=int((domain_of == domain).sum()),
                        density=density,
                        density_class=of_class,
                        density_rest=of_rest,
                        marks_class=marked.get(domain, False),
                        weight_here=own.get(label, {}).get(latent, 0.0) if sae == probe.sae else np.nan,
                        strongest=_strongest(values, domain_of == domain),
                    )
                )
    return lines


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


def _rates(active: np.ndarray, of_class: np.ndarray, here: np.ndarray) -> tuple[float, float, float]:
    return tuple(float(active[rows].mean()) if rows.any() else np.nan for rows in (here, here & of_class, here & ~of_class))  # type: ignore[return-value]


def _marks(density_class: float, density_rest: float) -> bool:
    # Where there is nothing but the class, its density alone decides: NaN compares false.
    return density_class >= MIN_DENSITY and not density_class < MIN_RATIO * density_rest


def _kind(marked: Mapping[str, bool], home: str) -> str:
    others = [marks for domain, marks in marked.items() if domain != home]
    if not marked.get(home):
        return "unclear"
    if sum(others) > len(others) / 2:
        return "shared"
    return "partly shared" if any(others) else "specific"
