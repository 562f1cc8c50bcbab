"""The pages of latents: what is listed, in which order, and what a card says."""

import shutil

import pandas as pd
import pytest
from page_reading import find, links_of, text_of, with_class
from run_folders import HOSTILE, add_latents, make_run_folder

from mosaic_sae import fsio
from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import route
from mosaic_sae.explain.latent_table import PointUses, latent_rows, use_rows, write_tables
from mosaic_sae.explain.names import write_names
from mosaic_sae.explain.uses import uses_of
from mosaic_sae.probes.save import load_coefficients
from stored_point import LATENTS, make_point, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = make_run_folder(tmp_path_factory.mktemp("latents"), 60)
    frame = add_latents(run)
    name = {"text": "dangerous things", "source": "mine.csv", "url": None, "score": None}
    write_names(run.parent, "smollm2-135m-instruct-l13", "file", {2207: name})
    return run, frame[frame["dataset"] == "safety_prompts"].set_index("latent"), Library([run.parent])


def listed(page):
    """Numbers of the latents in the list, in order."""
    rows = find(with_class(page, "latents"), "Tr")[1:]
    return [int(text_of(find(row, "A")[0]).split()[-1]) for row in rows]


def test_latents_are_listed_by_use_with_their_figures(made):
    run, frame, library = made
    page = route(library, "/latents", f"?store={frame.iloc[0]['store']}")
    expected = frame.assign(size=frame["best_weight"].abs()).reset_index()
    expected = expected.sort_values(["best_chosen", "best_rank", "size", "latent"], ascending=[False, True, False, True])
    assert listed(page) == expected["latent"].tolist()
    assert f"{len(frame)} latents" in text_of(page)
    row = next(row for row in find(with_class(page, "latents"), "Tr")[1:] if "Latent 2207" in text_of(row))
    said = text_of(row)
    assert "“dangerous things” (mine.csv)" in said
    assert f"{frame.loc[2207, 'density_examples'] * 100:.1f} %" in said
    assert f"/latent/{frame.iloc[0]['store']}/2207?run={run.name}" in links_of(row)
    assert f"/point/{frame.loc[2207, 'best_fingerprint']}?run={run.name}" in links_of(row)


@pytest.mark.parametrize(("sort", "column", "ascending"), [("strength", "max", False), ("rare", "density_tokens", True)])
def test_sorted_otherwise(made, sort, column, ascending):
    _, frame, library = made
    page = route(library, "/latents", f"?store={frame.iloc[0]['store']}&sort={sort}")
    assert listed(page) == frame.sort_values(column, ascending=ascending).index.tolist()


def test_search_by_name_token_and_number(made):
    _, frame, library = made

    def found(query):
        return listed(route(library, "/latents", f"?store={frame.iloc[0]['store']}&{query}"))

    assert found("q=DANGEROUS") == [2207]
    assert found("q=2207") == found("q=latent+2207") == [2207]
    with_bomb = {latent for latent, tokens in frame["top_tokens"].items() if " bomb" in list(tokens)}
    assert 0 < len(with_bomb) < len(frame)
    assert set(found("q=bomb")) == with_bomb
    assert set(found("class=harmful")) == set(frame.index[frame["best_label"] == "harmful"])
    nothing = route(library, "/latents", "?q=.*")  # the text itself, no pattern
    assert listed(nothing) == []
    assert "No latent matches" in text_of(nothing)


