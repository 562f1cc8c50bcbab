"""Validation errors in words: one sentence per key, all of them at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mosaic_sae.config.lines import dotted
from mosaic_sae.config.problems import find_problems, validate
from mosaic_sae.config.schema import Experiment


def valid(**changes: Any) -> dict[str, Any]:
    """A small valid config; ``changes`` replace top-level keys."""
    return {
        "models": [{"name": "m", "layers": [1]}],
        "datasets": [{"name": "d", "text_field": "text", "label_field": "label"}],
        **changes,
    }


def told(data: Any, model: type[BaseModel] = Experiment) -> dict[str, str]:
    """Problems as {dotted path: text}; a path that is reported twice fails the test."""
    problems = find_problems(model, data)
    paths = [dotted(problem.path) for problem in problems]
    assert len(set(paths)) == len(paths), problems
    return {dotted(problem.path): problem.text for problem in problems}


def test_a_valid_config_has_no_problems():
    assert find_problems(Experiment, valid()) == []
    assert validate(Experiment, valid()).models[0].layers == [1]


@pytest.mark.parametrize(
    ("settings", "path", "text"),
    [
        ({"batch_size": "x"}, "batch_size", "got 'x'; allowed: a whole number >= 1 or auto."),
        ({"batch_size": 0}, "batch_size", "got 0; allowed: a whole number >= 1 or auto."),
        ({"batch_size": "atuo"}, "batch_size", "got 'atuo'; allowed: a whole number >= 1 or auto. Did you mean 'auto'?"),
        ({"batch_size": 2.0}, "batch_size", "got 2.0; allowed: a whole number >= 1 or auto. Write 2."),
        ({"act_only": "yes"}, "act_only", "got 'yes'; allowed: true or false. Write true."),
        ({"act_only": 1}, "act_only", "got 1; allowed: true or false."),
        ({"seed": True}, "seed", "got true; allowed: a whole number."),
        ({"tree_depth": "5"}, "tree_depth", "got '5'; allowed: a whole number >= 1. Write 5 without quotes."),
        ({"test_size": 1.5}, "test_size", "got 1.5; allowed: a number > 0 and < 1."),
        ({"test_size": None}, "test_size", "got null; allowed: a number > 0 and < 1. Remove the key to use its default, 0.2."),
        ({"cuda_visible_devices": 0}, "cuda_visible_devices", 'got 0; allowed: text or null. Put it in quotes: "0".'),
        ({"base_save_dir": ["a"]}, "base_save_dir", "got a list; allowed: a path."),
        ({"model_type": "LLM"}, "model_type", "got 'LLM'; allowed: llm or vlm. Did you mean 'llm'?"),
        ({"sae_location": "banana"}, "sae_location", "got 'banana'; allowed: res, mlp or att."),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed_and_what_to_do(settings, path, text):
    assert told(valid(settings=settings)) == {f"settings.{path}": text}


def test_a_misspelt_key_gets_the_nearest_name_and_the_allowed_ones():
    text = told(valid(settings={"sede": 7}))["settings.sede"]
    assert text.startswith("unknown key. Did you mean 'seed'? Keys allowed here: base_save_dir, ")
    assert "shard_rows" in text


def test_a_key_in_the_wrong_block_is_sent_to_its_own():
    assert told(valid(seed=7))["seed"] == "unknown key here; 'seed' belongs in settings. Move it there."
    assert "belongs in an item of datasets" in told(valid(settings={"text_field": "x"}))["settings.text_field"]


def test_a_misspelt_required_key_is_one_problem_and_its_value_is_checked():
    dataset = {"name": "d", "text_field": "text", "label_feild": 5}
    texts = [(dotted(problem.path), problem.text) for problem in find_problems(Experiment, valid(datasets=[dataset]))]
    assert [path for path, _ in texts] == ["datasets.0.label_feild", "datasets.0.label_feild"]
    assert "Did you mean 'label_field'?" in texts[0][1]
    assert texts[1][1] == 'got 5; allowed: text. Put it in quotes: "5".'


def test_missing_keys_say_what_they_are_for():
    problems = told({"models": [{"name": "m"}], "datasets": [{"name": "d", "text_field": "t"}]})
    assert set(problems) == {"models.0.layers", "datasets.0.label_field"}
    assert problems["datasets.0.label_field"].startswith("missing; this key is needed (Column with the label). Allowed: text.")
    assert set(told({})) == {"models", "datasets"}


def test_a_union_is_one_problem_and_an_item_is_told_rather_than_its_list():
    params = {"top_n_values": ["summ", True, -3, "count_top_n(0)"], "binarize_values": [None, "a"], "extra_top_n": "lst", "c_values": []}
    problems = told(valid(classification_params=params))
    at = "classification_params."
    assert set(problems) == {
        *(f"{at}top_n_values.{number}" for number in range(4)),
        f"{at}binarize_values.1",
        f"{at}extra_top_n",
        f"{at}c_values",
    }
    assert problems[f"{at}top_n_values.0"].endswith("Did you mean 'sum'?")
    assert problems[f"{at}top_n_values.1"].startswith("got true; allowed: sum, mean, max, last, count_top_n(N)")
    assert problems[f"{at}extra_top_n"].endswith("Did you mean 'last'?")
    assert problems[f"{at}c_values"] == "got an empty list; allowed: a list of at least 1 item (each: a number > 0)."


def test_lists_and_blocks_written_the_short_way_are_spelt_out():
    data = valid(models=["google/gemma-2b"], classification_params={"penalties": "l1"}, tokens=None)
    problems = told(data)
    assert problems["models.0"].endswith("Write a block that begins with 'name: google/gemma-2b'.")
    assert problems["models.0.layers"].startswith("missing")  # found in the same go
    assert problems["classification_params.penalties"].endswith("Write a list: [l1].")
    assert problems["tokens"].endswith("Remove the key to use its defaults.")
    assert told(valid(datasets={"name": "d"}))["datasets"].endswith("This is a list: begin each of its blocks with '- '.")


def test_checks_of_several_keys_run_although_other_keys_are_wrong():
    dataset = {
        "name": "d",
        "text_field": "a",
        "template": "{a}",
        "max_rows": 1,
        "lable_field": "b",
        "splits": [{"kind": "holdoutt"}, {"kind": "holdout"}],
    }
    texts = [(dotted(problem.path), problem.text) for problem in find_problems(Experiment, valid(datasets=[dataset]))]
    found = dict(texts)
    assert set(found) == {f"datasets.0{rest}" for rest in ("", ".max_rows", ".lable_field", ".splits.0.kind", ".splits.0", ".splits.1")}
    assert len(texts) == 6
    assert "exclude each other" in found["datasets.0"]
    assert "needs field and test_values" in found["datasets.0.splits.0"]  # judged as the holdout that was meant


def test_nothing_is_said_about_a_stand_in():
    # kind: zzz is mended by its default, random; that "field belongs to kind: holdout" would be a complaint about the stand-in.
    dataset = {"name": "d", "text_field": "a", "label_field": "b", "splits": [{"kind": "zzz", "field": "f", "test_values": ["v"]}]}
    assert list(told(valid(datasets=[dataset]))) == ["datasets.0.splits.0.kind"]
    # the missing sae.path gets a stand-in without {layer}
    model = {"name": "m", "layers": [1, 2], "sae": {"repo": "r"}}
    assert list(told(valid(models=[model]))) == ["models.0.sae.path"]


class _Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["cat"]
    lives: int = 9


class _Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["dog"]
    tricks: list[str] = []


class _Home(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pet: Annotated[_Cat | _Dog, Field(discriminator="kind")]
    name: str = "home"
    door: int = 1

    @field_validator("name")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value) > 5:
            raise ValueError("a name has at most 5 letters")
        return value

    @model_validator(mode="after")
    def _together(self) -> _Home:
        if self.door == 2:
            raise ValueError("door: a home has no second door\nthe name and the door do not fit")
        return self


def test_tagged_unions():
    assert told({"pet": {"kind": "catt"}}, _Home) == {"pet.kind": "got 'catt'; allowed: cat, dog. Did you mean 'cat'?"}
    assert told({"pet": {}}, _Home) == {"pet.kind": "missing; allowed: cat, dog. Add the line 'kind: ...'."}
    problems = told({"pet": {"kind": "dog", "lives": 3, "trick": []}}, _Home)
    assert set(problems) == {"pet.lives", "pet.trick"}
    assert problems["pet.trick"] == "unknown key. Did you mean 'tricks'? Keys allowed here: kind, tricks."


def test_messages_of_checks_keep_their_words_and_find_their_key():
    assert told({"pet": {"kind": "cat"}, "name": "palace"}, _Home) == {"name": "got 'palace'; a name has at most 5 letters."}
    problems = find_problems(_Home, {"pet": {"kind": "cat"}, "door": 2})
    assert [(dotted(problem.path), problem.text) for problem in problems] == [
        ("door", "a home has no second door."),
        ("", "the name and the door do not fit."),
    ]


def test_a_language_split_says_what_it_needs():
    dataset = {"name": "d", "text_field": "a", "label_field": "b", "splits": [{"kind": "language"}]}
    assert "language_field, the column that says" in told(valid(datasets=[dataset]))["datasets.0"]
    assert "name the text column" in told(valid(datasets=[dataset | {"language_field": "l"}]))["datasets.0"]
    assert told(valid(datasets=[dataset | {"language_field": "l", "group_field": "g"}])) == {}
    keys = {"kind": "random", "min_train": 9, "equal_sizes": True}  # a default, spelt out, is no mistake
    told_of = told(valid(datasets=[dataset | {"splits": [keys]}]))
    assert told_of == {"datasets.0.splits.0.min_train": "only for kind: language or modality, not for kind: random."}
    shares = {"kind": "language", "train_shares": [0.5]}
    assert "must contain 1.0" in told(valid(datasets=[dataset | {"splits": [shares]}]))["datasets.0.splits.0.train_shares"]
