import os
from pathlib import Path

import pytest

from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.fsio import atomic_path, remove_leftovers, slug, write_json


@pytest.mark.parametrize(
    ("name", "folder"),
    [("google/gemma-2b", "google_gemma-2b"), ("v1.5_x", "v1.5_x"), ("../../etc", "etc"), ("", "_"), ("日本", "_"), ("a b", "a_b")],
)
def test_slug_is_one_harmless_folder_name(name: str, folder: str) -> None:
    assert slug(name) == folder


def test_a_long_name_is_cut_and_stays_apart_from_others() -> None:
    one, other = slug("a" * 300 + "x"), slug("b" + "a" * 299 + "x")
    assert len(one) <= 100 and one != other


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match=r"NaN|Out of range"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]
    assert path.read_text() == '{\n "a": 1\n}\n'


def test_leftovers_of_a_dead_process_go(tmp_path: Path) -> None:
    (tmp_path / f"value.json.tmp-{os.getpid()}").touch()
    (tmp_path / "value.json").touch()
    remove_leftovers(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]


def test_fingerprint_follows_content_not_order() -> None:
    assert fingerprint({"a": 1, "b": [1.5, None]}) == fingerprint({"b": [1.5, None], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5}) != fingerprint({"a": "1"})
    assert len(fingerprint({})) == 16
