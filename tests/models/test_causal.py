"""Log-probabilities and greedy responses against plain loops over the Hugging Face model, one text at a time and without padding."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from factories import WORDS, make_gemma_2, make_model
from mosaic_sae.errors import ModelError
from mosaic_sae.models.causal import CausalModel
from mosaic_sae.models.chat import chat_frame
from mosaic_sae.models.loading import Loading
from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.prompts import Prompter

PROMPTS = [[1, 6, 7], [1, 9, 8, 12, 12, 4, 19], [5]]
CHOICES = [[[8], [9, 10, 11], [9, 10]], [[4, 4], [5]], [[7, 8, 9, 10], [7], [8]]]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> CausalModel:
    return load(tiny_model)


def load(folder: Path) -> CausalModel:
    return CausalModel(locate_model(str(folder)), AutoTokenizer.from_pretrained(folder), "cpu", "float32", Loading())


def by_hand(folder: Path, prompt: list[int], choice: list[int]) -> float:
    """Sum over the choice's tokens of log P(token | all before it), from one pass over prompt and choice."""
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = reference(torch.tensor([prompt + choice])).logits[0].double()
    shares = logits - logits.exp().sum(-1, keepdim=True).log()
    return sum(float(shares[len(prompt) + step - 1, token]) for step, token in enumerate(choice))


def test_log_probs_are_those_of_a_loop_over_whole_texts(model: CausalModel, tiny_model: Path) -> None:
    found = model.choice_log_probs(PROMPTS, CHOICES)
    wanted = [[by_hand(tiny_model, prompt, choice) for choice in of] for prompt, of in zip(PROMPTS, CHOICES, strict=True)]
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert len({round(value, 3) for row in found for value in row}) == 8


def test_company_in_the_batch_changes_nothing(model: CausalModel) -> None:
    together = model.choice_log_probs(PROMPTS, CHOICES)
    for prompt, of, wanted in zip(PROMPTS, CHOICES, together, strict=True):
        assert model.choice_log_probs([prompt], [of])[0] == pytest.approx(wanted, abs=1e-4)
        assert [model.choice_log_probs([prompt], [[one]])[0][0] for one in of] == pytest.approx(wanted, abs=1e-4)


def test_the_first_tokens_of_all_choices_share_the_probability(model: CausalModel) -> None:
    everything = [[token] for token in range(len(WORDS) + 4)]
    assert np.exp(model.choice_log_probs([[1, 6]], [everything])[0]).sum() == pytest.approx(1, abs=1e-5)


def test_sliding_windows_and_soft_caps_hold(tmp_path: Path) -> None:
    from transformers import Gemma2ForCausalLM

    make_gemma_2(tmp_path, sliding_window=4, layer_types=["sliding_attention", "full_attention", "sliding_attention"])
    with pytest.raises(ModelError, match=r"lack .*lm_head" if False else "lack|predicts"):
        # Saved without a head whose weights are its own.
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"final_logit_softcapping": 3.0, "tie_word_embeddings": True}))
    Gemma2ForCausalLM.from_pretrained(tmp_path).save_pretrained(tmp_path)
    found = load(tmp_path).choice_log_probs(PROMPTS, CHOICES)
    for row, (prompt, of) in enumerate(zip(PROMPTS, CHOICES, strict=True)):
        assert found[row] == pytest.approx([by_hand(tmp_path, prompt, choice) for choice in of], abs=1e-4)


def test_a_response_is_the_likeliest_token_each_time(model: CausalModel, tiny_model: Path) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    found = model.respond(PROMPTS, 6, lambda ids: len(ids) > 1 and ids[-1] == ids[-2])
    for prompt, response in zip(PROMPTS, found, strict=True):
        ids: list[int] = []
        total = scored = 0
        while len(ids) < 6:
            logits = reference(torch.tensor([prompt + ids])).logits[0, -1].log_softmax(-1)
            token = int(logits.argmax())
            total, scored = total + float(logits[token]), scored + 1
            if token == 2:
                break
            ids.append(token)
            if len(ids) > 1 and ids[-1] == ids[-2]:
                break
        assert response.ids == ids and response.n_scored == scored
        assert response.log_prob == pytest.approx(total, abs=1e-4)


