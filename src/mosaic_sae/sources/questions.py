"""Questions for a model: prompts from a template, choices and right answers from columns."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mosaic_sae.config.behaviour import Behaviour, MultipleChoice, OpenQuestion
from mosaic_sae.errors import SourceError, nearest
from mosaic_sae.sources.base import Skipped, Table
from mosaic_sae.sources.cells import is_blank, is_valid_unicode, to_text, to_texts
from mosaic_sae.sources.rows import fill_template, template_parts

_LISTED = 5


@dataclass(frozen=True)
class Question:
    """What is asked, and what is right."""

    id: str
    text: str
    choices: tuple[str, ...] = ()
    """Multiple choice only."""
    answer: int | None = None
    """Number of the right choice; multiple choice only."""
    answers: tuple[str, ...] = ()
    """Right answers of an open question; may be empty where the grade needs none."""
    kept: dict[str, str | None] = field(default_factory=dict)
    """Columns that go with the answer."""


class _Unusable(Exception):
    """Why one row cannot be asked."""


def make_questions(table: Table, config: Behaviour) -> tuple[list[Question], list[Skipped]]:
    """Make the questions of a table, in its order.

    Returns:
        The questions, and the rows that were left out.

    Raises:
        SourceError: a column is missing, rows are unusable and ``on_bad_rows`` is "error", or no row is left.
    """
    where, ask = f"dataset '{config.questions.name}'", config.ask
    parts = template_parts(config.questions.template, where)
    _check_columns(table, config, [name for _, name in parts if name])

    def texts(name: str) -> list[str | None]:
        return to_texts(table.load(name), f"{where}: column '{name}'", table.class_names.get(name))

    prompts = fill_template(parts, table.n_rows, texts)
    numbers = [str(number) for number in table.row_numbers or range(table.n_rows)]
    ids = numbers if config.questions.id_field is None else [cell or "" for cell in texts(config.questions.id_field)]
    kept = {name: texts(name) for name in config.questions.keep}
    make = _choice_maker(table, ask, where) if isinstance(ask, MultipleChoice) else _answer_maker(table, ask, where)
    found: dict[str, Question] = {}
    skipped = list(table.malformed)
    for row in range(table.n_rows):
        if len(found) == config.questions.max_rows:
            break
        try:
            _check_row(ids[row], prompts[row], found)
            about = {name: cells[row] for name, cells in kept.items()}
            found[ids[row]] = Question(ids[row], prompts[row], kept=about, **make(row))
        except _Unusable as reason:
            skipped.append(Skipped(ids[row] or f"row {numbers[row]}", str(reason)))
    report_unusable(config, skipped, len(found))
    return list(found.values()), skipped


def report_unusable(config: Behaviour, skipped: Sequence[Skipped], n_left: int) -> None:
    """Refuse unusable rows unless they are to be skipped.

    Raises:
        SourceError: there are some and ``on_bad_rows`` is "error", or no row is left.
    """
    listed = "; ".join(f"{one.id}: {one.reason}" for one in skipped[:_LISTED])
    if skipped and (config.on_bad_rows == "error" or not n_left):
        more = f"; and {len(skipped) - _LISTED:,} more" if len(skipped) > _LISTED else ""
        raise SourceError(
            f"dataset '{config.questions.name}': {len(skipped):,} rows cannot be asked ({listed}{more})."
            " Mend them, or set on_bad_rows: skip to leave them out and count them."
        )
    if not n_left:
        raise SourceError(f"dataset '{config.questions.name}': there is no row to ask.")


def _check_row(name: str, prompt: str, found: dict[str, Question]) -> None:
    if is_blank(prompt):
        raise _Unusable("empty text")
    if is_blank(name):
        raise _Unusable("missing id")
    if not (is_valid_unicode(prompt) and is_valid_unicode(name)):
        raise _Unusable("not valid Unicode")
    if name in found:
        raise _Unusable("duplicate id")


def _choice_maker(table: Table, ask: MultipleChoice, where: str) -> Callable[[int], dict[str, Any]]:
    """Return what gives the choices and the right one of a row."""
    answers = table.load(ask.answer_field)
    names = table.class_names.get(ask.answer_field)
    if ask.choices_field:
        lists = [_listed(cell) for cell in table.load(ask.choices_field)]
    elif ask.choice_fields:
        columns = [table.load(name) for name in ask.choice_fields]
        lists = [list(cells) for cells in zip(*columns, strict=True)]
    else:
        lists = [list(ask.choices)] * table.n_rows

    def make(row: int) -> dict[str, Any]:
        choices = [to_text(cell, f"{where}: a choice") for cell in lists[row]]
        if any(is_blank(choice) for choice in choices):
            raise _Unusable("empty choice")
        if len(choices) < 2:
            raise _Unusable(f"{len(choices)} choices, needs at least two")
        if len(set(choices)) < len(choices):
            raise _Unusable("two choices are the same")
        cell = answers[row]
        if ask.answer_is == "text" and names is not None and isinstance(cell, int) and 0 <= cell < len(names):
            cell = names[cell]
        return {"choices": tuple(choices), "answer": _right_choice(cell, choices, ask)}

    return make


def _listed(cell: Any) -> list[Any]:
    """Return the items of a list cell; files without lists may hold one as JSON."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except json.JSONDecodeError:
            return []
    return list(cell) if isinstance(cell, (list, tuple)) else []


