"""From pydantic's errors to findings: the key path as written, a plain sentence, and how to mend a copy so that checking can go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mosaic_sae.config import describe as schema
from mosaic_sae.config.lines import KeyPath
from mosaic_sae.config.remedy import remedy, stand_in

DELETE = object()
_KEY_PREFIX = re.compile(r"([a-z_][a-z_0-9.]*): (.+)", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    """A problem, and the edits of a copy after which the rest can be checked."""

    path: KeyPath
    text: str
    edits: list[tuple[KeyPath, Any]] = field(default_factory=list)
    is_stand_in: bool = False
    """The edits put in a value that the user cannot have meant."""
    renamed: KeyPath | None = None
    """Where the edits moved a misspelt key to."""
    whole_block: bool = False
    """Found by a check of several keys together."""


@dataclass(frozen=True)
class _Place:
    """Where an error is: in the data, and in the schema."""

    path: KeyPath
    value: Any
    kind: Any
    field: FieldInfo | None
    parent: Any
    parent_kind: Any


def explain(error: ValidationError, model: type[BaseModel], data: Any) -> list[Finding]:
    """Return one finding for each key that is wrong; the branches of a union count as one."""
    groups: dict[KeyPath, list[ErrorDetails]] = {}
    places: dict[KeyPath, _Place] = {}
    for item in error.errors(include_url=False):
        place = _locate(item, model, data)
        places[place.path] = place
        groups.setdefault(place.path, []).append(item)
    # A union says "not a number" of a list in which one item is wrong: the deeper finding is the exact one.
    paths = [path for path in groups if not any(len(other) > len(path) and other[: len(path)] == path for other in groups)]
    taken: set[KeyPath] = set()
    findings: list[Finding] = []
    for path in sorted(paths, key=lambda path: groups[path][0]["type"] != "extra_forbidden"):  # a misspelt key fills a missing one
        if path in taken:
            continue
        for finding in _findings(groups[path], places[path], model, taken):
            findings.append(finding)
            if finding.renamed:
                taken.add(finding.renamed)
    return findings


def _locate(item: ErrorDetails, model: type[BaseModel], data: Any) -> _Place:
    path: KeyPath = ()
    value, kind, field_info = data, model, None
    parent, parent_kind = None, None
    for number, part in enumerate(item["loc"]):
        absent = item["type"] == "missing" and number == len(item["loc"]) - 1
        if not absent and not _holds(value, part):
            continue  # the name of a branch of a union, such as "int" or a tag
        parent, parent_kind = value, kind
        field_info = schema.fields_of(kind, value).get(part) if isinstance(part, str) else None
        kind = schema.child(kind, part, value)
        value = None if absent else value[part]
        path = (*path, part)
    return _Place(path, value, kind, field_info, parent, parent_kind)


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, dict) and part in value


def _findings(group: list[ErrorDetails], place: _Place, model: type[BaseModel], taken: set[KeyPath]) -> Iterator[Finding]:
    first = group[0]
    messages = [str(item["ctx"]["error"]) for item in group if item["type"] in ("value_error", "assertion_error")]
    if first["type"] == "extra_forbidden":
        yield _unknown_key(place, model, taken)
    elif first["type"] == "missing":
        yield _missing_key(place)
    elif first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        yield _wrong_tag(place, first["ctx"])
    elif messages and isinstance(place.value, dict):
        yield from _block_check(messages[0], place)
    elif messages and not schema.is_named(place.kind):
        yield _replace(place, f"got {_got(place.value)}; {messages[0].rstrip('.')}.")
    else:
        yield _wrong_value(place)


def _unknown_key(place: _Place, model: type[BaseModel], taken: set[KeyPath]) -> Finding:
    *above, key = place.path
    key = str(key)
    allowed = list(schema.fields_of(place.parent_kind, place.parent))
    delete = (place.path, DELETE)
    home = next((home for name, home in schema.homes(model) if name == key), None)
    near = schema.closest(key, allowed, cutoff=0.85 if home else 0.6)
    if home and near is None:
        return Finding(place.path, f"unknown key here; '{key}' belongs in {home}. Move it there.", [delete])
    keys = f"Keys allowed here: {', '.join(allowed)}."
    if near is None:
        return Finding(place.path, f"unknown key. {keys}", [delete])
    text = f"unknown key. Did you mean '{near}'? {keys}"
    moved = (*above, near)
    if near in place.parent or moved in taken:
        return Finding(place.path, text, [delete])
    return Finding(place.path, text, [delete, (moved, place.value)], renamed=moved)


def _missing_key(place: _Place) -> Finding:
    meaning = f" ({place.field.description.split('. ')[0].rstrip('.')})" if place.field and place.field.description else ""
    text = f"missing; this key is needed{meaning}. Allowed: {schema.describe(place.kind)}. Add the line '{place.path[-1]}: ...'."
    return Finding(place.path, text, [(place.path, stand_in(place.kind))], is_stand_in=True)


def _wrong_tag(place: _Place, context: dict[str, Any]) -> Finding:
    key = context["discriminator"].strip("'")
    path = (*place.path, key)
    allowed = [word for block in schema.blocks(place.kind) for word in schema.words(schema.field_type(block.model_fields[key]))]
    if "tag" not in context:
        return Finding(path, f"missing; allowed: {', '.join(allowed)}. Add the line '{key}: ...'.")
    near = schema.closest(context["tag"], allowed)
    advice = f" Did you mean '{near}'?" if near else ""
    edits = [(path, near)] if near else []
    return Finding(path, f"got '{context['tag']}'; allowed: {', '.join(allowed)}.{advice}", edits)


def _block_check(message: str, place: _Place) -> Iterator[Finding]:
    """A check may report several lines, and begin each with the key it is about ("sae.path: ...")."""
    edits = [(place.path, stand_in(place.kind))] if place.path else []
    for line in message.splitlines():
        path, text = place.path, line
        prefixed = _KEY_PREFIX.fullmatch(line)
        if prefixed and prefixed[1].split(".")[0] in schema.fields_of(place.kind, place.value):
            path, text = place.path + tuple(int(part) if part.isdigit() else part for part in prefixed[1].split(".")), prefixed[2]
        yield Finding(path, f"{text.rstrip('.')}.", edits, is_stand_in=bool(edits), whole_block=True)


def _wrong_value(place: _Place) -> Finding:
    text = f"got {_got(place.value)}; allowed: {schema.describe(place.kind)}."
    found = remedy(place.kind, place.value, place.field)
    if found is None or found.value is None:
        return _replace(place, f"{text} {found.advice}" if found else text)
    return Finding(place.path, f"{text} {found.advice}", [(place.path, found.value)])


def _replace(place: _Place, text: str) -> Finding:
    """Put the default, or a stand-in, in the place of a wrong value."""
    has_default = place.field is not None and not place.field.is_required()
    edit = (place.path, DELETE) if has_default else (place.path, stand_in(place.kind))
    return Finding(place.path, text, [edit] if place.path else [], is_stand_in=True)


def _got(value: Any) -> str:
    if isinstance(value, dict):
        return "a block" if value else "an empty block"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        shown = value if len(value) <= 60 else f"{value[:57]}..."
        return f"'{shown}'"
    return schema.show(value)
