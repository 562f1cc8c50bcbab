"""TF-IDF over words and characters that works for scripts with and without spaces, and saves compactly."""

from __future__ import annotations

from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer

# A word is a run of anything but spaces and punctuation. "\w" would cut Hindi at every vowel sign. Chinese and Japanese
# have no spaces, so there the characters carry the signal.
WORD = r"[^\s!-/:-@\[-`{-~¡-¿\u0964\u0965\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+"
# A term of one training text alone tells nothing about another text.
MIN_TEXTS = 2


class NgramVectorizer(TfidfVectorizer):
    """scikit-learn's vectorizer whose saved form holds the vocabulary as one string.

    With one JSON node per term a saved classifier of 28,000 terms is 23 MB long and seconds slow. Terms hold no line
    breaks: words hold no white space, and in character n-grams every run of it has become one space.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Replace the dictionary by its terms in column order."""
        state: dict[str, Any] = dict(super().__getstate__())
        if "vocabulary_" in state:
            state["vocabulary_"] = "\n".join(sorted(state["vocabulary_"], key=state["vocabulary_"].__getitem__))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the dictionary."""
        terms = state.get("vocabulary_")
        if isinstance(terms, str):
            state = {**state, "vocabulary_": {term: column for column, term in enumerate(terms.split("\n"))}}
        super().__setstate__(state)


def make_vectorizers() -> dict[str, NgramVectorizer]:
    """Words and pairs of words; runs of 2 to 4 characters inside words. Both with sublinear term frequency and rows of unit length."""
    words = NgramVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True, min_df=MIN_TEXTS)
    characters = NgramVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=MIN_TEXTS)
    return {"words": words, "characters": characters}