def _right_choice(cell: Any, choices: list[Any], ask: MultipleChoice) -> int:
    text = to_text(int(cell) if isinstance(cell, bool) and ask.answer_is == "index" else cell, "answer")
    if is_blank(text):
        raise _Unusable("missing answer")
    text = str(text).strip()
    if ask.answer_is == "text":
        places = [place for place, choice in enumerate(choices) if choice.strip() == text]
    elif ask.answer_is == "letter":
        places = [string.ascii_uppercase.index(text.upper())] if len(text) == 1 and text.upper() in string.ascii_uppercase else []
    else:
        places = [int(text) - (ask.answer_is == "number")] if text.isdecimal() else []
    if not places or not 0 <= places[0] < len(choices):
        raise _Unusable(f"answer '{text}' (answer_is: {ask.answer_is}) is none of its {len(choices)} choices")
    return places[0]


def _answer_maker(table: Table, ask: OpenQuestion, where: str) -> Callable[[int], dict[str, Any]]:
    """Return what gives the right answers of a row."""
    if ask.answer_field is None:
        return lambda _row: {}
    cells = table.load(ask.answer_field)
    names = table.class_names.get(ask.answer_field)

    def make(row: int) -> dict[str, Any]:
        cell = cells[row]
        if isinstance(cell, (list, tuple)):
            texts = [to_text(one, f"{where}: an answer") for one in cell]
        else:
            texts = to_texts([cell], f"{where}: column '{ask.answer_field}'", names)
        answers = tuple(text for text in texts if text is not None and not is_blank(text))
        if not answers:
            raise _Unusable("missing answer")
        return {"answers": answers}

    return make


def _check_columns(table: Table, config: Behaviour, template_columns: list[str]) -> None:
    ask = config.ask
    wanted: dict[str, list[str | None]] = {
        "questions.template": [*template_columns],
        "questions.id_field": [config.questions.id_field],
        "questions.keep": [*config.questions.keep],
        "ask.answer_field": [ask.answer_field],
    }
    if isinstance(ask, MultipleChoice):
        wanted |= {"ask.choices_field": [ask.choices_field], "ask.choice_fields": [*ask.choice_fields]}
    problems = [
        f"{key} names '{name}', which is no column.{nearest(name, table.names)}"
        for key, names in wanted.items()
        for name in names
        if name is not None and name not in table.names
    ]
    if problems:
        raise SourceError(f"dataset '{config.questions.name}': {' '.join(problems)} Columns: {', '.join(table.names) or 'none'}.")
