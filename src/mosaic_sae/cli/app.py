"""``mosaic app``: results in the browser."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_RESULTS, Results

logger = logging.getLogger(__name__)

EXAMPLES = (
    ("mosaic app", "all runs in ./output/classifications"),
    ("mosaic app default", "one run"),
    ("mosaic app default mine --port 8051", "two runs, another port"),
    ("mosaic app default --live", "and type texts that its points decide on"),
    ("mosaic app --config conf.yaml", "the results folder that a config names"),
)


def command(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Names or folders of runs, or folders of results.", show_default="all")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="Take the results folder (base_classify_dir) from this config.")] = None,
    results: Results = DEFAULT_RESULTS,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.", min=1, max=65535)] = 8050,
    live: Annotated[bool, typer.Option("--live", help="A page to type texts that a point decides on; loads its model.")] = False,
) -> None:
    """Open the app on finished runs in the browser.

    It shows the scores of all points and what each classifier looks at. It reads results; only --live loads a model. Ctrl-C stops it.
    """
    from mosaic_sae.cli.places import find_run, run_folders
    from mosaic_sae.errors import MosaicError

    if config is not None:
        from mosaic_sae.config.load import load_experiment

        results = load_experiment(config).experiment.settings.base_classify_dir
    if not runs and not run_folders(results):
        raise MosaicError(f"There are no runs in {results} yet. Make one: mosaic run default. Another folder: --results FOLDER")
    folders = [Path(name) if run_folders(Path(name)) else find_run(name, results) for name in runs] if runs else [results]
    _require_free(host, port)

    from mosaic_sae.app.factory import create_app
    from mosaic_sae.app.live import LivePoints

    app = create_app(folders, LivePoints() if live else None)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else one line for every request
    logger.info("The app runs on http://%s:%d (Ctrl-C stops it)", host, port)
    app.run(host=host, port=port, debug=False)


def _require_free(host: str, port: int) -> None:
    """Say in words that a port is taken; the web server would only print a number."""
    from mosaic_sae.errors import MosaicError

    other = port % 65535 + 1
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise MosaicError(f"The app cannot listen on {host}:{port} ({error.strerror}). Try another port: --port {other}") from error
