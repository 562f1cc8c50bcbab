"""``mosaic behaviour``: ask a model a dataset's questions, judge what it says, and write that as a dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from mosaic_sae import __version__
from mosaic_sae.config.behaviour import Behaviour, Judge, MultipleChoice, OpenQuestion
from mosaic_sae.config.schema import Chat, Tokens
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.fsio import slug, write_json, write_with
from mosaic_sae.log import Progress
from mosaic_sae.models.causal import CausalModel
from mosaic_sae.models.chat import chat_frame
from mosaic_sae.models.loading import Loading
from mosaic_sae.models.locate import LocatedModel, locate_model
from mosaic_sae.models.prompts import Prompter
from mosaic_sae.models.text import load_tokenizer, make_policy, resolve_device, resolve_dtype
from mosaic_sae.models.tokenise import make_batches
from mosaic_sae.pipeline.answered import Grader, Prompt, choice_row
from mosaic_sae.pipeline.forward import token_budget
from mosaic_sae.pipeline.push import push, require_token
from mosaic_sae.sources.base import Skipped
from mosaic_sae.sources.load import read_source
from mosaic_sae.sources.questions import Question, make_questions, report_unusable
from mosaic_sae.store.answers import AnswerLog
from mosaic_sae.transfer.judge import JudgeClient

logger = logging.getLogger(__name__)


def ask_model(config: Behaviour) -> Path:
    """Do all of it. Answers that are on disk are not asked for again, also when the grading was changed.

    Returns:
        The parquet file, beside which a JSON file of the same name says how it was made.

    Raises:
        MosaicError: questions or model cannot be read, rows are unusable, or the judge cannot be asked.
    """
    if config.push_to is not None:
        require_token(config.push_to)
    judge = JudgeClient(config.ask.grade) if isinstance(config.ask, OpenQuestion) and isinstance(config.ask.grade, Judge) else None
    table = read_source(config.questions)
    questions, skipped = make_questions(table, config)
    located = locate_model(config.model, config.revision, config.trust_remote_code)
    tokenizer = load_tokenizer(located)
    dtype = resolve_dtype(config.dtype, resolve_device(config.device), located)
    prompts, too_long = _prompts(config, questions, located, tokenizer)
    skipped = [*skipped, *too_long]
    report_unusable(config, skipped, len(prompts))
    path = config.out_dir / f"{slug(config.name)}.parquet"
    loading = Loading(None, config.device_map, config.quantisation)
    mark = fingerprint({"model": located.identity, "dtype": dtype, **loading.identity})
    answers = config.out_dir / "answers" / f"{slug(located.name)}-{mark}.jsonl"
    with FileLock(_made(answers.with_suffix(".lock"))):
        log = AnswerLog(answers)
        _ask_missing(config, prompts, log, lambda: CausalModel(located, tokenizer, config.device, dtype, loading), tokenizer)
        verdicts = AnswerLog(answers.with_suffix(".verdicts.jsonl")) if judge else None
        make_row = partial(choice_row, config.ask) if isinstance(config.ask, MultipleChoice) else Grader(config.ask, judge, verdicts).row
        rows = [make_row(prompt, log[_key(config, prompt)]) for prompt in prompts]
    columns = pa.Table.from_pylist(rows)
    write_with(path, lambda temporary: pq.write_table(columns, temporary))
    about = {
        "mosaic_version": __version__,
        "config": config.model_dump(mode="json"),
        "model": located.identity | {"name": located.name, "dtype": dtype, "licence": located.licence},
        "questions": table.provenance,
        "rows": len(rows),
        "skipped": [{"id": one.id, "reason": one.reason} for one in skipped],
        **_counts(rows),
    }
    write_json(path.with_suffix(".json"), about)
    if config.push_to is not None:
        push([path, path.with_suffix(".json")], config.push_to)
    return path


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _prompts(config: Behaviour, questions: Sequence[Question], located: LocatedModel, tokenizer: Any) -> tuple[list[Prompt], list[Skipped]]:
    """Tokenise the questions; what is longer than the model reads is left out and listed, never cut."""
    chat = chat_frame(tokenizer, config.system, located.name, asks_for_reply=True) if config.chat_template == "model" else None
    bos = {"always": True, "never": False, "auto": None}[config.prepend_bos]
    policy = make_policy(tokenizer, located, bos, Tokens(), Chat())
    prompter = Prompter(tokenizer, policy.prepend_bos, chat)
    prompts, skipped = [], []
    for question in questions:
        if isinstance(config.ask, MultipleChoice):
            separator = prompter.separator(question.text) if config.ask.separator is None else config.ask.separator
            prompt = Prompt(question, *prompter.part(question.text, [separator + choice for choice in question.choices]))
            longest = len(prompt.ids) + max(map(len, prompt.choices))
        else:
            prompt = Prompt(question, prompter.encode(question.text), [])
            longest = len(prompt.ids) + config.ask.max_new_tokens
        if longest > policy.max_length:
            skipped.append(Skipped(question.id, f"{longest} tokens with its answer; {located.name} reads {policy.max_length}"))
        else:
            prompts.append(prompt)
    return prompts, skipped


def _key(config: Behaviour, prompt: Prompt) -> str:
    """Fingerprint of what an answer depends on, besides the model."""
    if isinstance(config.ask, MultipleChoice):
        return fingerprint({"prompt": prompt.ids, "choices": prompt.choices})
    return fingerprint({"prompt": prompt.ids, "max_new_tokens": config.ask.max_new_tokens, "stop": config.ask.stop})


def _ask_missing(config: Behaviour, prompts: Sequence[Prompt], log: AnswerLog, load: Callable[[], CausalModel], tokenizer: Any) -> None:
    missing = list({key: prompt for prompt in prompts if (key := _key(config, prompt)) not in log}.values())
    logger.info(f"{config.name}: {len(prompts):,} questions, {len(missing):,} of them to ask")
    if not missing:
        return
    model = load()
    with Progress(f"Asking {model.name}", len(missing), "questions") as progress:
        for batch in _batches(config, missing, model):
            if isinstance(config.ask, MultipleChoice):
                found: list[Any] = model.choice_log_probs([prompt.ids for prompt in batch], [prompt.choices for prompt in batch])
            else:
                found = _responses(config.ask, batch, model, tokenizer)
            log.add({_key(config, prompt): value for prompt, value in zip(batch, found, strict=True)})
            progress.add(len(batch))


def _batches(config: Behaviour, prompts: Sequence[Prompt], model: CausalModel) -> Iterator[list[Prompt]]:
    more = config.ask.max_new_tokens if isinstance(config.ask, OpenQuestion) else 0
    lengths = np.array([prompt.n_tokens + more for prompt in prompts], dtype=np.int64)
    most = None if config.batch_size == "auto" else config.batch_size
    for rows in make_batches(lengths, most, token_budget(model.device.type)):
        yield [prompts[row] for row in rows]


def _responses(ask: OpenQuestion, batch: Sequence[Prompt], model: CausalModel, tokenizer: Any) -> list[dict[str, Any]]:
    def text_of(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True))

    def is_done(ids: list[int]) -> bool:
        text = text_of(ids)
        return any(stop in text for stop in ask.stop)

    found = model.respond([prompt.ids for prompt in batch], ask.max_new_tokens, is_done)
    return [{"text": _before(text_of(one.ids), ask.stop), "log_prob": one.log_prob, "n_tokens": one.n_scored} for one in found]


def _before(text: str, stops: Sequence[str]) -> str:
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


def _counts(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Count the outcomes, for the file beside the table."""
    found = {}
    for name in ("correct", "refusal"):
        values = [row[name] for row in rows if name in row]
        if values:
            found[name] = {value: values.count(value) for value in sorted(set(values))}
    return found
