"""An explanation as HTML: shaded tokens, signed bars, the path through a tree. Everything from the data is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from mosaic_sae.explain.cards import VIEW_CSS, visible
from mosaic_sae.explain.explanation import Explanation, LatentPart, Step

SHOWN = 8
"""Latents shown before the rest is summed up."""
MOST_TOKENS = 400
"""Tokens shown of a longer text, around those that carry most."""


def notebook_html(explanation: Explanation) -> str:
    """Return the explanation with its style, for a notebook's output cell."""
    return styled(explanation_html(explanation))


def styled(fragment: str) -> str:
    """Put the style of ``mosaic-view`` in front of a fragment."""
    return f"<style>{VIEW_CSS.read_text(encoding='utf-8')}</style>{fragment}"


def table_html(caption: str, head: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table.

    Args:
        caption: HTML.
        head: titles, and whether the column holds numbers.
        rows: cells as HTML; the first is the row's header.
    """
    classes = [' class="num"' if is_number else "" for _, is_number in head]
    titles = "".join(f'<th scope="col"{name}>{html.escape(title)}</th>' for (title, _), name in zip(head, classes, strict=True))
    lines = []
    for first, *cells in rows:
        rest = "".join(f"<td{name}>{cell}</td>" for name, cell in zip(classes[1:], cells, strict=True))
        lines.append(f'<tr><th scope="row">{first}</th>{rest}</tr>')
    return _wide(f"<caption>{caption}</caption><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody>")


def _wide(table: str) -> str:
    """Wrap the inside of a table so that it scrolls by itself, also by keyboard, where the page is narrow."""
    return f'<div class="wide" tabindex="0" role="group" aria-label="Table"><table class="parts">{table}</table></div>'


def explanation_html(explanation: Explanation, shown: int = SHOWN) -> str:
    """Return the explanation as one ``<div class="mosaic-view">``; the page brings the style."""
    return "".join([
        '<div class="mosaic-view">',
        f"<p>{headline(explanation)}</p>",
        tokens_html(explanation),
        _path(explanation),
        _latents(explanation, shown),
        "</div>",
    ])


def said(text: str, limit: int | None = None) -> str:
    """Return text from the data as HTML that keeps to itself: escaped, its direction isolated."""
    return f"<bdi>{html.escape(visible(text, limit))}</bdi>"


def signed(value: float, digits: int = 2) -> str:
    """Format a contribution with its sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def headline(explanation: Explanation) -> str:
    """Say what was decided, and whether that is right, as HTML."""
    chosen = explanation.probabilities[explanation.predicted]
    right = "right" if explanation.predicted == explanation.label else f"wrong: it is {said(explanation.label, 60)}"
    learned = "" if explanation.in_test else " It is no test example: the classifier may have learned from it."
    return (
        f"Example {said(explanation.id, 60)}: predicted <strong>{said(explanation.predicted, 60)}</strong> "
        f"with probability {chosen:.3f}, which is {right}.{learned}"
    )


def tokens_html(explanation: Explanation) -> str:
    """Return the text with each token shaded by what it carries: plain for the class, underlined against it."""
    tokens = explanation.tokens
    largest = max((abs(token.contribution) for token in tokens), default=0.0) or 1.0
    start = shown_from(explanation)
    parts = ["… "] if start else []
    for token in tokens[start : start + MOST_TOKENS]:
        piece = html.escape(visible(token.piece))
        # The root keeps weak tokens visible beside one strong one.
        percent = round(100 * math.sqrt(abs(token.contribution) / largest))
        if not token.counts:
            parts.append(f'<span class="silent" title="does not count">{piece}</span>')
        elif percent:
            side = "for" if token.contribution > 0 else "against"
            parts.append(f'<span class="{side}" style="--a:{percent}" title="{signed(token.contribution, 3)}">{piece}</span>')
        else:
            parts.append(piece)
    if start + MOST_TOKENS < len(tokens):
        parts.append(" …")
    return f'<span class="spoken" dir="auto">{"".join(parts)}</span>'


def shown_from(explanation: Explanation) -> int:
    """Return the first token shown: 0 unless the text is long, else such that the token that carries most stands in the middle."""
    carried = [abs(token.contribution) for token in explanation.tokens]
    if len(carried) <= MOST_TOKENS:
        return 0
    return max(0, min(carried.index(max(carried)) - MOST_TOKENS // 2, len(carried) - MOST_TOKENS))


def _latents(explanation: Explanation, shown: int) -> str:
    towards = said(explanation.about, 60)
    unit = "logit" if explanation.kind == "logistic" else "share"
    if not explanation.latents:
        return f"<p>No latent that the classifier uses fires here; the bias of {signed(explanation.bias)} alone decides.</p>"
    largest = max(abs(part.contribution) for part in explanation.latents) or 1.0
    rows = [_latent(part, largest, explanation.about) for part in explanation.latents[:shown]]
    rest = explanation.latents[shown:]
    n = len(rest) + int(explanation.others["n"])
    if n:
        total = sum(part.contribution for part in rest) + explanation.others["contribution"]
        rows.append(_sum_row(f"{n:,} more latents", total))
    start = "Bias" if explanation.kind == "logistic" else "Share among all training examples"
    rows.append(_sum_row(start, explanation.bias))
    rows.append(_sum_row(f"Sum: {unit} of {towards}", explanation.decision))
    head = (
        '<tr><th scope="col">Latent</th><th scope="col" class="num">Value</th><th scope="col"></th><th scope="col" class="num">Adds</th>'
        '<th scope="col">What it fires on</th><th scope="col" class="num">P without it</th></tr>'
    )
    return _wide(f"<caption>+ speaks for {towards}, − against it</caption><thead>{head}</thead><tbody>{''.join(rows)}</tbody>")


def _latent(part: LatentPart, largest: float, about: str) -> str:
    negative = " negative" if part.contribution < 0 else ""
    width = round(100 * abs(part.contribution) / largest)
    bar = f'<span class="signed{negative}" aria-hidden="true"><i style="--a:{width}"></i></span>'
    return (
        f'<tr><th scope="row">{part.latent}</th><td class="num">{part.value:.3g}</td><td class="length">{bar}</td>'
        f'<td class="num">{signed(part.contribution)}</td><td class="what">{said(part.words, 120)}</td>'
        f'<td class="num">{part.without[about]:.3f}</td></tr>'
    )


def _sum_row(name: str, value: float) -> str:
    return f'<tr><th scope="row" colspan="3">{name}</th><td class="num">{signed(value)}</td><td></td><td></td></tr>'


def _path(explanation: Explanation) -> str:
    if not explanation.path:
        return ""
    return f"<ol>{''.join(f'<li>{_step(step, explanation.about)}</li>' for step in explanation.path)}</ol>"


def _step(step: Step, about: str) -> str:
    share = f"{100 * step.shares[about]:.0f} % {said(about, 60)} among {step.n:,} training examples"
    if step.latent is None:
        return f"Decision: {share}"
    asked = f"{html.escape(step.question)} <strong>{html.escape(step.answer)}</strong>"
    return f'{share}. {asked} <span class="muted">{said(step.words, 120)}</span>'
