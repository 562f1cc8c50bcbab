"""The one schema of the YAML file. A string under a field is its documentation (``docs/config.md`` is made from it)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mosaic_sae.config.poolings import canonical_pooling

Pooling = Annotated[int | str, AfterValidator(canonical_pooling)]
Baseline = Literal["majority", "shuffled_labels", "tfidf", "pixels", "dense_mean", "dense_last", "dense_max", "vision_tower", "random_sae"]


_RESERVED = ("points", "evidence", "splits", "names")


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError("allowed: auto, cpu, mps, cuda, cuda:0, cuda:1, ...")
    return name


class Block(BaseModel):
    """Base of every block: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class Settings(Block):
    """Where results go and how the machine is used."""

    base_save_dir: Path = Path("./output/activations")
    """Folder of the stores: token-level latents and pooled hidden states."""
    base_classify_dir: Path = Path("./output/classifications")
    """Folder of the results: points, tables, report."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Most texts in one forward pass; "auto" fills batches up to a budget of tokens. Changes speed only."""
    model_type: Literal["llm", "vlm"] = "llm"
    """Language model or vision-language model."""
    sae_location: Literal["res", "mlp", "att"] = "res"
    """Where the SAE is: at the residual stream, the MLP or attention of the block. The SAE's files say the exact site."""
    test_size: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of examples held out by the random split."""
    tree_depth: Annotated[int, Field(ge=1)] = 5
    """Deepest decision tree that cross-validation may choose."""
    act_only: bool = False
    """True keeps token-level hidden states on disk, so that another SAE needs no model pass; false keeps sparse latents only."""
    cuda_visible_devices: str | None = None
    """Exported as CUDA_VISIBLE_DEVICES before the model loads."""
    seed: int = 42
    """Seed of sampling, splits, cross-validation, bootstrap and controls."""
    device: Annotated[str, AfterValidator(_device)] = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the model pass; auto = bfloat16 where the processor computes in it, else float32. SAEs encode in float32."""
    store_dtype: Literal["float32", "float16"] = "float32"
    """Precision of stored latent values."""
    shard_rows: Annotated[int, Field(ge=1)] = 512
    """Examples in one shard; a killed run loses at most one shard of work."""


class Tokens(Block):
    """Which tokens the model sees and which count in pooling."""

    bos: Literal["exclude", "include"] = "exclude"
    """Whether BOS and other special tokens count in pooling. Their norm drowns the rest; max_norm holds for them too."""
    prepend_bos: Literal["auto", "always", "never"] = "auto"
    """Whether a BOS token is put first; auto = as the SAE was trained, else as the tokenizer does it."""
    max_length: Annotated[int, Field(ge=2)] | None = None
    """Longest sequence in tokens; null = what the model allows."""
    long_texts: Literal["truncate", "window"] = "truncate"
    """A text longer than max_length is cut, or read in overlapping windows and pooled over all of them; either is counted and reported."""
    stride: Annotated[int, Field(ge=1)] | None = None
    """Tokens from one window to the next; null = half of max_length. A token counts in the window with most text before it."""
    max_norm: Annotated[float, Field(gt=0)] | Literal["auto"] | None = "auto"
    """Tokens with a larger activation norm do not count (massive activations); auto = the limit stored with the SAE, null = none."""
    pool: Literal["auto", "image", "text", "all"] = "auto"
    """model_type vlm: which tokens of a row with a picture count: its image tokens, those of its text or prompt, or both; auto = the
    image tokens. Of a row without a picture the text's tokens count; image does not go with such rows."""


class Chat(Block):
    """Whether texts are put into the model's chat template."""

    template: Literal["model", "none"] = "none"
    """model: each text becomes the user's turn of the model's own template; none: the text as it is."""
    system: str | None = None
    """Text of a system turn before it."""
    pool: Literal["user", "all"] = "user"
    """Which tokens count: the text's own, or the template's words too."""

    @model_validator(mode="after")
    def _system_needs_a_template(self) -> Chat:
        if self.template == "none" and self.system is not None:
            raise ValueError("chat.system needs chat.template: model")
        return self


