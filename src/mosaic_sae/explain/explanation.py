"""Why one example was classified as it was, as plain values (``docs/explanations.md``)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from mosaic_sae.errors import MosaicError
from mosaic_sae.explain.decision import Features, LinearDecision, TreeDecision


@dataclass(frozen=True)
class LatentPart:
    """What one latent adds to the decision."""

    latent: int
    value: float
    """Its feature: pooled, binarised."""
    contribution: float
    """Logistic: added to the logit. Tree: what its questions on the path add to the class's share."""
    words: str
    """What it fires on."""
    without: dict[str, float]
    """Probability of each class with this latent at 0."""
    tokens: list[tuple[int, float]]
    """(place in ``Explanation.tokens``, part of the contribution); they sum to the contribution unless the latent is silent."""


@dataclass(frozen=True)
class Step:
    """One node on the path through a tree; the last one is the leaf."""

    node: int
    latent: int | None
    """What the node asks; None at the leaf."""
    question: str
    answer: str
    value: float | None
    threshold: float | None
    words: str
    """What the latent fires on."""
    n: int
    """Training examples that arrive here."""
    shares: dict[str, float]
    """Share of each class among them, classes weighted equally."""


@dataclass(frozen=True)
class Token:
    """One token that the model read."""

    piece: str
    counts: bool
    """Whether it takes part in pooling."""
    contribution: float
    """Sum of its parts over all latents."""


@dataclass(frozen=True)
class Explanation:
    """The decision of one point on one example, towards the class ``about``: positive contributions speak for it."""

    point: str
    """Fingerprint."""
    key: dict[str, Any]
    """As in ``point.json``."""
    id: str
    row: int
    text: str
    label: str
    language: str | None
    in_test: bool
    """Whether it is a test example of the point's split; the classifier may have learned from any other."""
    kind: str
    """"logistic" or "tree"."""
    classes: list[str]
    probabilities: dict[str, float]
    predicted: str
    about: str
    bias: float
    """Logistic: the logit when no latent fires. Tree: the class's share at the root."""
    decision: float
    """bias + all contributions. Logistic: the logit of ``about``. Tree: its share at the leaf."""
    latents: list[LatentPart]
    """Largest |contribution| first."""
    others: dict[str, float]
    """``n`` and summed ``contribution`` of the latents that are not listed."""
    tokens: list[Token]
    path: list[Step]
    """Trees only."""
    _probe: LinearDecision | TreeDecision = field(repr=False, compare=False)
    _features: Features = field(repr=False, compare=False)

    def without(self, latents: Collection[int]) -> dict[str, float]:
        """Return the probability of each class with these latents at 0, as the classifier itself would give it.

        Raises:
            MosaicError: a latent the SAE cannot have.
        """
        wrong = [latent for latent in latents if latent < 0 or latent >= self.key["d_sae"]]
        if wrong:
            raise MosaicError(f"There is no latent {wrong[0]}; those of {self.key['sae']} are 0 to {self.key['d_sae'] - 1}.")
        return named(self.classes, self._probe.probabilities(self._features.without(latents)))

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as plain dictionaries, lists, strings and numbers."""
        hidden = {"_probe", "_features"}
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in hidden}
        parts = {name: [asdict(item) for item in shown[name]] for name in ("latents", "tokens", "path")}
        for part in parts["latents"]:
            part["tokens"] = [list(pair) for pair in part["tokens"]]
        return {"schema": 1, **shown, **parts}

    def _repr_html_(self) -> str:
        from mosaic_sae.explain.display import notebook_html

        return notebook_html(self)


def named(classes: list[str], probabilities: Any) -> dict[str, float]:
    """Return probabilities by class."""
    return dict(zip(classes, map(float, probabilities), strict=True))
