"""Schema of the YAML file that ``mosaic translate`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mosaic_sae.config.block import Block


class Direction(Block):
    """Which rows are translated from where to where."""

    source: list[str] = Field(default_factory=list)
    """Languages to translate from; empty = all but the target."""
    target: Annotated[list[str], Field(min_length=1)]
    """Languages to translate into."""
    only: Literal["train", "test"] | None = None
    """Translate the rows of one side of split_field only: train for translate-train, test for translate-test; null = all rows."""


class LocalTranslator(Block):
    """A sequence-to-sequence model of Hugging Face (Marian, NLLB, M2M100, mBART, T5, ...), on this machine."""

    kind: Literal["local"]
    """Which translator this is."""
    model: str
    """Local folder or hub name; {source} and {target} are filled in ("Helsinki-NLP/opus-mt-{source}-{target}")."""
    revision: str | None = None
    """Commit, tag or branch of the model repository."""
    prefix: str = ""
    """Put before every text; {source} and {target} are filled in ("translate {source} to {target}: ")."""
    codes: dict[str, str] = Field(default_factory=dict)
    """What the model calls a language, where it is not the dataset's name: {en: eng_Latn}. Goes into model, prefix and language tokens."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Texts in one pass."""
    num_beams: Annotated[int, Field(ge=1)] = 4
    """Width of the beam search; 1 = greedy."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest translation; a text whose translation does not end by then counts as not translated."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""


class EndpointTranslator(Block):
    """A chat model behind an OpenAI-compatible address, on a server of your own (vLLM, llama.cpp, Ollama) or a provider's."""

    kind: Literal["openai"]
    """Which translator this is."""
    base_url: str
    """Address up to and without /chat/completions, e.g. http://localhost:8000/v1."""
    model: str
    """Name of the model there."""
    key_variable: str | None = None
    """Environment variable that holds the key; null = the endpoint needs none. The key itself never stands in the file."""
    prompt: str = (
        "Translate the text between the two lines of dashes from {source} into {target}."
        " Answer with the translation alone.\n---\n{text}\n---"
    )
    """What the model is asked; {text}, {source} and {target} are filled in."""
    codes: dict[str, str] = Field(default_factory=dict)
    """What a language is called in the prompt: {de: German}."""
    parallel: Annotated[int, Field(ge=1)] = 4
    """Requests under way at a time."""
    retries: Annotated[int, Field(ge=0)] = 6
    """How often a request is repeated that fails for now (429, 5xx, no connection); waits double from one second, or as told."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds that an answer may take."""

    @model_validator(mode="after")
    def _prompt_holds_the_text(self) -> EndpointTranslator:
        if "{text}" not in self.prompt:
            raise ValueError("prompt: must contain {text}, the place of the text")
        return self


class TableTranslator(Block):
    """Translations that exist already: a table with a row for each item and language."""

    kind: Literal["table"]
    """Which translator this is."""
    table: str
    """A csv, tsv, jsonl or parquet file, or "packaged/NAME"."""
    match_field: str
    """Column, in the data and in the table, that is equal in all translations of one item and differs between items."""
    text_field: str
    """Column of the table with the text."""
    language_field: str
    """Column of the table with the language."""


class TranslationJob(Block):
    """What ``mosaic translate`` does: the rows of a dataset, and translations of them as rows of languages of their own."""

    data: str
    """A csv, tsv, jsonl or parquet file, or "packaged/NAME"."""
    text_field: str
    """Column with the text."""
    language_field: str
    """Column with the language."""
    id_field: str | None = None
    """Column with a unique id; translated rows get ids of their own."""
    split_field: str | None = None
    """Column that says train or test, for ``only``."""
    directions: Annotated[list[Direction], Field(min_length=1)]
    """What is translated into what."""
    translator: Annotated[LocalTranslator | EndpointTranslator | TableTranslator, Field(discriminator="kind")]
    """Who translates: kind local, openai or table."""
    on_missing: Literal["error", "skip"] = "error"
    """What a row without a translation does: stop once all others are done, or leave the row out and count it."""
    out: Path
    """File to write, .parquet or .csv. What was translated so far is kept beside it, in OUT.memory.jsonl."""

    @model_validator(mode="after")
    def _sides_are_known(self) -> TranslationJob:
        if any(direction.only for direction in self.directions) and not self.split_field:
            raise ValueError("only: needs split_field, the column that says train or test")
        if self.out.suffix not in {".parquet", ".csv"}:
            raise ValueError(f"out: must end in .parquet or .csv, got '{self.out.name}'")
        return self
