"""What a page of the app is, and the address that says which one is shown and what was chosen on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlencode

from dash import Dash
from dash.development.base_component import Component

from mosaic_sae.app.data import Library


@dataclass(frozen=True)
class Address:
    """A place in the app; every choice a reader makes is in it, so that each state can be linked to."""

    page: str = ""
    """First part of the path; "" is the first page."""
    rest: tuple[str, ...] = ()
    """Further parts of the path."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Choices; ``run`` is the run that is shown, the latest when it is not there."""

    @classmethod
    def read(cls, pathname: str, search: str) -> Address:
        """Read the path and the query string of a location."""
        parts = [unquote(part) for part in pathname.strip("/").split("/") if part]
        query = {name: values[0] for name, values in parse_qs(search.lstrip("?")).items()}
        return cls(parts[0] if parts else "", tuple(parts[1:]), query)

    @property
    def run_id(self) -> str | None:
        """The run that was asked for."""
        return self.query.get("run")

    def link(self, **changes: object) -> str:
        """Return the address of this page with some choices changed; None takes a choice away."""
        query = {name: value for name, value in {**self.query, **changes}.items() if value is not None}
        path = "/" + "/".join(quote(part, safe="") for part in (self.page, *self.rest) if part)
        return f"{path}?{urlencode(query)}" if query else path


@dataclass(frozen=True)
class Page:
    """One page. ``layout`` reads files anew each time it is asked; ``register`` adds the page's callbacks."""

    name: str
    """First part of its path."""
    title: str
    """In the bar."""
    layout: Callable[[Library, Address], Component]
    register: Callable[[Dash, Library], None] | None = None
    n_parts: int = 0
    """Parts of the path after the name; a page that needs some is not in the bar."""
