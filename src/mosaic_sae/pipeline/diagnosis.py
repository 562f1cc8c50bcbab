"""What the doctor found, in words: from measurements to findings. Knows no model and no SAE files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from mosaic_sae.sae.quality import Quality

# An alternative is the better one when it leaves at most this share of the unexplained variance, and explains this much more.
_CONVENTION = (0.7, 0.05)
_LAYER = (0.9, 0.02)
_BOS = (0.9, 0.02)
# Of two that hardly describe the activations, the better one is no cure.
_LEAST = 0.2
POOR_FIT = 0.5
"""Below this share of explained variance an SAE hardly describes the activations it is given."""
_L0_RATIO = 2.0
MASSIVE = 10.0
"""Times the median norm beyond which a token's activation is massive."""
_INSTRUCT = re.compile(r"[-_.](it|instruct|chat|sft|dpo)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Alternative:
    """Another way to use the SAE, measured on the same texts."""

    fault: str
    words: str
    remedy: str
    explained_variance: float


@dataclass(frozen=True)
class Norms:
    """Norms of activations at the hook point."""

    first: float | None
    """Mean over the texts' first tokens (BOS where there is one) that are finite; None = none is. These need not count."""
    median: float
    """Of the tokens that count."""
    massive_share: float
    """Share of the tokens that count whose norm exceeds ten times the median."""

    @property
    def first_in_words(self) -> str:
        """The norm of first tokens, for people."""
        return "not finite" if self.first is None else f"{self.first:.4g}"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ("problem") or worth knowing ("note")."""

    level: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Measured:
    """Everything that was measured of one SAE at one hook point."""

    sae: str
    model: str
    point: str
    module: str
    dtype: str
    tokens: dict[str, Any]
    first_tokens: list[dict[str, Any]]
    """The first five tokens of the first text: id, piece, and whether it counts."""
    n_texts: int
    quality: Quality | None
    """None when no token was finite."""
    n_not_finite: int
    norms: Norms | None
    stated: dict[str, Any]
    """What the SAE's files say: model_name, l0, prepend_bos."""
    layers: dict[int, float] = field(default_factory=dict)
    """Explained variance by layer, the SAE's own among them."""
    alternatives: list[Alternative] = field(default_factory=list)
    other_bos: float | None = None
    """Explained variance with BOS where it is left out, or without where it is put."""


def findings(measured: Measured, layer: int) -> list[Finding]:
    """Say what is wrong, the most telling first; nothing wrong gives notes alone, or nothing."""
    found = _not_finite(measured)
    quality = measured.quality
    if quality is None:
        return found
    base = quality.explained_variance
    if base is not None:
        fit = _better_way(measured, layer, base)
        found += fit
        if base < POOR_FIT and not fit:
            if not measured.layers:
                found.append(Finding("problem", f"The SAE explains {_share(base)} of the variance.", "mosaic doctor says why."))
            else:
                found.append(
                    Finding(
                        "problem",
                        f"The SAE explains {_share(base)} of the variance, and no layer nearby or other convention does clearly better.",
                        "Probably it belongs to another model, another site or other weights than these. Check where it was trained.",
                    )
                )
    return found + _other_model(measured) + _sparsity(measured, quality) + _massive(measured)


def _not_finite(measured: Measured) -> list[Finding]:
    if not measured.n_not_finite:
        return []
    dtype = measured.dtype
    cause = "float16 overflows on this model" if dtype == "float16" else f"the model computes in {dtype}, so its weights may be damaged"
    remedy = (
        "Set settings.dtype to float32 or bfloat16." if dtype == "float16" else "Fetch the model again, or try settings.dtype: float32."
    )
    return [Finding("problem", f"NaN or infinity in the activations of {measured.n_not_finite:,} tokens: {cause}.", remedy)]


def _better_way(measured: Measured, layer: int, base: float) -> list[Finding]:
    ways: list[tuple[float, Finding]] = []
    for other, value in measured.layers.items():
        if other != layer and _is_better(value, base, _LAYER):
            words = f"The SAE fits layer {other} better than layer {layer} ({value:.3f} against {_share(base)} of the variance)"
            remedy = f"The layer is off by {abs(other - layer)}. Set layers: [{other}]."
            ways.append((value, Finding("problem", f"{words}.", remedy)))
    for way in measured.alternatives:
        if _is_better(way.explained_variance, base, _CONVENTION):
            gain = f"({way.explained_variance:.3f} against {_share(base)} of the variance)"
            ways.append((way.explained_variance, Finding("problem", f"{_capital(way.words)} {gain}.", way.remedy)))
    if measured.other_bos is not None and _is_better(measured.other_bos, base, _BOS):
        put = bool(measured.tokens["prepend_bos"])
        words = "without BOS than with it" if put else "with BOS than without"
        ways.append((
            measured.other_bos,
            Finding(
                "problem",
                f"The SAE fits better {words} ({measured.other_bos:.3f} against {_share(base)} of the variance).",
                f"Set tokens.prepend_bos: {'never' if put else 'always'}.",
            ),
        ))
    # What explains most is the fault; the others are its shadows (a wrong layer also looks a little like a wrong scale).
    return [max(ways, key=lambda way: way[0])[1]] if ways else []


def _is_better(value: float, base: float, margin: tuple[float, float]) -> bool:
    share, gain = margin
    return value >= max(base + gain, _LEAST) and 1 - value <= share * (1 - base)


def _other_model(measured: Measured) -> list[Finding]:
    stated = measured.stated.get("model_name")
    if not stated:
        return []
    theirs, ours = (name.lower().rsplit("/", 1)[-1] for name in (stated, measured.model))
    if theirs == ours:
        return []
    if _INSTRUCT.sub("", theirs) == _INSTRUCT.sub("", ours):
        kinds = {True: "instruction-tuned", False: "base"}
        return [
            Finding(
                "note",
                f"The SAE was trained on {stated}, the {kinds[bool(_INSTRUCT.search(theirs))]} model; "
                f"{measured.model} is the {kinds[bool(_INSTRUCT.search(ours))]} one.",
                "Base SAEs often transfer, with some loss; the explained variance above says how well. "
                "Use the model it was trained on where you can.",
            )
        ]
    return [
        Finding("note", f"The SAE's files name another model, {stated}, than {measured.model}.", "Check that they are the same weights.")
    ]


def _sparsity(measured: Measured, quality: Quality) -> list[Finding]:
    stated = measured.stated.get("l0")
    if not stated or 1 / _L0_RATIO < quality.l0 / stated < _L0_RATIO:
        return []
    return [
        Finding(
            "problem",
            f"{quality.l0:.1f} latents are active per token, but the SAE's makers measured {stated:.1f}.",
            "If the variance is explained well, the texts differ from those of training; if not, a threshold, k or the scale of the input "
            "is wrong.",
        )
    ]


def _massive(measured: Measured) -> list[Finding]:
    norms = measured.norms
    if norms is None or not norms.massive_share:
        return []
    return [
        Finding(
            "problem",
            f"{norms.massive_share:.1%} of the tokens that count have an activation norm above {MASSIVE:.0f} times the median "
            f"({norms.median:.4g}; first tokens {norms.first_in_words}): they drown the rest in sums and in the explained variance.",
            f"Set tokens.bos: exclude, or tokens.max_norm: {4 * norms.median:.3g}.",
        )
    ]


def _share(value: float) -> str:
    return f"{value:.3f}" if value >= 0 else "less than nothing"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
