"""A labelled dataset in the YAML file, and the ways to part its rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mosaic_sae.config.block import Block


class SplitSpec(Block):
    """One way to part a dataset into train and test."""

    kind: Literal["random", "column", "holdout", "language", "modality"] = "random"
    """random: stratified and seeded; column: the dataset's own split; holdout: test on all rows whose field has one of the values;
    language: train on each language in turn, test on the test rows of all; modality: the same with texts and images for languages."""
    name: str | None = None
    """Name in tables; null = the kind."""
    field: str | None = None
    """Column that holdout looks at."""
    test_values: list[str] = []
    """Values of ``field`` that make the test part."""
    languages: list[str] = []
    """kind language: languages to train on; empty = all that have min_train rows and every class."""
    min_train: Annotated[int, Field(ge=2)] = 100
    """kinds language and modality: a language (or modality) with fewer training rows is tested on, but not trained on."""
    equal_sizes: bool = True
    """kinds language and modality: whether every training part is reduced to the size of the smallest, whole groups at a time."""
    train_shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [1.0]
    """kinds language and modality: shares of the training part to train on, each its own split; [0.1, 1.0] shows what few
    examples give."""

    @model_validator(mode="after")
    def _keys_belong_to_the_kind(self) -> SplitSpec:
        if self.kind == "holdout" and not (self.field and self.test_values):
            raise ValueError("a holdout split needs field and test_values")
        if self.kind != "holdout" and (self.field or self.test_values):
            raise ValueError(f"field and test_values belong to kind: holdout, not to kind: {self.kind}")
        fields = type(self).model_fields
        keys = [key for key in ("languages", "min_train", "equal_sizes", "train_shares") if getattr(self, key) != fields[key].default]
        if self.by is None and keys:
            raise ValueError(f"{keys[0]}: only for kind: language{' or modality' * (keys[0] != 'languages')}, not for kind: {self.kind}")
        if self.kind == "modality" and self.languages:
            raise ValueError("languages: only for kind: language, not for kind: modality")
        if 1.0 not in self.train_shares:
            raise ValueError("train_shares: must contain 1.0, the whole training part")
        return self

    @property
    def label(self) -> str:
        """Name shown in tables and used in paths."""
        return self.name or self.kind

    @property
    def by(self) -> Literal["language", "modality"] | None:
        """What the domains are that it trains on in turn; None for splits that part a dataset as a whole."""
        return self.kind if self.kind in {"language", "modality"} else None


class DatasetEntry(Block):
    """One labelled dataset."""

    name: str
    """Hugging Face name, a csv, tsv, jsonl or parquet file, a folder of pictures or one saved by ``datasets``, or "packaged/NAME"."""
    config_name: str | None = None
    """Configuration of the Hugging Face dataset; empty = none."""
    split: str | None = None
    """Split to load; the file's or repository's only one when absent."""
    revision: str | None = None
    """Commit, tag or branch of the dataset repository."""
    text_field: str | None = None
    """Column with the text."""
    template: str | None = None
    """Text made from several columns, e.g. "{title}\\n{body}"; instead of text_field."""
    image_field: str | None = None
    """Column with the picture, a path relative to the table or the bytes of an image file; needs model_type: vlm. Rows may have
    a text, a picture, or both."""
    label_field: str
    """Column with the label."""
    id_field: str | None = None
    """Column with a unique id; absent = the row number."""
    group_field: str | None = None
    """Column whose equal values never straddle train and test (document, patient)."""
    language_field: str | None = None
    """Column with the language."""
    split_field: str | None = None
    """Column that says train or test, for splits of kind column and, when named, of kinds language and modality."""
    numeric_fields: list[str] = []
    """Columns of numbers for the baseline columns, each alone and all together ([n_characters, confidence])."""
    max_rows: Annotated[int, Field(ge=2)] | None = None
    """Keep this many rows, sampled by seed, stratified by label."""
    on_bad_rows: Literal["error", "skip"] = "error"
    """What an empty text, an unreadable picture, a missing label or a duplicate id does: stop, or leave the row out and count it."""
    splits: Annotated[list[SplitSpec], Field(min_length=1)] = [SplitSpec()]
    """Ways to part the rows; each is scored on its own."""

    @model_validator(mode="after")
    def _has_an_input(self) -> DatasetEntry:
        if not (self.text_field or self.template or self.image_field):
            raise ValueError("name the input: text_field, template or image_field")
        if self.text_field and self.template:
            raise ValueError("text_field and template exclude each other")
        names = [split.label for split in self.splits]
        if len(set(names)) != len(names):
            raise ValueError(f"splits need different names, got {', '.join(names)}")
        if any(split.kind == "column" for split in self.splits) and not self.split_field:
            raise ValueError("a split of kind column needs split_field")
        if any(split.kind == "language" for split in self.splits):
            if not self.language_field:
                raise ValueError("a split of kind language needs language_field, the column that says the language of each row")
            if not (self.split_field or self.group_field):
                raise ValueError(
                    "a split of kind language needs group_field, the column in which translations of one item are equal"
                    " (if no rows are translations of each other, name the text column), or split_field, the dataset's own split"
                )
        if any(split.kind == "modality" for split in self.splits):
            if not (self.image_field and (self.text_field or self.template)):
                raise ValueError("a split of kind modality needs image_field, and text_field or template")
            if not (self.split_field or self.group_field):
                raise ValueError(
                    "a split of kind modality needs group_field, the column in which the text and the picture of one item are equal"
                    " (if no rows belong together, name the id column), or split_field, the dataset's own split"
                )
        return self
