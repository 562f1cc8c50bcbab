from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline_checks import dense_rows, make_examples, sae_name
from transformers import AutoModelForCausalLM, AutoTokenizer

from mosaic_sae.errors import ModelError
from mosaic_sae.models.text import TextModel
from mosaic_sae.pipeline.signs import N_TEXTS
from mosaic_sae.sae.formats import saelens
from mosaic_sae.store.format import read_manifest
from mosaic_sae.store.reader import DenseStore, LatentStore, TokenStore


@pytest.fixture
def by_hand(tiny_model: Path, tiny_sae: Path):
    """Latents of one text, computed with a plain hook and the SAE's definition: an independent twin of the pipeline."""
    reference = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    sae = saelens.read(tiny_sae, "tiny")

    def compute(text: str) -> tuple[np.ndarray, np.ndarray]:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids]])
        with torch.no_grad():
            acts = reference(ids, output_hidden_states=True).hidden_states[3][0, 1:]
        return acts.numpy(), sae.encode_dense(acts).numpy()

    return compute


def test_stored_latents_and_pooled_states_equal_a_hand_written_pass(run_extract, by_hand, toy_texts: list[str]) -> None:
    model, where = run_extract(make_examples(toy_texts))
    rows = dense_rows(LatentStore(where.latents[sae_name(model)].folder))
    dense = DenseStore(where.dense[model.points[0]].folder)
    mean, last, largest = dense.load("mean"), dense.load("last"), dense.load("max")
    for number, text in enumerate(toy_texts):
        acts, latents = by_hand(text)
        np.testing.assert_allclose(rows[number], latents, atol=1e-4)
        np.testing.assert_allclose(mean[number], acts.mean(0), atol=1e-4)
        np.testing.assert_allclose(last[number], acts[-1], atol=1e-4)
        np.testing.assert_allclose(largest[number], acts.max(0), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, "auto"])