def test_the_model_ends_its_response(tmp_path: Path) -> None:
    made = AutoModelForCausalLM.from_pretrained(make_model(tmp_path))
    made.lm_head.weight.data[:] = 0  # all tokens equally likely: the first number wins, so make it the end
    made.config.eos_token_id = made.generation_config.eos_token_id = 0
    made.save_pretrained(tmp_path)
    (response,) = load(tmp_path).respond([[1, 6]], 5, lambda _ids: False)
    assert response.ids == [] and response.n_scored == 1 and response.log_prob == pytest.approx(-np.log(20), abs=1e-5)


def test_nan_is_an_error_and_not_an_answer(tmp_path: Path) -> None:
    made = AutoModelForCausalLM.from_pretrained(make_model(tmp_path))
    made.lm_head.weight.data[:] = float("nan")
    made.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="NaN"):
        load(tmp_path).choice_log_probs([[1, 6]], [[[4], [5]]])


class Letters:
    """A tokenizer of letters that joins "ab" and a space with the letter after it, as byte pair encoding would."""

    bos_token_id = 1

    def __call__(self, text: str, **_options: object):
        pieces, place = [], 0
        while place < len(text):
            wide = text[place : place + 2]
            size = 2 if wide == "ab" or (wide[0] == " " and len(wide) == 2 and wide[1] != " ") else 1
            pieces.append(text[place : place + size])
            place += size
        return type("Encoded", (), {"input_ids": [hash_of(piece) for piece in pieces]})


def hash_of(piece: str) -> int:
    return 10 + sum(ord(character) * 300**place for place, character in enumerate(piece))


def test_a_choice_keeps_the_space_before_it() -> None:
    prompter = Prompter(Letters(), prepend_bos=True)
    assert (prompter.separator("Q:"), prompter.separator("Q: "), prompter.separator("Q:\n")) == (" ", "", "")
    shared, choices = prompter.part("Q:", [" x", " yz"])
    assert shared == [1, hash_of("Q"), hash_of(":")]
    assert choices == [[hash_of(" x")], [hash_of(" y"), hash_of("z")]]
    # A space at the end of the question goes with the choice, where the tokenizer puts it.
    assert prompter.part("Q: ", ["x", "yz"]) == (shared, choices)
    assert Prompter(Letters(), prepend_bos=False).part("Q:", [" x"])[0] == shared[1:]


def test_tokens_across_the_border_belong_to_all_choices() -> None:
    shared, choices = Prompter(Letters(), prepend_bos=True).part("Qa", ["b", "c"])
    # With "b" the question's last letter is in one token with the choice: it is scored for every choice.
    assert shared == [1, hash_of("Q")]
    assert choices == [[hash_of("ab")], [hash_of("a"), hash_of("c")]]
    with pytest.raises(ModelError, match="no token before"):
        Prompter(Letters(), prepend_bos=False).part("a", ["b", "c"])


def test_a_chat_opens_the_models_turn_and_has_one_bos(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for turn in messages %}{% if turn.role == 'user' %}how {{ turn.content }} to{% endif %}{% endfor %}"
        "{% if add_generation_prompt %} make{% endif %}"
    )
    chat = chat_frame(tokenizer, None, "tiny", asks_for_reply=True)
    number = tokenizer.convert_tokens_to_ids
    for bos in (True, False):
        prompter = Prompter(tokenizer, bos, chat)
        assert prompter.separator("cake") == ""
        shared, choices = prompter.part("cake", [" garden", " bad cake"])
        assert shared == [1] * bos + number(["how", "cake", "to", "make"])
        assert choices == [number(["garden"]), number(["bad", "cake"])]
    assert chat_frame(tokenizer, None, "tiny").suffix == " to"
