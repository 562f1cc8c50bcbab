"""Names of latents from files and from Neuronpedia's exports."""

import gzip
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from loopback import serve

from mosaic_sae.errors import MosaicError
from mosaic_sae.explain.cards import named, summary
from mosaic_sae.explain.name_files import read_name_file
from mosaic_sae.explain.names import names_file, read_names, with_names, write_names
from mosaic_sae.explain.neuronpedia import fetch_names

SOURCE = "gemma-2-2b/12-gemmascope-res-16k"
EXPORT = [
    {"modelId": "gemma-2-2b", "layer": "12-gemmascope-res-16k", "index": "3", "description": " bombs and explosives", "typeName": "oai"},
    {"modelId": "gemma-2-2b", "layer": "12-gemmascope-res-16k", "index": "3", "description": "a later explanation"},
    {"modelId": "gemma-2-2b", "layer": "12-gemmascope-res-16k", "index": "7", "description": "the letter “ß”"},
]
URL = "https://www.neuronpedia.org/gemma-2-2b/12-gemmascope-res-16k/3"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("n.json", '{"3": "bombs", "7": "سلام"}'),
        ("n.json", '[{"index": 3, "description": "bombs"}, {"latent": "7", "name": "سلام"}]'),
        ("n.jsonl", '{"feature": 3, "text": "bombs"}\n\n{"index": 7, "label": "سلام"}\n'),
        ("n.csv", '\ufefflatent,note,name\n3,x,bombs\n7,,"سلام"\n'),
        ("n.tsv", "index\texplanation\n3\tbombs\n7\tسلام\n"),
    ],
)
def test_every_shape_of_file_gives_the_same_names(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        names = read_name_file(path, 10)
        assert {latent: found["text"] for latent, found in names.items()} == {3: "bombs", 7: "سلام"}
        assert names[3] == {"text": "bombs", "source": path.name, "url": None, "score": None}


def test_an_export_of_neuronpedia_has_links_and_its_first_explanation_counts(tmp_path):
    folder = tmp_path / "explanations"
    folder.mkdir()
    for number, rows in enumerate([EXPORT[:2], EXPORT[2:]]):
        (folder / f"batch-{number}.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    names = read_name_file(folder, 16384)
    assert names[3] == {"text": "bombs and explosives", "source": f"Neuronpedia {SOURCE}", "url": URL, "score": None}
    assert names[7]["text"] == "the letter “ß”"


def test_a_source_gives_links_to_rows_that_say_none(tmp_path):
    (tmp_path / "n.json").write_text('{"3": "bombs"}')
    assert read_name_file(tmp_path / "n.json", 10, SOURCE)[3]["url"] == URL


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.json", '{"10": "x"}', r"names latent 10, but the SAE has 10 latents \(0 to 9\)"),
        ("n.json", '{"-1": "x"}', "names latent -1"),
        ("n.json", '{"a": "x"}', r'entry 1 is {"index": "a", "text": "x"}\. Expected'),
        ("n.json", '[["3", "x"]]', r"entry 1 is .*Expected a JSON object"),
        ("n.csv", "index,other\n3,x\n", "entry 1 is .*a text"),
        ("n.json", "{", "cannot be read as json"),
        ("n.txt", "3 x", r"must end in one of \.json"),
    ],
)
def test_what_is_no_list_of_names_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(MosaicError, match=message):
        read_name_file(tmp_path / name, 10)


def test_a_missing_file_and_an_empty_folder_are_said(tmp_path):
    with pytest.raises(MosaicError, match="there is no file"):
        read_name_file(tmp_path / "gone.json", 10)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MosaicError, match=r"holds no \.json"):
        read_name_file(tmp_path / "empty", 10)


def test_names_are_fetched_batch_by_batch():
    asked = []
    batches = {
        f"v1/{SOURCE}/explanations/batch-{number}.jsonl.gz": row for number, row in ((10, EXPORT[1]), (2, EXPORT[0]), (11, EXPORT[2]))
    }

    def bucket(method, path, body, headers):
        parts, query = urlsplit(path), parse_qs(urlsplit(path).query)
        asked.append(path)
        if "list-type" not in query:
            return 200, gzip.compress(json.dumps(batches[parts.path.lstrip("/")]).encode())
        assert query["prefix"] == [f"v1/{SOURCE}/explanations/"]
        page = 1 if "continuation-token" in query else 0
        keys = [next(iter(batches)), f"v1/{SOURCE}/explanations/"] if page == 0 else [*batches][1:]
        more = "" if page else "<NextContinuationToken>a+b/c=</NextContinuationToken>"
        listed = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
        return 200, f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{listed}{more}</ListBucketResult>'.encode()

    with serve(bucket) as address:
        names = fetch_names(SOURCE, 16384, address)
        # Batch 2 comes before batch 10, so its explanation of latent 3 is the first.
        assert names[3]["text"] == "bombs and explosives" and names[3]["url"] == URL
        assert set(names) == {3, 7} and len(asked) == 5
        with pytest.raises(MosaicError, match="names latent 7, but the SAE has 7 latents"):
            fetch_names(SOURCE, 7, address)


def test_no_such_source_and_no_network_are_said():
    empty = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'
    with serve(lambda *_: (200, empty)) as address, pytest.raises(MosaicError, match="no exported names of 'a/b'"):
        fetch_names("a/b", 10, address)
    with pytest.raises(MosaicError, match=r"Cannot fetch .*names\.file"):
        fetch_names("a/b", 10, address)


def test_the_source_of_a_name_is_seen_and_a_missing_one_too(tmp_path):
    by_file = {3: {"text": "bombs", "source": "n.csv", "url": None, "score": None}}
    by_model = {
        3: {"text": "explosives", "source": "m at host", "url": None, "score": 0.9},
        5: {"text": "cakes", "source": "m at host", "url": None, "score": 0.75},
    }
    write_names(tmp_path, "sae/one", "model", by_model)
    write_names(tmp_path, "sae/one", "file", by_file)
    assert names_file(tmp_path, "sae/one", "file").parent == tmp_path / "names"
    names = read_names(tmp_path, "sae/one")
    assert {latent: name["text"] for latent, name in names.items()} == {3: "bombs", 5: "cakes"}
    assert read_names(tmp_path, "other") == {}
    card = {"top_tokens": [{"piece": " bomb"}]}
    cards = with_names({"sae": "sae/one", "latents": {"3": card, "5": card, "6": card}}, names)["latents"]
    assert summary(cards["3"]) == "“bombs” (n.csv); fires on: ' bomb'"
    assert summary(cards["5"]) == "“cakes” (m at host, score 0.75); fires on: ' bomb'"
    assert cards["6"]["name"] is None and summary(cards["6"]) == "fires on: ' bomb'" and named(None) == "no name"