def test_features_do_not_depend_on_company_order_or_batch_size(run_extract, toy_texts: list[str], batch_size, tmp_path: Path) -> None:
    reference = dense_rows(_store(run_extract, toy_texts, {"batch_size": "auto"}, tmp_path / "a"))
    reordered = dense_rows(_store(run_extract, toy_texts[::-1], {"batch_size": batch_size}, tmp_path / "b"))[::-1]
    alone = dense_rows(_store(run_extract, toy_texts[3:4], {"batch_size": batch_size}, tmp_path / "c"))
    for one, other in zip(reference, reordered, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(alone[0], reference[3], atol=1e-4)


def _store(run_extract, texts: list[str], settings: dict, folder: Path) -> LatentStore:
    model, where = run_extract(make_examples(texts), settings=settings | {"base_save_dir": str(folder)})
    return LatentStore(where.latents[sae_name(model)].folder)


def test_act_only_gives_the_same_features(run_extract, toy_texts: list[str], tmp_path: Path) -> None:
    examples = make_examples(toy_texts)
    model, fused = run_extract(examples, settings={"base_save_dir": str(tmp_path / "fused")})
    _, kept = run_extract(examples, settings={"base_save_dir": str(tmp_path / "kept"), "act_only": True})
    for name, place in fused.latents.items():
        assert place.fingerprint == kept.latents[name].fingerprint
        for one, other in zip(dense_rows(LatentStore(place.folder)), dense_rows(LatentStore(kept.latents[name].folder)), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
    point = model.points[0]
    for pooling in ("mean", "last", "max"):
        one, other = DenseStore(fused.dense[point].folder).load(pooling), DenseStore(kept.dense[point].folder).load(pooling)
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_with_act_only_another_sae_needs_no_model_pass(run_extract, toy_texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from factories import make_sae

    examples = make_examples(toy_texts)
    model, _ = run_extract(examples, settings={"act_only": True})
    monkeypatch.setattr(TextModel, "capture", lambda *_: pytest.fail("the model ran"))
    other = make_sae(tmp_path / "other", seed=5)
    entry = {"name": model.located.name, "layers": [2], "sae": {"path": str(other)}}
    second, where = run_extract(examples, settings={"act_only": True}, models=[entry])
    assert LatentStore(where.latents[sae_name(second)].folder).n_rows == len(toy_texts)


def test_a_second_run_does_nothing(run_extract, toy_texts, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = make_examples(toy_texts)
    run_extract(examples)
    monkeypatch.setattr("mosaic_sae.pipeline.readings.TextModel", lambda *_: pytest.fail("the model was loaded"))
    run_extract(examples)


def test_only_the_missing_shard_is_made_again(run_extract, toy_texts, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = make_examples(toy_texts)
    model, where = run_extract(examples)
    folder = where.latents[sae_name(model)].folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "shard-00001.safetensors").unlink()
    seen = []
    tokenise = TextModel.tokenise
    monkeypatch.setattr(TextModel, "tokenise", lambda self, texts, *rest: seen.append(texts) or tokenise(self, texts, *rest))
    run_extract(examples)
    assert seen == [toy_texts[16:32]]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_a_killed_writer_left_is_removed(run_extract, toy_texts) -> None:
    examples = make_examples(toy_texts)
    model, where = run_extract(examples)
    latents, signs = where.latents[sae_name(model)].folder, where.activations[model.points[0]].folder
    (latents / "shard-00000.safetensors").unlink()
    for folder in (latents, signs):
        (folder / "signs.json.tmp-1").write_text("half", encoding="utf-8")
    run_extract(examples)
    assert sorted(path.name for path in signs.iterdir()) == ["signs.json"]
    assert not list(latents.glob("*.tmp-*"))


def test_tokens_above_the_norm_limit_do_not_count(run_extract, by_hand, toy_texts: list[str]) -> None:
    norms = np.concatenate([np.linalg.norm(by_hand(text)[0], axis=1) for text in toy_texts])
    limit = float(np.median(norms))
    model, where = run_extract(make_examples(toy_texts), tokens={"max_norm": limit})
    rows = dense_rows(LatentStore(where.latents[sae_name(model)].folder))
    mean = DenseStore(where.dense[model.points[0]].folder).load("mean")
    for number, text in enumerate(toy_texts):
        acts, latents = by_hand(text)
        keep = np.linalg.norm(acts, axis=1) <= limit
        np.testing.assert_allclose(rows[number], latents[keep], atol=1e-4)
        np.testing.assert_allclose(mean[number], acts[keep].mean(0) if keep.any() else np.zeros(acts.shape[1]), atol=1e-4)
    assert sum(len(row) for row in rows) < len(norms)


def test_long_texts_are_read_in_windows_and_every_token_counts_once(run_extract, by_hand, toy_texts: list[str]) -> None:
    texts = [" ".join(toy_texts)[:200].rsplit(" ", 1)[0], "bomb cake", " ".join(["alpha beta"] * 9)]
    tokens = {"max_length": 8, "long_texts": "window", "stride": 3}
    model, where = run_extract(make_examples(texts), tokens=tokens, settings={"batch_size": 2})
    rows = dense_rows(LatentStore(where.latents[sae_name(model)].folder))
    mean = DenseStore(where.dense[model.points[0]].folder).load("mean")
    for number, text in enumerate(texts):
        words, acts, latents = text.split(), [], []
        start = seen = 0
        while seen < len(words):
            # A window holds BOS and seven words; the words that an earlier one held do not count again.
            window_acts, window_latents = by_hand(" ".join(words[start : start + 7]))
            acts.append(window_acts[seen - start :])
            latents.append(window_latents[seen - start :])
            start, seen = start + 3, min(start + 7, len(words))
        assert len(np.concatenate(acts)) == len(words) > (7 if number != 1 else 0)
        np.testing.assert_allclose(rows[number], np.concatenate(latents), atol=1e-4)
        np.testing.assert_allclose(mean[number], np.concatenate(acts).mean(0), atol=1e-4)
    _, shard = next(iter(LatentStore(where.latents[sae_name(model)].folder).iter_shards()))
    assert shard.positions[: shard.row_offsets[1]].tolist() == list(range(1, len(texts[0].split()) + 1))
    totals = read_manifest(where.tokens.folder)["totals"]
    assert (totals["windowed"], totals["truncated"]) == (2, 0)


def test_token_pieces_stand_where_the_latents_say(run_extract, toy_texts: list[str]) -> None:
    model, where = run_extract(make_examples(toy_texts))
    tokens = TokenStore(where.tokens.folder)
    tokens.write_pieces(model.tokenizer.decode)
    assert [piece.strip() for piece in tokens.pieces(20)] == ["<bos>", *toy_texts[20].split()]
    _, shard = list(LatentStore(where.latents[sae_name(model)].folder).iter_shards())[1]
    local = 20 - 16
    assert shard.positions[shard.row_offsets[local] : shard.row_offsets[local + 1]].tolist() == list(
        range(1, len(toy_texts[20].split()) + 1)
    )


def test_bos_is_pooled_only_when_asked(run_extract, toy_texts: list[str], tmp_path: Path) -> None:
    examples = make_examples(toy_texts)
    model, without = run_extract(examples)
    _, with_bos = run_extract(examples, tokens={"bos": "include"}, settings={"base_save_dir": str(tmp_path / "bos")})
    name = sae_name(model)
    one, other = dense_rows(LatentStore(without.latents[name].folder)), dense_rows(LatentStore(with_bos.latents[name].folder))
    assert [len(row) + 1 for row in one] == [len(row) for row in other]
    np.testing.assert_allclose(one[5], other[5][1:], atol=1e-4)
    assert without.latents[name].fingerprint != with_bos.latents[name].fingerprint


def test_not_a_number_is_reported_with_the_ids(run_extract, toy_texts, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = TextModel.capture

    def spoilt(self, ids):
        found = capture(self, ids)
        poison = ids == self.tokenizer.convert_tokens_to_ids("poison")
        return {point: acts.masked_fill(poison[:, :, None], float("inf")) for point, acts in found.items()}

    monkeypatch.setattr(TextModel, "capture", spoilt)
    bad = [str(row) for row, text in enumerate(toy_texts) if "poison" in text.split()]
    with pytest.raises(ModelError, match=r"NaN or infinity .* at blocks\.2\.hook_resid_post of \d+ examples") as failure:
        run_extract(make_examples(toy_texts))
    assert any(name in str(failure.value) for name in bad)


def test_out_of_memory_halves_the_batch_and_gives_the_same_features(run_extract, toy_texts, tmp_path: Path, monkeypatch) -> None:
    expected = dense_rows(_store(run_extract, toy_texts, {}, tmp_path / "a"))
    capture = TextModel.capture

    def small(self, ids):
        if len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return capture(self, ids)

    monkeypatch.setattr(TextModel, "capture", small)
    for one, other in zip(expected, dense_rows(_store(run_extract, toy_texts, {}, tmp_path / "b")), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    monkeypatch.setattr(TextModel, "capture", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(ModelError, match=r"Not enough memory for one text of \d+ tokens"):
        _store(run_extract, toy_texts, {}, tmp_path / "c")


def test_one_pass_serves_all_layers_and_saes(run_extract, toy_texts, tiny_model: Path, tmp_path: Path, monkeypatch) -> None:
    from factories import make_sae

    for layer in (0, 2):
        make_sae(tmp_path / f"layer_{layer}", layer=layer, seed=layer)
    rows = []
    capture = TextModel.capture
    monkeypatch.setattr(TextModel, "capture", lambda self, ids: rows.append(len(ids)) or capture(self, ids))
    entry = {"name": str(tiny_model), "layers": [0, 2], "sae": {"path": str(tmp_path / "layer_{layer}")}}
    _, where = run_extract(make_examples(toy_texts), models=[entry])
    assert len(where.latents) == 4
    assert sum(rows) == N_TEXTS + len(toy_texts)
