"""Entry point of the command ``mosaic``: its verbs, and what each kind of failure looks like.

Exit codes: 0 done, 1 some points failed (or a bug, with its traceback), 2 something the user can mend, 130 interrupted.
"""

from __future__ import annotations

import importlib
import shlex
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from mosaic_sae import __version__, log
from mosaic_sae.cli import app as app_verb
from mosaic_sae.cli import behaviour, doctor, explain, init, ls, name, plan, report, run, show, translate, validate
from mosaic_sae.cli.arguments import examples
from mosaic_sae.errors import MosaicError

_EXAMPLES = (
    ("mosaic run default", "run the preset that works offline"),
    ("mosaic init --to mine.yaml", "copy it, to edit"),
    ("mosaic validate mine.yaml", "check the copy: every problem at once"),
    ("mosaic run mine.yaml", "extract features, fit classifiers, write the report"),
    ("mosaic app", "look at the results in the browser"),
)


SUB_APPS = {"sae": "mosaic_sae.cli.sae"}
"""Verbs with verbs of their own: modules that hold a typer ``app``, imported only when used."""


class Interrupted(BaseException):
    """Ctrl-C, carried past typer, which would otherwise end the process without a word."""


class _Verbs(TyperGroup):
    def invoke(self, ctx: Any) -> Any:  # typer.Context, whose base class moved between versions
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    name="mosaic",
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: quick to make, the same on every terminal and in docs/cli.md
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mosaic {__version__}")
        raise typer.Exit


@app.callback(epilog=examples(_EXAMPLES))
def _root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, for finding out what went wrong.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,  # noqa: ARG001
) -> None:
    """Classify texts with the features of sparse autoencoders, and see why.

    One YAML file names a model, its sparse autoencoders, labelled datasets and the classifiers to fit.
    Results go to stdout, the log to stderr.
    """
    log.configure(verbose)


for _verb in (init, validate, plan, doctor, run, show, explain, report, ls, name, translate, behaviour, app_verb):
    app.command(_verb.__name__.rpartition(".")[2], epilog=examples(_verb.EXAMPLES))(_verb.command)


@app.command("sae", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def _sae(context: typer.Context) -> None:
    """Train sparse autoencoders: mosaic sae --help."""
    sub_app = importlib.import_module(SUB_APPS["sae"]).app
    command = get_command(sub_app)
    with command.make_context("sae", context.args, parent=context.parent) as inner:  # errors and Ctrl-C end up in main, as for other verbs
        command.invoke(inner)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Args:
        arguments: what stands after ``mosaic``; None = those of this process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        get_command(app).main(args=given, prog_name="mosaic")
    except MosaicError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except (Interrupted, KeyboardInterrupt):
        command = shlex.join(["mosaic", *given])
        typer.echo(f"\nInterrupted. Finished work is kept; the same command goes on from there: {command}", err=True)
        sys.exit(130)
    sys.exit(0)
