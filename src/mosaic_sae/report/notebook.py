"""How runs, points and latents show themselves in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from mosaic_sae.explain.cards import quoted, summary, visible
from mosaic_sae.explain.display import said, styled, table_html
from mosaic_sae.report import facts, names, tables
from mosaic_sae.report.shading import runs_of_tokens
from mosaic_sae.report.verdict import verdict

if TYPE_CHECKING:
    from mosaic_sae.report.opened_run import Latent, Point, Run

_SCORES = [("Features, classifier", False), ("Macro F1", True), ("95 % interval", True), ("CV", True), ("Configuration", False)]
_MOST_TEXTS = 5


def run_html(run: Run) -> str:
    """The outcome of each dataset and split, with the chosen points; splits of single domains are left to the report."""
    parts = [f"<p><strong>{said(str(run.info['name']), 120)}</strong>: {html.escape(facts.status_of(run.info))}</p>"]
    if not (run.folder / "results.parquet").is_file():
        return _view(*parts, "<p>No point was finished, so there are no scores to show.</p>")
    of_domains = facts.domain_splits(run.info)
    for dataset, split in tables.sections(run.results):
        if (dataset, split) in of_domains:
            continue
        scores = tables.scores(run.results, dataset, split)
        rows = [
            [
                said(row["method"], 60),
                names.number(row["macro_f1"]),
                names.interval(row["macro_f1_low"], row["macro_f1_high"]),
                names.number(row["cv_macro_f1"]),
                said(row["configuration"], 80),
            ]
            for row in tables.records(scores)
        ]
        parts += [table_html(f"{said(dataset, 80)}, split {said(split, 60)}", _SCORES, rows), f"<p>{said(verdict(scores).text)}</p>"]
    return _view(*parts)


def point_html(point: Point) -> str:
    """The score of a point and its strongest latents."""
    row = point.row
    score = f"{names.number(row['macro_f1'])} {names.interval(row['macro_f1_low'], row['macro_f1_high'])}"
    title = (
        f"<p>Point <code>{row['fingerprint']}</code>: {said(names.method_name(row['representation'], row['classifier']), 60)} on "
        f"{said(row['dataset'], 60)}, split {said(row['split'], 40)}, {said(names.configuration(dict(row)), 60)}. Macro F1 {score}</p>"
    )
    cards = (point.evidence or {}).get("latents", {})
    rows = [
        [str(entry["latent"]), said(entry["class"], 60), names.signed(entry["weight"]), said(summary(cards.get(str(entry["latent"]))), 160)]
        for entry in sorted(point.info["top_latents"], key=lambda entry: -abs(entry["weight"]))[:12]
    ]
    head = [("Latent", False), ("Speaks for", False), ("Weight", True), ("What it fires on", False)]
    return _view(title, table_html("Largest weights, of scaled values", head, rows) if rows else "")


def latent_html(latent: Latent) -> str:
    """Tokens, densities and texts of a latent."""
    card = latent.card
    tokens = ", ".join(f"{said(quoted(token['piece']))} ×{token['count']:,}" for token in card["top_tokens"])
    classes = ", ".join(f"{said(name, 60)} {names.percent(share)}" for name, share in card["by_class"].items())
    often = (
        f"In {names.percent(card['density_examples'])} of examples ({classes}) and {names.percent(card['density_tokens'], 2)} of tokens."
    )
    texts = [
        f'<span class="spoken" dir="auto">{_shaded(example, card["max"])}</span>'
        f'<span class="muted">{said(example["label"], 60)}, strongest {example["value"]:.3g}, id {said(example["id"], 60)}</span>'
        for example in card["examples"][:_MOST_TEXTS]
    ]
    return _view(
        f"<p><strong>Latent {latent.index}</strong> of {said(latent.sae, 80)}</p>",
        f"<p>Fires on: {tokens or 'nothing in these texts'}</p>",
        f"<p>{often}</p>",
        *texts,
    )


def _shaded(example: dict, largest: float) -> str:
    parts = []
    for stretch in runs_of_tokens(example, largest):
        text = html.escape(visible(stretch.text))
        peak = " peak" if stretch.peak else ""
        parts.append(f'<span class="fire{peak}" style="--a:{stretch.percent}">{text}</span>' if stretch.percent else text)
    return "".join(parts)


def _view(*parts: str) -> str:
    return styled(f'<div class="mosaic-view">{"".join(parts)}</div>')
