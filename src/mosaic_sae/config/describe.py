"""The schema in plain words: what a key takes, which words are near, which keys a block has.

Error messages and ``docs/config.md`` both come from here, so that they cannot disagree.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from mosaic_sae.config import poolings

_LIMITS = (
    (annotated_types.Gt, "gt", ">"),
    (annotated_types.Ge, "ge", ">="),
    (annotated_types.Lt, "lt", "<"),
    (annotated_types.Le, "le", "<="),
)
_PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path", type(None): "null"}
_NAMED = {poolings.canonical_pooling: (poolings.ALLOWED, poolings.NAMED)}  # types whose check is a function


def field_type(field: FieldInfo) -> Any:
    """Return a field's annotation with its constraints put back around it."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def unwrap(kind: Any) -> tuple[Any, list[Any]]:
    """Take ``Annotated`` apart: the bare type, and all its constraints."""
    constraints: list[Any] = []
    while get_origin(kind) is Annotated:
        kind, *extra = get_args(kind)
        for item in extra:
            constraints += item.metadata if isinstance(item, FieldInfo) else [item]
    return kind, constraints


def options(kind: Any) -> list[Any]:
    """Return the members of a union, or the type alone."""
    bare, constraints = unwrap(kind)
    if _named(constraints) or get_origin(bare) not in (Union, types.UnionType):
        return [kind]
    return [option for member in get_args(bare) for option in options(member)]


def _named(constraints: list[Any]) -> tuple[str, tuple[str, ...]] | None:
    return next((_NAMED[item.func] for item in constraints if isinstance(item, AfterValidator) and item.func in _NAMED), None)


def describe(kind: Any) -> str:
    """Say what a type accepts, e.g. "a whole number >= 1 or auto"."""
    return _either([_describe_option(option) for option in options(kind)])


def _either(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _describe_option(kind: Any) -> str:
    bare, constraints = unwrap(kind)
    if named := _named(constraints):
        return named[0]
    if get_origin(bare) is Literal:
        return _either([show(value) for value in get_args(bare)])
    if get_origin(bare) is list:
        least = next((item.min_length for item in constraints if isinstance(item, annotated_types.MinLen)), 0)
        count = f" of at least {least} item{'s' if least > 1 else ''}" if least else ""
        return f"a list{count} (each: {describe(get_args(bare)[0])})"
    if is_block(bare):
        return f"a block with keys such as {', '.join(list(bare.model_fields)[:3])}"
    if get_origin(bare) is dict or bare is dict:
        return "a block"
    return _PLAIN.get(bare, getattr(bare, "__name__", str(bare))) + _limits(constraints)


def _limits(constraints: list[Any]) -> str:
    found = [f"{sign} {show(getattr(item, name))}" for item in constraints for type_, name, sign in _LIMITS if isinstance(item, type_)]
    return f" {' and '.join(found)}" if found else ""


def is_block(kind: Any) -> bool:
    """Whether a type is a block of keys."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_named(kind: Any) -> bool:
    """Whether a function of ours checks the type, so that its message says the same as :func:`describe`."""
    return any(_named(unwrap(option)[1]) for option in options(kind))


def words(kind: Any) -> list[str]:
    """Return the words that a type accepts, for "did you mean"."""
    found: list[str] = []
    for option in options(kind):
        bare, constraints = unwrap(option)
        if named := _named(constraints):
            found += named[1]
        elif get_origin(bare) is Literal:
            found += [value for value in get_args(bare) if isinstance(value, str)]
    return found


def blocks(kind: Any, value: Any = None) -> list[type[BaseModel]]:
    """Return the block types that ``value`` may become; a ``kind:`` in the value picks among several."""
    found = [bare for bare in (unwrap(option)[0] for option in options(kind)) if is_block(bare)]
    if len(found) > 1 and isinstance(value, dict):
        matching = [block for block in found if _tags_agree(block, value)]
        found = matching or found
    return found


def _tags_agree(block: type[BaseModel], value: dict[str, Any]) -> bool:
    literals = {name: get_args(field.annotation) for name, field in block.model_fields.items() if get_origin(field.annotation) is Literal}
    return all(value[name] in allowed for name, allowed in literals.items() if name in value)


def fields_of(kind: Any, value: Any = None) -> dict[str, FieldInfo]:
    """Return the keys of a block type (of all candidates, if it is a union)."""
    return {name: field for block in blocks(kind, value) for name, field in block.model_fields.items()}


def item_of(kind: Any) -> Any:
    """Return the item type of a list type, or None."""
    bare = next((bare for bare in (unwrap(option)[0] for option in options(kind)) if get_origin(bare) is list), None)
    return get_args(bare)[0] if bare else None


def child(kind: Any, part: str | int, parent: Any) -> Any:
    """Return the type under a key or list index of ``parent``, or None where the schema has nothing."""
    if isinstance(part, int):
        return item_of(kind)
    field = fields_of(kind, parent).get(part)
    return field_type(field) if field else None


def homes(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield (key, block) for every key below the top level, e.g. ("seed", "settings"), ("layers", "an item of models")."""
    for name, field in model.model_fields.items():
        kind = field_type(field)
        item = item_of(kind)
        for key in fields_of(item if item else kind):
            yield key, f"an item of {name}" if item else name


def closest(word: str, allowed: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the allowed word nearest to ``word``, whatever its case, or None."""
    by_case = {name.casefold(): name for name in allowed}
    found = difflib.get_close_matches(word.casefold(), by_case, n=1, cutoff=cutoff)
    return by_case[found[0]] if found else None


def show(value: Any) -> str:
    """Write a value as the YAML file would, in one short line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, BaseModel):
        return f"{{{', '.join(f'{name}: {show(getattr(value, name))}' for name in value.model_fields_set) or 'all defaults'}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(show(item) for item in value)}]"
    return json.dumps(value)
