"""Small parts that every page uses. Text from the data is always a React child, never markup."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from dash import html
from dash.development.base_component import Component

from mosaic_sae.explain.cards import visible
from mosaic_sae.report.facts import Failed

HIDDEN: dict[str, Any] = {"aria-hidden": "true"}
"""For parts that repeat in form or colour what stands beside them in words."""
_STATUS_PILLS = {"done": "good", "failed": "bad", "interrupted": "warn", "running": "accent", "killed": "warn", "unreadable": "bad"}


def labelled(text: str) -> dict[str, Any]:
    """Attributes that name a part for those who do not see it."""
    return {"aria-label": text}


def said(text: Any, limit: int = 120) -> Component:
    """Text from the data, isolated so that its writing direction moves nothing else."""
    return html.Bdi(visible(str(text), limit))


def go(children: Any, href: str, current: str | None = None, stays: bool = False, class_name: str = "", label: str = "") -> Component:
    """A link inside the app; ``assets/navigation.js`` follows it without loading the app again.

    Args:
        children: what it says.
        href: an address of the app.
        current: "page" or "true" when it leads to what is shown.
        stays: keep the place on the page, for a choice on it.
        class_name: its class.
        label: its name for those who do not see what is around it.
    """
    attributes: dict[str, Any] = {"data-go": "stay" if stays else "top"}
    if current:
        attributes["aria-current"] = current
    if label:
        attributes |= labelled(label)
    return html.A(children, href=href, className=class_name, **attributes)


def panel(title: str, *children: Any, level: int = 2, **attributes: Any) -> Component:
    """A titled box."""
    heading = html.H2 if level == 2 else html.H3
    return html.Section([heading(title), *children], className="panel", **attributes)


def pill(text: str, kind: str = "") -> Component:
    """A small label."""
    return html.Span(text, className=f"pill {kind}".strip())


def status_pill(status: str) -> Component:
    """The state of a run."""
    return pill(status, _STATUS_PILLS.get(status, ""))


def note(text: Any, kind: str = "") -> Component:
    """A remark that stands out: "", "warn" or "bad"."""
    return html.P(text, className=f"note {kind}".strip(), role="alert" if kind == "bad" else "note")


def empty_state(title: str, *paragraphs: Any) -> Component:
    """A page with nothing to show, in words."""
    return html.Section([html.H1(title), *(html.P(text) for text in paragraphs)], className="panel empty")


def facts(pairs: Iterable[tuple[str, Any]]) -> Component:
    """A list of names and values."""
    items: list[Component] = []
    for name, value in pairs:
        items += [html.Dt(name), html.Dd(value)]
    return html.Dl(items, className="facts")


def table(caption: str, head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[Any]], class_name: str = "") -> Component:
    """A table with a caption; the first cell of each row is its header.

    Args:
        caption: what the table holds.
        head: (title, whether the column holds numbers).
        rows: cells; a component that is a ``Td`` already stays as it is.
        class_name: further class of the table.
    """
    titles = [html.Th(title, scope="col", className="num" if is_number else "") for title, is_number in head]
    body = []
    for row in rows:
        cells: list[Component] = [html.Th(row[0], scope="row")]
        for value, (_, is_number) in zip(row[1:], head[1:], strict=True):
            cells.append(value if isinstance(value, html.Td) else html.Td(value, className="num" if is_number else ""))
        body.append(html.Tr(cells))
    content = html.Table([html.Caption(caption), html.Thead(html.Tr(titles)), html.Tbody(body)], className=f"data {class_name}".strip())
    return html.Div(content, className="scroll", tabIndex=0, role="group", **labelled(caption))


def text_table(caption: str, head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> Component:
    """A table of plain text, each cell isolated."""
    return table(caption, head, [[html.Bdi(cell) for cell in row] for row in rows])


def role_mark(role: str) -> Component:
    """The symbol of a representation's role; the role is also said in words next to it."""
    return html.I(className=f"role {role}", **HIDDEN)


def point_link(fingerprint: str, run_id: str | None, children: Any) -> Component:
    """A link to a point's page."""
    query = f"?{urlencode({'run': run_id})}" if run_id else ""
    return go(children, f"/point/{fingerprint}{query}")


def latent_address(store: str, latent: int, run_id: str | None) -> str:
    """The address of a latent's page.

    Args:
        store: fingerprint of the store of latents.
        latent: index in the SAE.
        run_id: the run whose points are listed there.
    """
    query = f"?{urlencode({'run': run_id})}" if run_id else ""
    return f"/latent/{store}/{latent}{query}"


def failed_points(failed: Sequence[Failed]) -> Component:
    """Failed points with their errors."""
    items = [html.Li([html.Strong(html.Bdi(failure.key)), ": ", html.Bdi(failure.error)]) for failure in failed]
    return panel(f"Failed points ({len(items)})", html.P("The other points are not affected.", className="muted"), html.Ul(items))


def json_details(title: str, value: Any) -> Component:
    """A structure to look at, folded away."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return html.Details([html.Summary(title), html.Pre(html.Code(visible_lines(text)), tabIndex=0)])


def visible_lines(text: str) -> str:
    """``visible`` for text whose line breaks stay."""
    return "\n".join(visible(line) for line in text.split("\n"))
