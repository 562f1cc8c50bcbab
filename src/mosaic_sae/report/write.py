"""Write ``report.html`` and ``report.md`` of a run."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mosaic_sae import __version__, fsio
from mosaic_sae.explain.cards import VIEW_CSS, quoted, visible
from mosaic_sae.explain.display import explanation_html
from mosaic_sae.report import facts, names
from mosaic_sae.report.content import MOST_TEXTS, Content, Section, gather
from mosaic_sae.report.domain_words import DOMAIN_WORDS
from mosaic_sae.report.examples import CHOICE, probe_in_words
from mosaic_sae.report.figures import PLOT_CONFIG, describe_scores, score_intervals, share_curves
from mosaic_sae.report.markdown import SHOWN, escape_markdown, explanation_markdown, markdown_text
from mosaic_sae.report.shading import runs_of_tokens
from mosaic_sae.report.transfer import Transfer
from mosaic_sae.report.verdict import OUTCOMES
from mosaic_sae.transfer.translated import MODES

TEMPLATES = Path(__file__).parent / "templates"
FORMATS = ("html", "markdown")
OUTCOME_PILLS = {"sae": "accent", "baseline": "warn", "close": "", "none": ""}


def write_report(
    run_folder: Path, out: Path | None = None, formats: Collection[str] = FORMATS, content: Content | None = None
) -> list[Path]:
    """Write the report of a finished run: one self-contained HTML file, and Markdown with the same content.

    Args:
        run_folder: holds ``run.json`` and, unless every point failed, ``results.parquet``.
        out: folder of the report; None = the run's own.
        formats: "html", "markdown", or both.
        content: what ``gather`` returned for this run; None = gather it.

    Returns:
        Paths of ``report.html`` and ``report.md``, as far as asked for.

    Raises:
        StoreError: the folder is no run, or its tables cannot be read.
    """
    content = content or gather(run_folder)
    folder = out or run_folder
    makers = {"html": ("report.html", html_report), "markdown": ("report.md", markdown_report)}
    written = []
    for name, make in (makers[format_] for format_ in formats):
        fsio.write_text(folder / name, _clean(make(content)))
        written.append(folder / name)
    return written


def html_report(content: Content) -> str:
    """Lay out a report as HTML."""
    environment = _environment(autoescape=True)
    environment.filters["visible"] = visible
    once = _Once()
    environment.globals.update(
        figure=functools.partial(_scores_figure, first=once),
        curve_figure=functools.partial(_curve_figure, first=once),
        css=Markup((TEMPLATES / "base.css").read_text(encoding="utf-8") + VIEW_CSS.read_text(encoding="utf-8")),
        explained=lambda explanation: Markup(explanation_html(explanation, SHOWN)),
    )
    return environment.get_template("report.html.j2").render(content=content, run=content.run)


def markdown_report(content: Content) -> str:
    """Lay out a report as Markdown; text from the data is escaped by the ``md`` filter."""
    environment = _environment(autoescape=False)
    environment.filters["md"] = escape_markdown
    environment.globals.update(marked=markdown_text, explained=explanation_markdown)
    text = environment.get_template("report.md.j2").render(content=content, run=content.run)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


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
        example_choice=CHOICE,
        examples_of=probe_in_words,
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
