"""Read a Dash layout: its text, its links, its components."""

from dash.development.base_component import Component


def walk(node):
    """Every component and string of a layout, in the order of reading."""
    if node is None:
        return
    if isinstance(node, list | tuple):
        for child in node:
            yield from walk(child)
        return
    yield node
    if isinstance(node, Component):
        yield from walk(getattr(node, "children", None))


def text_of(node):
    return " ".join("".join(str(part) if not isinstance(part, Component) else " " for part in walk(node)).split())


def links_of(node):
    return [part.href for part in walk(node) if isinstance(part, Component) and getattr(part, "href", None)]


def find(node, kind):
    return [part for part in walk(node) if isinstance(part, Component) and type(part).__name__ == kind]


def with_class(node, name):
    return [part for part in walk(node) if isinstance(part, Component) and name in (getattr(part, "className", "") or "").split()]
