"""YAML text into plain values, with the line of every key and every problem of the text itself.

The scalar rules are those of YAML 1.2: only true and false are booleans, so that ``no`` may be a language, and ``1e-3`` is a number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (a key path, and a line if the text itself is at fault) and what to do about it."""

    path: KeyPath
    text: str
    line: int | None = None


@dataclass
class Document:
    """What a YAML text says."""

    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    """1-based line of every key and list item; () is where the text begins."""
    problems: list[Problem] = field(default_factory=list)
    unreadable: set[KeyPath] = field(default_factory=set)
    """Where ``data`` holds null because of a problem; nothing more needs to be said about these."""


def dotted(path: KeyPath) -> str:
    """Return "models.0.layers" for ("models", 0, "layers")."""
    return ".".join(str(part) for part in path)


def parse(text: str) -> Document:
    """Parse YAML; syntax errors, duplicate keys and what JSON could not hold become problems of the document."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append(Problem((), f"character {error.character:#06x} is not allowed in YAML; remove it", line))
    else:
        if node is not None:
            _Builder(document).build(node)
    return document


def dump(data: Any) -> str:
    """Write plain values as YAML that :func:`parse` reads back the same."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Loader(yaml.SafeLoader):
    """Composes nodes only; nothing is ever constructed from a tag."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


class _Dumper(yaml.SafeDumper):
    """Puts in quotes what either YAML 1.1 (the library's rules) or 1.2 (ours) would not read as text."""


for _letter, _resolvers in _Loader.yaml_implicit_resolvers.items():
    for _tag, _compiled in _resolvers:
        _Dumper.add_implicit_resolver(_tag, _compiled, [_letter])


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # Unicode's own line breaks survive in double quotes only.
    style = '"' if any(letter in text for letter in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


class _Builder:
    """Walks the node tree once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._open: list[yaml.Node] = []  # nodes above the current one: an anchor may point back at one of them

    def build(self, root: yaml.Node) -> None:
        self.document.lines[()] = root.start_mark.line + 1
        self.document.data = self._value(root, ())

    def _problem(self, path: KeyPath, node: yaml.Node, text: str) -> None:
        self.document.problems.append(Problem(path, text, node.start_mark.line + 1))

    def _unreadable(self, path: KeyPath, node: yaml.Node, text: str) -> None:
        self._problem(path, node, text)
        self.document.unreadable.add(path)

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        if any(node is above for above in self._open):
            self._unreadable(path, node, "the alias points at a block that contains it")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            return self._scalar(node, path)
        finally:
            self._open.pop()

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        items = []
        for number, item in enumerate(node.value):
            self.document.lines[*path, number] = item.start_mark.line + 1
            items.append(self._value(item, (*path, number)))
        return items

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag.endswith(":merge"):
                merged |= self._merged(value_node, path)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(path, key_node, "a list or a block cannot be a key; write 'key: value' with a plain word as the key")
                continue
            key = key_node.value
            if key in first_line:
                self._problem((*path, key), key_node, f"the key is given twice, first in line {first_line[key]}; keep one of the two")
                continue
            first_line[key] = line
            self.document.lines[*path, key] = line
            own[key] = self._value(value_node, (*path, key))
        return merged | own

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        # "<<: *anchor" brings in the keys of another block; with a list of blocks the first one wins.
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        values: dict[str, Any] = {}
        for source in reversed(sources):
            if not isinstance(source, yaml.MappingNode):
                self._problem((*path, "<<"), node, "<< takes a block (an alias such as *base) or a list of blocks")
                continue
            values |= self._value(source, path)
        return values

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        text = node.value
        if kind == "str":
            if any("\ud800" <= character <= "\udfff" for character in text):
                self._unreadable(path, node, "the text holds half a character (a lone surrogate); write the character itself")
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind in ("int", "float"):
            try:
                number = int(text) if kind == "int" else float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
            except ValueError:  # an explicit tag, as in "!!int abc"
                self._unreadable(path, node, f"'{text}' is not a number")
                return None
            if math.isfinite(number):
                return number
            self._unreadable(path, node, f"got {text}; no key takes an infinite or undefined number")
            return None
        self._unreadable(path, node, f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed; write the plain value")
        return None


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    opened = f" (it begins in line {error.context_mark.line + 1})" if error.context_mark else ""
    problem = error.problem or ""
    if "'\\t'" in problem:
        text = "a tab character; YAML allows only spaces for indentation. Replace the tab with spaces"
    elif "mapping values are not allowed" in problem:
        text = "a ':' where none can be. Either this line or the one above is indented wrongly, or a text that contains ': ' needs quotes"
    elif "expected ':'" in problem:
        text = f"a key without its ':' (write 'key: value'){opened}"
    elif "expected ',' or" in problem or "expected the node content" in problem:
        text = f"a bracket is not closed, or a comma or a value is missing in it{opened}"
    elif "unexpected end of stream" in problem:
        text = f"a quote is not closed{opened}"
    elif "cannot start any token" in problem:
        text = f"{problem.removeprefix('found ').replace('cannot start any token', 'cannot begin a value')}; put the value in quotes"
    elif "found '<scalar>'" in problem:
        text = "more text after a closing quote; put the whole value inside the quotes"
    elif "expected <block end>" in problem:
        text = f"the indentation does not fit the lines above: the items of one block begin in the same column{opened}"
    elif "undefined alias" in problem:
        text = f"{problem}; define it above with &name. A text that begins with * needs quotes"
    elif "expected a single document" in (error.context or ""):
        text = "a second document begins here; a config is one document, so remove the '---'"
    else:
        text = " ".join(part for part in (error.context, problem) if part)
    return Problem((), f"not valid YAML, column {mark.column + 1 if mark else 1}: {text}.", mark.line + 1 if mark else None)
