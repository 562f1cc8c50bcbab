"""What the writer of a wrong value most likely meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from mosaic_sae.config import describe as schema

_TRUTH = {"yes": True, "y": True, "on": True, "no": False, "n": False, "off": False, "true": True, "false": False}
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Remedy:
    """Advice for the reader, and the value it leads to."""

    advice: str
    value: Any


def remedy(kind: Any, value: Any, field: FieldInfo | None) -> Remedy | None:
    """Return advice for a ``value`` that ``kind`` does not take, or None when nothing is near."""
    bares = {schema.unwrap(option)[0] for option in schema.options(kind)}
    if isinstance(value, str):
        found = _from_text(kind, bares, value)
    elif isinstance(value, bool | int | float):
        found = _from_number(kind, bares, value)
    elif isinstance(value, dict) and schema.blocks(schema.item_of(kind)):
        found = Remedy("This is a list: begin each of its blocks with '- '.", [value])
    else:
        found = None
    if found is None and value is None and field is not None and not field.is_required():
        default = field.get_default(call_default_factory=True)
        return Remedy(f"Remove the key to use its default{'s' if schema.blocks(kind) else f', {schema.show(default)}'}.", None)
    if found is None and schema.item_of(kind) is not None and isinstance(value, str | int | float):
        return Remedy(f"Write a list: [{schema.show(value)}].", [value])
    return found


def _from_text(kind: Any, bares: set[Any], text: str) -> Remedy | None:
    if (near := schema.closest(text, schema.words(kind))) is not None:
        return Remedy(f"Did you mean '{near}'?", near)
    if bool in bares and text.lower() in _TRUTH:
        truth = _TRUTH[text.lower()]
        return Remedy(f"Write {schema.show(truth)}.", truth)
    if bares & {int, float} and _NUMBER.fullmatch(text):
        number = float(text)
        if float in bares or number.is_integer():
            return Remedy(f"Write {text} without quotes.", number if float in bares else int(number))
    for block in schema.blocks(kind):
        first = next((name for name, field in block.model_fields.items() if field.is_required()), None)
        if first:
            return Remedy(f"Write a block that begins with '{first}: {text}'.", {first: text})
    return None


def _from_number(kind: Any, bares: set[Any], number: float) -> Remedy | None:
    if str in bares:
        return Remedy(f'Put it in quotes: "{schema.show(number)}".', schema.show(number))
    if int in bares and isinstance(number, float) and number.is_integer():
        return Remedy(f"Write {int(number)}.", int(number))
    if schema.words(kind) and (near := schema.closest(schema.show(number), schema.words(kind))):
        return Remedy(f"Did you mean '{near}'?", near)
    return None


def stand_in(kind: Any, field: FieldInfo | None = None) -> Any:
    """Return the default, or some value that ``kind`` takes, so that the rest can be checked. Never shown to anyone."""
    if field is not None and not field.is_required():
        return None
    bare, constraints = schema.unwrap(schema.options(kind)[0])
    if get_origin(bare) is Literal:
        return get_args(bare)[0]
    if get_origin(bare) is list:
        least = next((item.min_length for item in constraints if isinstance(item, annotated_types.MinLen)), 0)
        return [stand_in(get_args(bare)[0]) for _ in range(least)]
    if schema.is_block(bare):
        return {name: stand_in(schema.field_type(item)) for name, item in bare.model_fields.items() if item.is_required()}
    if bare in (int, float):
        low: Any = next((item.ge for item in constraints if isinstance(item, annotated_types.Ge)), 0)
        return low + 0.5 if bare is float else low + 1
    return {bool: False, str: "x"}.get(bare)