class SaeBlock(Block):
    """Where one SAE, or one per layer and width, is found: a path, or a release and an id of SAELens's registry.

    ``{layer}``, ``{width}`` and ``{site}`` in ``path`` and ``sae_id`` are filled in.
    """

    format: Literal["saelens", "gemma_scope", "gemma_scope_2", "llama_scope", "qwen_scope", "sparsify", "dictionary_learning"] = "saelens"
    """File format; a release states its own."""
    path: str = ""
    """A folder, or the one file of a qwen_scope SAE (with a repo: inside it), or "packaged/NAME" for one that ships with MOSAIC."""
    repo: str | None = None
    """Hugging Face repository that holds the folder; null = a local path."""
    revision: str | None = None
    """Commit, tag or branch of ``repo``."""
    release: str | None = None
    """Release in SAELens's registry, instead of path; needs the extra [saelens]."""
    sae_id: str | None = None
    """Id of the SAE in ``release``, e.g. "layer_{layer}/width_{width}/canonical"."""
    norm_scaling_factor: Annotated[float, Field(gt=0)] | None = None
    """Factor that activations were scaled by in training, for SAEs normalised by expected_average_only_in whose files lack it."""
    normalize_activations: Literal["none", "layer_norm", "constant_norm_rescale", "centre"] | None = None
    """How each token is normalised before encoding, for SAEs whose files say it wrongly; null = as they say."""
    center_writing_weights: bool = False
    """True for an SAE trained on a model with centred writing weights (TransformerLens): it reads activations minus their mean."""
    l0: Annotated[float, Field(gt=0)] | None = None
    """Mean active latents per token that the SAE's maker measured, for SAEs whose files do not say."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> SaeBlock:
        if bool(self.release) != bool(self.sae_id):
            raise ValueError("release and sae_id go together; name both, or neither")
        if self.release and (self.path or self.repo or self.revision):
            raise ValueError("release and sae_id say where the SAE is; path, repo and revision exclude them")
        if not (self.release or self.path):
            raise ValueError(
                "path: missing; say where the SAE is, by a path (a folder; with repo, one inside it), or by release and sae_id"
            )
        return self


class Names(Block):
    """Names of the latents of an entry's SAEs. ``{layer}`` and ``{width}`` are filled in. They change no number."""

    file: str | None = None
    """JSON, JSON Lines or CSV (also .gz) of index and text, or a Neuronpedia export, file or folder."""
    neuronpedia: str | None = None
    """MODEL/SOURCE as in Neuronpedia's addresses, e.g. "gemma-2-2b/{layer}-gemmascope-res-16k"; names link there."""
    fetch: bool = False
    """Whether to download the names of ``neuronpedia`` once; they are kept beside the results."""

    @model_validator(mode="after")
    def _names_come_from_somewhere(self) -> Names:
        if not (self.file or self.fetch):
            raise ValueError("name a file, or set fetch: true with neuronpedia")
        if self.fetch and not self.neuronpedia:
            raise ValueError("fetch needs neuronpedia, MODEL/SOURCE as in the site's addresses")
        return self


class ModelEntry(Block):
    """One model and the SAEs to read it with."""

    name: str
    """Hugging Face name, local folder, or "packaged/NAME"."""
    layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Blocks that are read, counted from 0."""
    widths: list[str] = []
    """SAE widths, as their release spells them ("16k")."""
    revision: str | None = None
    """Commit, tag or branch of the model repository."""
    trust_remote_code: bool = False
    """Whether Python code from the model's repository may run; models that transformers does not know need it."""
    blocks: str | None = None
    """Module path of the list of blocks ("model.layers"); null = known, or found as the outermost list of that length."""
    device_map: Literal["auto"] | None = None
    """auto spreads a model that is larger than one device over all GPUs, then memory; null = the whole model on settings.device."""
    quantisation: Literal["none", "8bit", "4bit"] = "none"
    """Precision of the weights: none = settings.dtype; 8bit and 4bit need a CUDA GPU and bitsandbytes, and change the numbers."""
    chat: Chat = Chat()
    """Chat template; SAEs trained on plain text fit plain text best."""
    prompt: str = ""
    """model_type vlm: text put after the picture of a row that has no text of its own ("describe en")."""
    sae: SaeBlock | None = None
    """Where the SAEs are; needed unless the model is one with a known public release."""
    names: Names | None = None
    """Names of the SAEs' latents, shown beside the latents with their source."""

    @model_validator(mode="after")
    def _widths_fill_the_path(self) -> ModelEntry:
        if not self.sae:
            return self
        key, place = ("sae.sae_id", self.sae.sae_id) if self.sae.sae_id else ("sae.path", self.sae.path)
        if "{width}" in place and not self.widths:
            raise ValueError(f"{key} contains {{width}}, but widths is empty; list the widths")
        if "{width}" not in place and len(self.widths) > 1:
            raise ValueError(f"several widths, but {key} has no {{width}} to tell them apart")
        if "{layer}" not in place and len(self.layers) > 1:
            raise ValueError(f"several layers, but {key} has no {{layer}} to tell them apart")
        return self


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


