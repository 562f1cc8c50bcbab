"""The one schema of the YAML file. A string under a field is its documentation (``docs/config.md`` is made from it)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mosaic_sae.config.block import Block
from mosaic_sae.config.dataset_entry import DatasetEntry
from mosaic_sae.config.poolings import canonical_pooling

Pooling = Annotated[int | str, AfterValidator(canonical_pooling)]
Baseline = Literal[
    "majority", "shuffled_labels", "tfidf", "pixels", "dense_mean", "dense_last", "dense_max", "vision_tower", "columns", "random_sae"
]


_RESERVED = ("points", "evidence", "splits", "names")


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError("allowed: auto, cpu, mps, cuda, cuda:0, cuda:1, ...")
    return name


Device = Annotated[str, AfterValidator(_device)]


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
    device: Device = "auto"
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


class ModelPair(Block):
    """A classifier of one model, tested on the features of another one that is read with the same SAE."""

    train: str
    """Name of the model whose classifiers are taken."""
    test: str
    """Name of the model that they are tested on; its entry has the same layers and the same sae: block."""


class Transfer(Block):
    """Transfer that needs more than the splits of a dataset."""

    by: Literal["language", "modality"] | None = None
    """Gives every dataset that names the columns for it a split of this kind, if it has none; as ``splits: [{kind: language}]`` does,
    where languages, sizes and shares can be set."""
    models: list[ModelPair] = []
    """Pairs of models, such as a base model and its instruct version."""


_COLUMN_OF = {"language": "language_field", "modality": "image_field"}


def _with_split(entry: Any, by: str) -> Any:
    """Add a split of kind ``by`` to a dataset's keys as they were written, if it has the column and no such split."""
    if not isinstance(entry, dict) or not entry.get(_COLUMN_OF[by]):
        return entry
    splits = entry.get("splits") or []
    if not isinstance(splits, list) or any(isinstance(split, dict) and split.get("kind") == by for split in splits):
        return entry
    return {**entry, "splits": [*splits, {"kind": by}]}


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
    transfer: Transfer = Transfer()
    """Transfer across models. Transfer across languages is a kind of split."""

    @model_validator(mode="after")
    def _pairs_name_models(self) -> Experiment:
        names = [entry.name for entry in self.models]
        for place, pair in enumerate(self.transfer.models):
            for key, name in (("train", pair.train), ("test", pair.test)):
                if name not in names:
                    raise ValueError(f"transfer.models.{place}.{key}: '{name}' is not in models: {', '.join(names)}")
            if pair.train == pair.test:
                raise ValueError(f"transfer.models.{place}: train and test are both '{pair.train}'; that is the model's own score")
        return self

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
    def _columns_are_there(self) -> Experiment:
        if "columns" in self.classification_params.baselines and not any(entry.numeric_fields for entry in self.datasets):
            raise ValueError("classification_params.baselines: columns needs numeric_fields in a dataset: the columns of numbers to use")
        return self

    @model_validator(mode="before")
    @classmethod
    def _splits_of_transfer(cls, data: Any) -> Any:
        # Only what has the right form is looked at; the rest is reported by the fields themselves.
        transfer, datasets = (data.get("transfer"), data.get("datasets")) if isinstance(data, dict) else (None, None)
        by = transfer.get("by") if isinstance(transfer, dict) else None
        if by not in _COLUMN_OF or not isinstance(datasets, list):
            return data
        return {**data, "datasets": [_with_split(entry, by) for entry in datasets]}

    @model_validator(mode="after")
    def _transfer_has_data(self) -> Experiment:
        by = self.transfer.by
        if by and not any(split.kind == by for entry in self.datasets for split in entry.splits):
            raise ValueError(f"transfer.by: {by} needs a dataset that names {_COLUMN_OF[by]}, the column to go by")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Experiment:
        if self.name in _RESERVED:
            raise ValueError(f"name: '{self.name}' is a folder of results that all runs share; choose another name")
        for key, names in (("datasets", [entry.name for entry in self.datasets]), ("models", [entry.name for entry in self.models])):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key}: {', '.join(twice)} is listed twice; results are told apart by name")
        return self
