"""Pages of the app, in the order of the bar. A new page is one module with a ``PAGE``, and one line in this table."""

from mosaic_sae.app.page import Page
from mosaic_sae.app.pages import compare, examples, latent, latents, overview, point, run, study, transfer

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    compare.PAGE,
    latents.PAGE,
    examples.PAGE,
    study.PAGE,
    transfer.PAGE,
    run.PAGE,
    point.PAGE,
    latent.PAGE,
)