class ClassificationParams(Block):
    """The grid of features, and how classifiers are chosen and judged."""

    top_n_values: Annotated[list[Pooling], Field(min_length=1)] = ["sum", "max", "mean", "last"]
    """Poolings over tokens: sum, mean, max, last, count_top_n(N); integers are aliases (0 = sum, N = count_top_n(N), -1 = last)."""
    binarize_values: Annotated[list[Annotated[float, Field(gt=0)] | None], Field(min_length=1)] = [None, 1.0]
    """Thresholds: a pooled value >= the threshold becomes 1, else 0; null = keep the values."""
    extra_top_n: Pooling | None = None
    """One more pooling, used with extra_binarize_value only."""
    extra_binarize_value: Annotated[float, Field(gt=0)] | None = None
    """Threshold that goes with extra_top_n."""
    classifiers: Annotated[list[Literal["logistic", "tree"]], Field(min_length=1)] = ["logistic", "tree"]
    """Classifiers fitted on SAE features."""
    baselines: list[Baseline] = ["majority", "shuffled_labels", "tfidf", "dense_mean", "dense_last", "random_sae"]
    """Baselines and controls, on the same rows and split."""
    penalties: Annotated[list[Literal["l1", "l2"]], Field(min_length=1)] = ["l2", "l1"]
    """Penalties of the logistic probe that cross-validation chooses from."""
    c_values: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.01, 0.1, 1.0, 10.0]
    """Inverse penalty strengths that cross-validation chooses from."""
    cv_folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the cross-validation inside the training part."""
    n_bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples of the test part for the 95 % interval."""

    @property
    def feature_grid(self) -> list[tuple[str, float | None]]:
        """All (pooling, threshold) pairs, without repeats, in the order given."""
        pairs = [(str(pooling), value) for pooling in self.top_n_values for value in self.binarize_values]
        if self.extra_top_n is not None:
            pairs.append((str(self.extra_top_n), self.extra_binarize_value))
        return list(dict.fromkeys(pairs))


class Experiment(Block):
    """A whole configuration file."""

    name: str | None = None
    """Name of the run; absent = the file's name."""
    settings: Settings = Settings()
    """Folders, device, split, seed."""
    tokens: Tokens = Tokens()
    """Which tokens are read and pooled."""
    models: Annotated[list[ModelEntry], Field(min_length=1)]
    """Models, their layers and SAEs."""
    datasets: Annotated[list[DatasetEntry], Field(min_length=1)]
    """Labelled datasets."""
    classification_params: ClassificationParams = ClassificationParams()
    """Poolings, thresholds, classifiers, baselines."""

    @model_validator(mode="after")
    def _windows_hold_no_template(self) -> Experiment:
        if self.tokens.long_texts == "window" and any(entry.chat.template == "model" for entry in self.models):
            raise ValueError("tokens.long_texts: window and models.chat.template: model exclude each other; use long_texts: truncate")
        return self

    @model_validator(mode="after")
    def _pool_and_prompt_belong_to_pictures(self) -> Experiment:
        if self.settings.model_type != "vlm":
            if self.tokens.pool != "auto":
                raise ValueError(f"tokens.pool: {self.tokens.pool} needs settings.model_type: vlm; a language model reads texts alone")
            if prompted := [entry.name for entry in self.models if entry.prompt]:
                raise ValueError(f"models.prompt of {prompted[0]} needs settings.model_type: vlm; it is put after a picture")
        return self

    @model_validator(mode="after")
    def _pictures_have_a_reader(self) -> Experiment:
        pictured = [entry.name for entry in self.datasets if entry.image_field]
        if pictured and self.settings.model_type != "vlm":
            raise ValueError(f"datasets: {pictured[0]} has image_field, and pictures need settings.model_type: vlm")
        readers = [name for name in ("pixels", "vision_tower") if name in self.classification_params.baselines]
        if readers and not pictured:
            raise ValueError(f"classification_params.baselines: {readers[0]} reads pictures, but no dataset has image_field")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Experiment:
        if self.name in _RESERVED:
            raise ValueError(f"name: '{self.name}' is a folder of results that all runs share; choose another name")
        for key, names in (("datasets", [entry.name for entry in self.datasets]), ("models", [entry.name for entry in self.models])):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key}: {', '.join(twice)} is listed twice; results are told apart by name")
        return self
