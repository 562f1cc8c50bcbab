"""Parts of the Markdown report: text from the data as text, shaded texts as bold ones, explanations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mosaic_sae.explain.cards import visible
from mosaic_sae.explain.display import MOST_TOKENS, shown_from
from mosaic_sae.explain.explanation import Explanation
from mosaic_sae.report import names
from mosaic_sae.report.shading import runs_of_tokens

SHOWN = 6
"""Latents shown of an explanation before the rest is summed up."""
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")


def escape_markdown(value: Any) -> str:
    """Escape text so that Markdown shows it as it is: no markup, no HTML, no links, no line breaks."""
    text = re.sub(r"\s+", " ", visible(str(value)))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _MARKDOWN.sub(r"\\\1", text)
    # Addresses in a text would become links by themselves.
    return re.sub(r"://|@|(?<=www)\.", lambda match: "".join(f"&#{ord(character)};" for character in match[0]), text, flags=re.IGNORECASE)


def markdown_text(example: Mapping[str, Any], largest: float) -> str:
    """One text of a card, its strongest token in bold."""
    parts = []
    for stretch in runs_of_tokens(example, largest):
        text = escape_markdown(stretch.text)
        bold = stretch.peak and text.strip()
        parts.append(f"{' ' if text.startswith(' ') else ''}**{text.strip()}**" if bold else text)
    return "".join(parts).strip()


def explanation_markdown(explanation: Explanation) -> str:
    """One explanation: what was decided, the text with the tokens that carried it, the path through a tree, the strongest latents."""
    right = "right" if explanation.predicted == explanation.label else f"wrong: it is {escape_markdown(explanation.label)}"
    predicted, about = escape_markdown(explanation.predicted), escape_markdown(explanation.about)
    chance = f"{explanation.probabilities[explanation.predicted]:.3f}"
    lines = [
        f"**Example {escape_markdown(explanation.id)}: predicted {predicted}** ({chance}), which is {right}.",
        f"> {_marked_tokens(explanation)}",
    ]
    for step in explanation.path:
        asked = f"{escape_markdown(step.question)} **{escape_markdown(step.answer)}**" if step.question else "decision"
        lines.append(f"- {names.percent(step.shares[explanation.about], 0)} {about} among {step.n:,} training examples: {asked}")
    latents = [
        [str(part.latent), f"{part.value:.3g}", names.signed(part.contribution, 2), f"{part.without[explanation.about]:.3f}", part.words]
        for part in explanation.latents[:SHOWN]
    ]
    if latents:
        head = [f"| latent | value | adds | P({about}) without | what it fires on |", "|---:|---:|---:|---:|---|"]
        lines.append("\n".join([*head, *(f"| {' | '.join(map(escape_markdown, row))} |" for row in latents)]))
    start, what = ("bias", "logit") if explanation.kind == "logistic" else ("share among all training examples", "share")
    bias, decision = names.signed(explanation.bias, 2), names.signed(explanation.decision, 2)
    lines.append(f"With all other latents and the {start} ({bias}) the {what} is {decision}.")
    return "\n\n".join(lines)


def _marked_tokens(explanation: Explanation) -> str:
    start = shown_from(explanation)
    tokens = explanation.tokens[start : start + MOST_TOKENS]
    largest = max((abs(token.contribution) for token in tokens), default=0.0)
    parts = []
    for token in tokens:
        text = escape_markdown(token.piece)
        strong = token.counts and abs(token.contribution) > largest / 3 and text.strip()
        mark = "**" if token.contribution > 0 else "_"
        parts.append(f"{' ' if text.startswith(' ') else ''}{mark}{text.strip()}{mark}" if strong else text)
    return "".join(parts).strip()
