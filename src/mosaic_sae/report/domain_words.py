"""What a transfer section calls its domains: languages, or texts and images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DomainWords:
    """Words of one kind of transfer; ``intro`` has places for numbers of training and test rows."""

    one: str
    own: str
    others: str
    in_own: str
    in_others: str
    intro: str
    means: str
    heading: str
    latents: str
    elsewhere: str
    bold: str
    strongest: str
    rows: str


DOMAIN_WORDS = {
    "language": DomainWords(
        one="language",
        own="own language",
        others="other languages",
        in_own="in the language trained on",
        in_others="in other languages",
        intro=(
            "Each classifier was trained on {n_train} rows of one language; all settings were chosen by cross-validation in that language"
            " alone. Everything was tested on the same {n_test} rows, in all languages. The gap is the score minus that of the language's"
            " own classifier on the same rows; it is clear when its 95 % interval (paired bootstrap) lies below 0."
        ),
        means="Mean macro F1 over languages, and over pairs of different languages",
        heading="Trained on one language, tested on another",
        latents="The strongest latents of each language's CV-chosen logistic probe, followed through the test texts of all languages.",
        elsewhere="most other languages",
        bold="the languages in which it marks the class",
        strongest="Strongest text in each language",
        rows="texts",
    ),
    "modality": DomainWords(
        one="modality",
        own="own modality",
        others="other modality",
        in_own="in the modality trained on",
        in_others="across modality",
        intro=(
            "Each classifier was trained on {n_train} rows, texts alone or images alone; all settings were chosen by cross-validation in"
            " those. Everything was tested on the same {n_test} rows, texts and images. The gap is the score minus that of the classifier"
            " of the same kind that was trained on what is tested, its ceiling; it is clear when its 95 % interval (paired bootstrap) lies"
            " below 0. TF-IDF reads texts only, pixels and the vision tower read images only: their other cells are left out."
        ),
        means="Mean macro F1 on texts and images, trained on the same and on the other",
        heading="Trained on texts or images, tested on both",
        latents="The strongest latents of each CV-chosen logistic probe, that of texts and that of images, followed through all test rows.",
        elsewhere="the other",
        bold="where it marks the class",
        strongest="Strongest text and image",
        rows="rows",
    ),
}
