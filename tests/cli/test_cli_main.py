"""The entry point: exit codes, what goes where, and how little is imported."""

from __future__ import annotations

import json
import logging
import os
import resource
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

import mosaic_sae
from mosaic_sae.cli import app as app_verb
from mosaic_sae.cli import init, ls, plan, run, show, validate
from mosaic_sae.cli import main as command_line
from mosaic_sae.errors import SourceError

ROOT = Path(__file__).parents[2]
HEAVY = [
    "torch",
    "sklearn",
    "pandas",
    "numpy",
    "scipy",
    "dash",
    "plotly",
    "transformers",
    "datasets",
    "pyarrow",
    "pydantic",
    "yaml",
    "rich",
]
VERBS = (init, validate, plan, run, show, ls, app_verb)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["app", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = "\n".join([
        "import json, sys",
        "from mosaic_sae.cli.main import main",
        "try: main(sys.argv[1:])",
        f"finally: print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)",
    ])
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    # Some versions of typer read the defaults of a verb with pydantic; ours is the first page.
    assert [name for name in json.loads(ended.stderr) if (name, arguments[0][:2] == "--") != ("pydantic", False)] == []
    assert "mosaic" in ended.stdout


def test_help_is_quick():
    def seconds() -> float:  # of processor time: does not depend on what else the machine does
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "mosaic_sae", "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.7


def test_version(mosaic):
    assert mosaic("--version") == (0, f"mosaic {mosaic_sae.__version__}\n", "")


def test_no_verb_shows_help_and_a_misspelt_one_the_nearest(mosaic):
    assert "Examples:" in mosaic().out + mosaic().err
    ended = mosaic("validat")
    assert ended.code == 2
    assert "Did you mean 'validate'?" in ended.err


def test_what_the_user_can_mend_is_a_message_without_traceback_and_exit_2(mosaic, stand_in):
    def fail(*_, **__):
        raise SourceError("x.csv:3: the label is missing.")

    stand_in("mosaic_sae.pipeline.run", run=fail)
    ended = mosaic("run", "default")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "Error: x.csv:3: the label is missing.\n"


def test_a_bug_shows_its_traceback(stand_in):
    def fail(*_, **__):
        raise ZeroDivisionError("a bug")

    stand_in("mosaic_sae.pipeline.run", run=fail)
    with pytest.raises(ZeroDivisionError):
        command_line.main(["run", "default"])


def test_an_interruption_exits_130_and_gives_the_command_that_goes_on(mosaic, stand_in):
    def stop(*_, **__):
        raise KeyboardInterrupt

    stand_in("mosaic_sae.pipeline.run", run=stop)
    ended = mosaic("run", "default", "-s", "settings.seed=7", "-s", "tokens={bos: include}")
    assert ended.code == 130
    assert ended.err.strip().endswith("goes on from there: mosaic run default -s settings.seed=7 -s 'tokens={bos: include}'")
    assert "Finished work is kept" in ended.err


def test_the_log_goes_to_stderr_and_results_to_stdout(mosaic, tmp_path):
    (tmp_path / "conf.yaml").write_text((ROOT / "conf.yaml").read_text())
    ended = mosaic("validate")
    assert ended.code == 0
    assert ended.out.startswith("conf.yaml is valid.\n")
    assert ended.err == "poolings: 0 = sum, 20 = count_top_n(20), 50 = count_top_n(50), -1 = last\n"
    assert logging.getLogger("mosaic_sae").level == logging.INFO
    mosaic("--verbose", "validate")
    assert logging.getLogger("mosaic_sae").level == logging.DEBUG


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_every_help_page_has_examples_that_can_be_typed(verb, mosaic):
    name = verb.__name__.rpartition(".")[2]
    page = mosaic(name, "--help").out
    assert len(verb.EXAMPLES) >= 3
    for command, what in verb.EXAMPLES:
        assert f"{command}  " in page
        assert what in page
        _parse(command)


def test_the_first_help_page_has_examples_that_can_be_typed(mosaic):
    page = mosaic("--help").out
    for command, _ in command_line._EXAMPLES:
        assert command in page
        _parse(command)
    for line in page.split("Commands:")[1].split("Examples:")[0].splitlines():
        assert not line.endswith("...")  # every verb is explained on its line


def _parse(command: str) -> None:
    program, verb, *words = shlex.split(command)
    assert program == "mosaic"
    get_command(command_line.app).commands[verb].make_context(verb, words)  # raises on an unknown option or a missing argument


def test_a_verb_with_verbs_of_its_own_gets_its_arguments(mosaic, stand_in):
    sub_app = typer.Typer(rich_markup_mode=None)
    sub_app.callback()(lambda: None)

    @sub_app.command("train")
    def _(steps: str) -> None:
        if steps == "stop":
            raise KeyboardInterrupt
        typer.echo(f"training {steps}")

    stand_in("mosaic_sae.cli.sae", app=sub_app)
    assert mosaic("sae", "train", "7").out == "training 7\n"
    assert mosaic("sae", "--help").out.startswith("Usage: mosaic sae [OPTIONS] COMMAND")
    assert mosaic("sae", "train", "--help").out.startswith("Usage: mosaic sae train")
    assert mosaic("sae", "trian").code == 2
    interrupted = mosaic("sae", "train", "stop")
    assert interrupted.code == 130
    assert interrupted.err.strip().endswith("goes on from there: mosaic sae train stop")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"config": "conf.yaml", "extract": True, "classify": True}),
        (["--extract-only"], {"config": "conf.yaml", "extract": True, "classify": False}),
        (["--classify-only", "--config", "other.yaml"], {"config": "other.yaml", "extract": False, "classify": True}),
    ],
)
def test_run_experiments_takes_the_same_path(arguments, expected, tmp_path, monkeypatch, stand_in, run_folder):
    calls = []

    def record(loaded, extract, classify):
        calls.append({"config": str(loaded.path), "extract": extract, "classify": classify})
        return type("Summary", (), {"failed": [], "run_folder": run_folder})

    stand_in("mosaic_sae.pipeline.run", run=record)
    for name in ("conf.yaml", "other.yaml"):
        (tmp_path / name).write_text((ROOT / "conf.yaml").read_text())
    assert _script(monkeypatch, "run_experiments.py", *arguments) == 0
    assert calls == [expected]


