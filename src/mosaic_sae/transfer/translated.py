"""Languages of translated rows, "de←en" for an English text in German, and what training and testing on them gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

ARROW = "←"
MODES = ("native", "transferred", "translate-train", "translate-test")
_KEPT = ("n_train", "n_test", "macro_f1", "macro_f1_low", "macro_f1_high", "gap", "gap_low", "gap_high")


class Translated(NamedTuple):
    """The language of a translated row."""

    target: str
    """Language that it is in."""
    source: str
    """Language that it was written in."""

    def __str__(self) -> str:
        return f"{self.target}{ARROW}{self.source}"


def parse_language(name: str) -> Translated | None:
    """Take "de←en" apart; None for a language that no translation made."""
    target, arrow, source = name.partition(ARROW)
    return Translated(target, source) if arrow and target and source else None


def translation_modes(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Put the four ways to classify texts of one language with labels of another beside each other.

    With labels in ``source`` and texts to classify in ``language``: *native* trains and tests in the language; *transferred*
    trains in the source; *translate-train* trains on the source's texts translated into the language; *translate-test* trains
    in the source and tests on the language's texts translated into the source (Conneau et al. 2018, XNLI, section 4).

    Args:
        cells: CV-chosen cells of one dataset and split, on the whole training parts.

    Returns:
        A row for each method, pair for which some translation is there, and mode that has a cell; empty without translations.
    """
    trained = {parsed for name in set(cells["train_domain"]) if (parsed := parse_language(name))}
    tested = {parsed for name in set(cells["test_domain"]) if (parsed := parse_language(name))}
    pairs = sorted({(one.source, one.target) for one in trained} | {(one.target, one.source) for one in tested})
    rows: list[dict[str, Any]] = []
    for (representation, classifier), part in cells.groupby(["representation", "classifier"], sort=False):
        found = {(row["train_domain"], row["test_domain"]): row for row in part.to_dict("records")}
        for source, language in pairs:
            wanted = (
                (language, language),
                (source, language),
                (str(Translated(language, source)), language),
                (source, str(Translated(source, language))),
            )
            about = {"representation": representation, "classifier": classifier, "source": source, "language": language}
            for mode, domains in zip(MODES, wanted, strict=True):
                if domains in found:
                    rows.append(about | {"mode": mode} | {name: found[domains][name] for name in _KEPT})
    return rows
