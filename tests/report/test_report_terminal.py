"""The table at the end of a run."""

import io

from rich.console import Console
from run_folders import make_run_folder

from mosaic_sae.report.terminal import print_summary


def summary(run, width=100):
    console = Console(file=io.StringIO(), width=width)
    print_summary(run, console)
    return console.file.getvalue()


def test_every_family_with_its_interval_and_the_verdict(tmp_path):
    text = summary(make_run_folder(tmp_path, 60))
    for words in ("safety_prompts, holdout", "SAE (logistic)", "SAE (tree)", "TF-IDF", "Random SAE, control", "Majority class, control"):
        assert words in text
    text = " ".join(text.split())
    assert text.count("No clear winner") + text.count("is ahead") == 3
    assert "no latent fires in the last token of any text" in text
    assert "nan" not in text


def test_eighty_columns_are_enough(tmp_path):
    text = summary(make_run_folder(tmp_path, 60), width=80)
    assert "CV" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_markup_in_the_data_is_text(tmp_path):
    run = make_run_folder(tmp_path, 60, hostile=True)
    assert "<script>window.hacked=1</script>, holdout" in summary(run, 160)


def test_no_results_in_words(tmp_path):
    assert "No point was finished" in summary(make_run_folder(tmp_path, 20, status="failed"))