def test_a_long_list_comes_in_pages(made, monkeypatch):
    _, frame, library = made
    monkeypatch.setattr("mosaic_sae.app.pages.latents.AT_ONCE", 3)
    store = f"?store={frame.iloc[0]['store']}"
    pages = [listed(route(library, "/latents", f"{store}&page={number}")) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [3, 3, len(frame) - 6]
    assert len({latent for page in pages for latent in page}) == len(frame)
    assert listed(route(library, "/latents", f"{store}&page=99")) == pages[2]
    assert listed(route(library, "/latents", f"{store}&page=-1")) == listed(route(library, "/latents", f"{store}&page=x")) == pages[0]


def test_the_card_of_a_latent(made):
    run, frame, library = made
    store = frame.iloc[0]["store"]
    card = fsio.read_json(run.parent / "evidence" / f"{store}.json")["latents"]["2207"]
    page = route(library, f"/latent/{store}/2207", "")
    text = text_of(page)
    assert "“dangerous things” (mine.csv)" in text
    assert card["label"] in text
    uses = pd.read_parquet(run / "latent_uses.parquet")
    uses = uses[(uses["store"] == store) & (uses["latent"] == 2207)]
    for fingerprint in uses["fingerprint"]:
        assert f"/point/{fingerprint}?run={run.name}" in links_of(page)
    assert f"/latent/{store}/77?run={run.name}" in links_of(page)
    bars = find(with_class(page, "histogram"), "I")
    # Heights are roots of counts 120, 40, 20 ...
    assert [bar.style["--a"] for bar in bars][:3] == [100, 58, 41]
    assert "Second quarter" in text
    assert len(with_class(page, "peak")) == 4
    shares = [bar.style["--a"] for bar in find(with_class(page, "by-class"), "I")]
    assert shares == [pytest.approx(100 * share, abs=0.05) for share in card["by_class"].values()]
    assert "It has no name" in text_of(route(library, f"/latent/{store}/871", ""))


def test_what_is_not_there_is_said(made, tmp_path):
    _, frame, library = made
    store = frame.iloc[0]["store"]
    for path in (f"/latent/{store}/4608", f"/latent/{store}/x", f"/latent/{store}/-1", f"/latent/{'0' * 16}/1", "/latent/..%2Fpoints/1"):
        assert "No such latent" in text_of(route(library, path, ""))
    missing = text_of(route(library, f"/latent/{store}/4607", ""))
    assert "has no saved card" in missing
    assert "is not there" in missing
    bare = make_run_folder(tmp_path, 20)
    assert "This run has no table of latents" in text_of(route(Library([bare.parent]), "/latents", ""))


def test_hostile_words_are_text(tmp_path):
    run = make_run_folder(tmp_path, 40, hostile=True)
    frame = add_latents(run)
    library = Library([tmp_path])
    for row in frame.drop_duplicates("store").to_dict("records"):
        text = text_of(route(library, "/latents", f"?store={row['store']}"))
        card = text_of(route(library, f"/latent/{row['store']}/2207", ""))
        assert "<script>" in text + card
        assert "\u202e" not in text + card
    assert HOSTILE[0] in text_of(route(library, f"/latent/{frame.iloc[0]['store']}/2207", ""))


def test_a_card_that_was_not_saved_is_made_from_the_stores(tmp_path):
    stored = make_point(tmp_path)
    run = make_run([stored])
    point = fsio.read_json(stored.folder / "point.json")
    uses = use_rows(LATENTS, [PointUses(point, True, uses_of(point, load_coefficients(stored.folder / "coefficients.safetensors")))])
    write_tables(run, latent_rows(stored.stores.open(), point["key"], uses, set()), uses)
    library = Library([run.parent])
    frame = pd.read_parquet(run / "latents.parquet")
    densest = frame.sort_values(["density_tokens", "latent"], ascending=[False, True])["latent"].tolist()
    assert listed(route(library, "/latents", "?sort=dense")) == densest
    # Latent 3 was made to fire loudly for the first class.
    page = route(library, f"/latent/{LATENTS}/3", "")
    shares = [bar.style["--a"] for bar in find(with_class(page, "by-class"), "I")]
    fires = (stored.features[:, [3]].toarray() > 0).ravel()  # sums of what fires are above 0
    for share, label in zip(shares, sorted(set(stored.labels)), strict=False):
        of_class = [bool(one) for one, name in zip(fires, stored.labels, strict=True) if name == label]
        assert share == pytest.approx(100 * sum(of_class) / len(of_class), abs=0.05)
    assert "is none" in text_of(page)  # no neighbours were computed
    assert "xx" in text_of(page)
    shutil.rmtree(tmp_path / "stores")
    assert "is not there" in text_of(route(Library([run.parent]), f"/latent/{LATENTS}/3", ""))


def test_kept_by_the_language_in_which_it_fires_most(tmp_path):
    run = make_run_folder(tmp_path, 40)
    frame = add_latents(run)
    store = frame.iloc[0]["store"]
    # Even latents fire in more of the German examples, odd ones in more of the Japanese.
    shares = [[{"name": "de", "share": 0.2}, {"name": "ja", "share": 0.1 if latent % 2 == 0 else 0.4}] for latent in frame["latent"]]
    frame.assign(by_language=shares).to_parquet(run / "latents.parquet")
    library = Library([tmp_path])
    of_store = frame[frame["store"] == store]
    for language, odd in (("de", 0), ("ja", 1)):
        page = route(library, "/latents", f"?store={store}&language={language}")
        assert set(listed(page)) == {latent for latent in of_store["latent"] if latent % 2 == odd}
    assert "Most often in" in text_of(page)
    assert len(listed(route(library, "/latents", f"?store={store}&language=xx"))) == 0