def test_run_experiments_refuses_both_steps_at_once(monkeypatch, capsys):
    assert _script(monkeypatch, "run_experiments.py", "--extract-only", "--classify-only") == 2
    assert "not allowed with" in capsys.readouterr().err


def test_app_main_opens_the_results_folder_of_a_config(monkeypatch, tmp_path, stand_in, run_folder):
    opened = []
    stand_in(
        "mosaic_sae.app.factory",
        create_app=lambda folders, live: opened.append(folders) or type("App", (), {"run": lambda *_, **__: None})(),
    )
    (tmp_path / "c.yaml").write_text((ROOT / "conf.yaml").read_text().replace("./output/classifications ", f"{run_folder.parent} "))
    assert _script(monkeypatch, "app/main.py", "--config", "c.yaml", "--port", "18050") == 0
    assert _script(monkeypatch, "app/main.py", "--port", "18050") == 0
    assert opened == [[run_folder.parent], [Path("output/classifications")]]


def _script(monkeypatch, name, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / name), run_name="__main__")
    return ended.value.code


def test_the_scripts_run_as_programs_from_any_folder(tmp_path):
    for words in (["run_experiments.py"], ["app/main.py"]):
        ended = subprocess.run(
            [sys.executable, str(ROOT / words[0])],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "100"},
        )
        assert ended.returncode == 2
        assert ended.stderr.startswith("Error: ")
        assert "Traceback" not in ended.stderr
