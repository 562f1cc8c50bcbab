import pytest

from mosaic_sae.errors import MosaicError, SaeError
from mosaic_sae.registry import Registry


def test_targets_are_imported_when_asked_for():
    registry = Registry("thing", {"slug": "mosaic_sae.fsio:slug", "broken": "mosaic_sae.no_such_module:x"})
    assert registry.names() == ["broken", "slug"]
    assert registry.load("slug")("a/b") == "a_b"
    with pytest.raises(ModuleNotFoundError):
        registry.load("broken")


def test_a_miss_lists_what_exists():
    with pytest.raises(SaeError, match=r"Unknown thing 'slag'. Did you mean 'slug'\? Available: slug, x"):
        Registry("thing", {"slug": "a:b", "x": "a:c"}, SaeError).load("slag")
    with pytest.raises(MosaicError):
        Registry("thing", {}).load("x")


def test_duplicates_and_malformed_targets_are_refused():
    registry = Registry("thing", {"a": "m:x"})
    with pytest.raises(ValueError, match="already registered as m:x"):
        registry.add("a", "m:y")
    with pytest.raises(ValueError, match="module:attribute"):
        registry.add("b", "m.y")
