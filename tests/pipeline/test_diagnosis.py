"""From measurements to words: what is named, and what is left alone."""

import dataclasses

import pytest

from mosaic_sae.pipeline.diagnosis import Alternative, Measured, Norms, findings
from mosaic_sae.sae.quality import Quality


def measured(ev: float | None = 0.85, l0: float = 50.0, **more) -> Measured:
    quality = Quality(None if ev is None else 1 - ev, ev, l0, 0.1, 900)
    known = Measured(
        sae="s",
        model="org/base-2b",
        point="blocks.5.hook_resid_post",
        module="output of layers.5",
        dtype="float32",
        tokens={"prepend_bos": True},
        first_tokens=[],
        n_texts=50,
        quality=quality,
        n_not_finite=0,
        norms=Norms(first=4000.0, median=100.0, massive_share=0.0),
        stated={"model_name": "base-2b", "l0": 50.0, "prepend_bos": True},
        layers={} if ev is None else {4: ev - 0.05, 5: ev, 6: ev - 0.05},
    )
    return dataclasses.replace(known, **more)


def texts(one: Measured) -> list[str]:
    return [finding.text for finding in findings(one, 5)]


def test_a_good_fit_needs_no_word() -> None:
    assert findings(measured(), 5) == []
    near = [Alternative("centre", "x", "y", 0.86), Alternative("b_dec", "x", "y", 0.2)]
    assert findings(measured(alternatives=near, other_bos=0.86, layers={4: 0.86, 5: 0.85}), 5) == []


def test_a_better_layer_is_named() -> None:
    found = findings(measured(layers={4: 0.90, 5: 0.85, 6: 0.80}), 5)
    assert [finding.level for finding in found] == ["problem"]
    assert found[0].text == "The SAE fits layer 4 better than layer 5 (0.900 against 0.850 of the variance)."
    assert found[0].remedy == "The layer is off by 1. Set layers: [4]."


def test_the_alternative_that_explains_most_is_named_alone() -> None:
    ways = [Alternative("a", "the first thing is wrong", "Mend it.", 0.7), Alternative("b", "the scale is wrong", "Scale it.", 0.9)]
    found = findings(measured(0.1, alternatives=ways, layers={4: 0.3, 5: 0.1}), 5)
    assert [(finding.text, finding.remedy) for finding in found] == [
        ("The scale is wrong (0.900 against 0.100 of the variance).", "Scale it.")
    ]


def test_a_poor_fit_without_a_cause_says_so() -> None:
    assert "explains 0.200 of the variance, and no layer nearby" in texts(measured(0.2))[0]
    # A number far below zero is no share any more.
    hopeless = measured(-30.0, layers={4: -8.0, 5: -30.0}, alternatives=[Alternative("a", "x", "y", 0.1)])
    assert "explains less than nothing of the variance, and no layer nearby" in texts(hopeless)[0]


@pytest.mark.parametrize(
    ("put", "words", "remedy"), [(True, "without BOS than with it", "never"), (False, "with BOS than without", "always")]
)
def test_bos(put: bool, words: str, remedy: str) -> None:
    found = findings(measured(other_bos=0.9, tokens={"prepend_bos": put}), 5)
    assert words in found[0].text and found[0].remedy == f"Set tokens.prepend_bos: {remedy}."


@pytest.mark.parametrize(("stated", "model", "words"), [
    ("org/base-2b", "org/base-2b-it", "trained on org/base-2b, the base model; org/base-2b-it is the instruction-tuned one"),
    ("base-2b-it", "org/base-2b", "trained on base-2b-it, the instruction-tuned model"),
    ("Base-2B", "org/base-2b-Instruct", "is the instruction-tuned one"),
    ("other-7b", "org/base-2b", "name another model, other-7b, than org/base-2b"),
])  # fmt: skip
def test_other_models_are_noted_but_are_no_problem(stated: str, model: str, words: str) -> None:
    found = findings(measured(model=model, stated={"model_name": stated, "l0": None}), 5)
    assert [finding.level for finding in found] == ["note"] and words in found[0].text


def test_sparsity_against_the_makers_figure() -> None:
    assert texts(measured(l0=99.0)) == []
    assert texts(measured(l0=101.0)) == ["101.0 latents are active per token, but the SAE's makers measured 50.0."]
    assert texts(measured(l0=24.9)) == ["24.9 latents are active per token, but the SAE's makers measured 50.0."]
    assert texts(measured(l0=500.0, stated={})) == []


def test_massive_tokens_that_count() -> None:
    found = findings(measured(norms=Norms(first=9000.0, median=100.0, massive_share=0.02)), 5)
    assert "2.0% of the tokens that count" in found[0].text
    assert found[0].remedy == "Set tokens.bos: exclude, or tokens.max_norm: 400."


def test_nothing_finite() -> None:
    nothing = measured(quality=None, norms=None, layers={}, n_not_finite=30, dtype="float16")
    found = findings(nothing, 5)
    assert found[0].text == "NaN or infinity in the activations of 30 tokens: float16 overflows on this model."
    assert "float32 or bfloat16" in found[0].remedy
    assert "weights may be damaged" in findings(dataclasses.replace(nothing, dtype="float32"), 5)[0].text


def test_a_transcoder_without_target_has_no_fit_to_judge() -> None:
    assert findings(measured(None), 5) == []
