"""Schema of the YAML file that ``mosaic behaviour`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mosaic_sae.config.block import Block
from mosaic_sae.config.schema import Device


class Questions(Block):
    """Where the questions are, and what is copied beside the answers."""

    name: str
    """Hugging Face name, a csv, tsv, jsonl or parquet file, a folder saved by ``datasets``, or "packaged/NAME"."""
    config_name: str | None = None
    """Configuration of the Hugging Face dataset; empty = none."""
    split: str | None = None
    """Split to load; the file's or repository's only one when absent."""
    revision: str | None = None
    """Commit, tag or branch of the dataset repository."""
    template: str
    """What the model is asked, made from columns: "Question: {question}\\nAnswer:"."""
    id_field: str | None = None
    """Column with a unique id; absent = the row number."""
    keep: list[str] = Field(default=[])
    """Columns copied to the result: group, language, split, topic."""
    max_rows: Annotated[int, Field(ge=1)] | None = None
    """Ask the first rows only."""


class MultipleChoice(Block):
    """The model picks the choice that it finds most likely after the question."""

    kind: Literal["multiple_choice"]
    """multiple_choice: choices are scored by log-probability."""
    choices_field: str | None = None
    """Column with a list of choices."""
    choice_fields: list[str] = Field(default=[])
    """Columns with one choice each, instead."""
    choices: list[str] = Field(default=[])
    """The same choices for every question, instead."""
    answer_field: str
    """Column with the right choice."""
    answer_is: Literal["index", "number", "letter", "text"] = "text"
    """How the answer is written: counted from 0 (false and true are 0 and 1), counted from 1, A to Z, or as the choice itself."""
    separator: str | None = None
    """What stands between question and choice; null = a space, but nothing in a chat or after white space."""
    normalise: Literal["none", "tokens", "bytes"] = "tokens"
    """What a choice's log-probability is divided by before the largest wins: nothing, its tokens, or its UTF-8 bytes."""

    @model_validator(mode="after")
    def _choices_come_from_one_place(self) -> MultipleChoice:
        given = [key for key in ("choices_field", "choice_fields", "choices") if getattr(self, key)]
        if len(given) != 1:
            raise ValueError(f"name one of choices_field, choice_fields and choices, got {' and '.join(given) or 'none'}")
        if len(self.choices or self.choice_fields or ["", ""]) < 2:
            raise ValueError(f"{given[0]}: a choice needs at least two")
        return self


class Exact(Block):
    """Right when the response is an answer, up to case, punctuation and the English articles."""

    kind: Literal["exact"]
    """exact"""


class Includes(Block):
    """Right when the response holds an answer."""

    kind: Literal["includes"]
    """includes"""
    whole_words: bool = True
    """Whether it has to be there as whole words; false for languages without spaces."""


class Regex(Block):
    """Right when a regular expression is found in the response."""

    kind: Literal["regex"]
    """regex"""
    pattern: str
    """Python regular expression; "{answer}" in it stands for an answer."""
    ignore_case: bool = True
    """Whether case does not matter."""


class TokenF1(Block):
    """Right when enough words are shared with an answer."""

    kind: Literal["f1"]
    """f1"""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Smallest F1 of the words that counts as right."""


class Refusal(Block):
    """Only whether the model refuses; no answer is needed."""

    kind: Literal["refusal"]
    """refusal"""


class Judge(Block):
    """Another language model, at an OpenAI-compatible address, says whether the response is right."""

    kind: Literal["judge"]
    """judge"""
    base_url: str
    """Address up to and without /chat/completions, e.g. "http://localhost:8000/v1"."""
    model: str
    """Name of the model there."""
    prompt_file: Path
    """Text file with {question}, {answer} and {response}; it has to ask for CORRECT or WRONG as the first word."""
    key_variable: str | None = None
    """Environment variable that holds the key; null = the endpoint needs none. The key itself never stands in the file."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds that a verdict may take."""


class OpenQuestion(Block):
    """The model answers in its own words, the most likely token each time, and the response is graded."""

    kind: Literal["open"]
    """open: a response is generated and graded."""
    answer_field: str | None = None
    """Column with the answer, or with a list of answers of which each is right."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 32
    """Longest response in tokens."""
    stop: list[str] = Field(default=["\n"])
    """The response ends before the first of these; it also ends where the model ends it."""
    grade: Annotated[Exact | Includes | Regex | TokenF1 | Refusal | Judge, Field(discriminator="kind")]
    """How it is graded."""

    @model_validator(mode="after")
    def _grades_need_answers(self) -> OpenQuestion:
        free = self.grade.kind in ("refusal", "judge") or (isinstance(self.grade, Regex) and "{answer}" not in self.grade.pattern)
        if not (self.answer_field or free):
            raise ValueError(f"answer_field: missing; grade kind {self.grade.kind} compares the response with an answer")
        if any(not text for text in self.stop):
            raise ValueError("stop: an empty text would end every response at once")
        return self


class Behaviour(Block):
    """What one model is asked, and how its answers are judged."""

    name: str
    """Name of the result: out_dir/NAME.parquet."""
    model: str
    """The model that answers: Hugging Face name, local folder, or "packaged/NAME"."""
    revision: str | None = None
    """Commit, tag or branch of the model repository."""
    trust_remote_code: bool = False
    """Whether Python code from the model's repository may run."""
    device_map: Literal["auto"] | None = None
    """auto spreads a model that is larger than one device; null = the whole model on ``device``."""
    quantisation: Literal["none", "8bit", "4bit"] = "none"
    """Precision of the weights, as for models in a run."""
    chat_template: Literal["model", "none"] = "none"
    """model: each question is a user's turn of the model's own template, and the answer the model's turn; none: plain text goes on."""
    system: str | None = None
    """Text of a system turn before it."""
    prepend_bos: Literal["auto", "always", "never"] = "auto"
    """Whether a BOS token is put first; auto = as the tokenizer does it."""
    device: Device = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision; auto = bfloat16 where the processor computes in it, else float32."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Most questions at once; auto fills batches up to a budget of tokens."""
    questions: Questions
    """Where the questions are."""
    ask: Annotated[MultipleChoice | OpenQuestion, Field(discriminator="kind")]
    """How they are asked."""
    on_bad_rows: Literal["error", "skip"] = "error"
    """What an unusable row does (no text, no such answer, too long for the model): stop, or leave it out and count it."""
    out_dir: Path = Path("./output/behaviour")
    """Folder of the results; answers are kept there one by one, so that a killed run goes on."""
    push_to: str | None = None
    """Hugging Face dataset to upload the result to ("owner/name"), made private; needs HF_TOKEN. Null = nothing leaves this machine."""

    @model_validator(mode="after")
    def _system_needs_a_template(self) -> Behaviour:
        if self.chat_template == "none" and self.system is not None:
            raise ValueError("system needs chat_template: model")
        return self
