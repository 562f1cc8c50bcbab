"""Write ``report.html`` and ``report.md`` of a run."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mosaic_sae import __version__, fsio
from mosaic_sae.explain.cards import quoted, visible
from mosaic_sae.report import facts, names
from mosaic_sae.report.content import MOST_TEXTS, Content, Section, gather
from mosaic_sae.report.domain_words import DOMAIN_WORDS
from mosaic_sae.report.figures import PLOT_CONFIG, describe_scores, score_intervals, share_curves
from mosaic_sae.report.shading import runs_of_tokens
from mosaic_sae.report.transfer import Transfer
from mosaic_sae.report.verdict import OUTCOMES
from mosaic_sae.transfer.translated import MODES

TEMPLATES = Path(__file__).parent / "templates"
OUTCOME_PILLS = {"sae": "accent", "baseline": "warn", "close": "", "none": ""}
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")


def write_report(run_folder: Path) -> tuple[Path, Path]:
    """Write the report of a finished run: one self-contained HTML file, and Markdown with the same content.

    Args:
        run_folder: holds ``run.json`` and, unless every point failed, ``results.parquet``.

    Returns:
        Paths of ``report.html`` and ``report.md``.

    Raises:
        StoreError: the folder is no run, or its tables cannot be read.
    """
    content = gather(run_folder)
    html_path, markdown_path = run_folder / "report.html", run_folder / "report.md"
    fsio.write_text(html_path, _clean(html_report(content)))
    fsio.write_text(markdown_path, _clean(markdown_report(content)))
    return html_path, markdown_path


def html_report(content: Content) -> str:
    """Lay out a report as HTML."""
    environment = _environment(autoescape=True)
    environment.filters["visible"] = visible
    once = _Once()
    environment.globals.update(
        figure=functools.partial(_scores_figure, first=once),
        curve_figure=functools.partial(_curve_figure, first=once),
        css=Markup((TEMPLATES / "base.css").read_text(encoding="utf-8")),
    )
    return environment.get_template("report.html.j2").render(content=content, run=content.run)


def markdown_report(content: Content) -> str:
    """Lay out a report as Markdown; text from the data is escaped by the ``md`` filter."""
    environment = _environment(autoescape=False)
    environment.filters["md"] = escape_markdown
    environment.globals["marked"] = markdown_text
    text = environment.get_template("report.md.j2").render(content=content, run=content.run)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


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


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=names.number,
        signed=names.signed,
        moment=names.moment,
        whole=names.whole,
        percent=names.percent,
        quoted=quoted,
    )
    environment.globals.update(
        names=names,
        facts=facts,
        interval=names.interval,
        shaded=runs_of_tokens,
        most_texts=MOST_TEXTS,
        modes=MODES,
        domain_words=DOMAIN_WORDS,
        version=__version__,
        outcomes=OUTCOMES,
        outcome_pill=OUTCOME_PILLS,
    )
    return environment


class _Once:
    """True the first time it is asked, False after: the plotly library goes into the file once."""

    def __init__(self) -> None:
        self._asked = False

    def __bool__(self) -> bool:
        asked, self._asked = self._asked, True
        return not asked


def _scores_figure(section: Section, number: int, first: _Once) -> Markup:
    return _embedded(score_intervals(section.scores), f"scores-{number}", describe_scores(section.scores), first)


def _curve_figure(transfer: Transfer, number: int, first: _Once) -> Markup:
    one = DOMAIN_WORDS[transfer.by].one
    words = f"Mean macro F1 by number of training rows, on the {one} trained on and on the others; the table below has the numbers."
    return _embedded(share_curves(transfer.curve, transfer.by), f"curve-{number}", words, first)


def _embedded(figure: Any, name: str, words: str, first: _Once) -> Markup:
    library = bool(first)
    body = figure.to_html(full_html=False, include_plotlyjs=library, config=PLOT_CONFIG, div_id=name, default_width="100%")
    return Markup('<div class="plot" role="img" aria-label="{}">{}</div>').format(Markup.escape(visible(words)), Markup(body))


def _clean(text: str) -> str:
    # An unpaired surrogate from a JSON Lines file has no UTF-8 form.
    return text.encode("utf-8", "replace").decode("utf-8")
