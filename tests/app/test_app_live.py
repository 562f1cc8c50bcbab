"""The page on which texts are typed, with a stand-in for the model; ``tests/e2e/test_run.py`` decides with a real one."""

import threading
from dataclasses import replace

import pytest
from page_reading import find, text_of

from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import create_app, route
from mosaic_sae.app.live import LivePoints
from mosaic_sae.app.pages.live import live_page
from mosaic_sae.errors import MosaicError
from mosaic_sae.explain.example import explain_example
from stored_point import make_point, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    stored = make_point(tmp_path_factory.mktemp("live"))
    return stored, make_run([stored])


class Decides:
    """Decides on every text as on one example."""

    def __init__(self, stored):
        self.stored = stored

    def explain(self, text, about=None):
        if text == "boom":
            raise MosaicError("The text <b>boom</b> cannot be read.")
        found = explain_example(self.stored.base, self.stored.folder, int(self.stored.split.test[-1]), about)
        return replace(found, id="", label="")


def page_of(run, live, search=""):
    return text_of(route(Library([run.parent]), "/live", search, [live_page(live)]))


def loaded(live, run, stored):
    while live.state(run, stored.folder) == "loading":
        pass
    return live


def test_it_loads_in_the_background_then_decides(made):
    stored, run = made
    go_on = threading.Event()

    def load(run_folder, folder):
        assert (run_folder, folder.resolve()) == (run, stored.folder.resolve())
        go_on.wait(10)
        return Decides(stored)

    live = LivePoints(load)
    assert "Loading the model" in page_of(run, live, "?text=hello")
    page = route(Library([run.parent]), "/live", "", [live_page(live)])
    assert [part.disabled for part in find(page, "Interval")] == [False]
    go_on.set()
    while "Loading" in page_of(run, live):
        pass
    assert "The model is loaded. Type a text." in page_of(run, live)
    text = page_of(run, live, "?text=hello&off=3")
    expected = Decides(stored).explain("hello")
    assert f"Predicted {expected.predicted} with probability {expected.probabilities[expected.predicted]:.3f}" in text
    assert "Latent 3 switched off" in text
    assert "The text <b>boom</b> cannot be read." in page_of(run, live, "?text=boom")


def test_what_cannot_be_loaded_is_said_and_not_tried_again_and_again(made):
    stored, run = made
    tried = []

    def load(run_folder, folder):
        tried.append(folder)
        raise MosaicError("There is no model here.")

    live = LivePoints(load)
    loaded(live, run, stored)
    while "Loading" in (text := page_of(run, live)):
        pass
    assert "There is no model here." in text
    page_of(run, live, "?text=x")
    assert len(tried) == 1


def test_another_point_takes_the_place_of_the_first(made, tmp_path):
    stored, run = made
    live = LivePoints(lambda run_folder, folder: Decides(stored))
    assert loaded(live, run, stored).state(run, stored.folder) == "ready"
    while live.state(run, tmp_path) == "loading":
        pass
    with pytest.raises(MosaicError, match="Another point was asked for"):
        live.explain(stored.folder, "hello", None)


def test_there_is_no_such_page_unless_asked_for(made):
    _, run = made
    assert "No such page" in text_of(route(Library([run.parent]), "/live", ""))
    live = LivePoints(lambda run_folder, folder: None)
    assert create_app([run.parent], live).server.test_client().get("/live").status_code == 200
