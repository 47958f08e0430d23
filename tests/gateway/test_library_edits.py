"""The library after each change: names, heirs, and whose weights may go."""

from dataclasses import replace

from control.config import with_library
from control.library import DROPPED_MAX, Dropped, Fetched, Library
from gateway.library_edits import (
    why_not_new,
    with_alias,
    with_model,
    without_alias,
    without_dropped,
    without_model,
)
from tests.support.gateway_world import make_config, make_model

TINY = Fetched("org/tiny", "/cache/tiny", "org/tiny", "ab12", True, 5)
LIBRARY = Library(models=(TINY,))
DROP = Dropped("org/tiny", "ab12")


def deleted(library: Library, name: str = "org/tiny", *more) -> Library:
    config = with_library(make_config("a", *more), library)
    return without_model(library, config.find(name), config)


def test_a_model_takes_the_place_of_the_one_of_its_name():
    newer = Fetched("ORG/tiny", "/cache/newer", "org/tiny", "cd34", True)
    assert with_model(LIBRARY, newer).models == (newer,)
    other = Fetched("other", "/x")
    assert with_model(LIBRARY, other).models == (TINY, other)


def test_weights_that_we_fetched_once_stay_ours_when_they_are_found_again():
    again = Fetched("org/tiny", "/cache/tiny", "org/tiny", "ab12", by_us=False)
    assert with_model(LIBRARY, again).find("org/tiny").by_us
    assert not with_model(Library(), again).find("org/tiny").by_us


def test_a_snapshot_that_is_used_again_is_not_deleted():
    assert with_model(Library(dropped=(DROP, Dropped("org/b", "1"))), TINY).dropped == (Dropped("org/b", "1"),)
    assert without_dropped(Library(dropped=(DROP,)), DROP) == Library()


def test_names_come_and_go():
    library = with_alias(with_alias(LIBRARY, "one", "org/tiny"), "two", "a")
    assert library.aliases == {"one": "org/tiny", "two": "a"}
    assert without_alias(library, "one").aliases == {"two": "a"}


def test_weights_go_with_the_last_model_that_uses_them():
    assert deleted(LIBRARY) == Library(dropped=(DROP,))
    twin = Library(models=(TINY, Fetched("twin", "/cache/tiny", "org/tiny", "ab12", True)))
    once = deleted(twin)
    assert once.dropped == () and deleted(once, "twin").dropped == (DROP,)


def test_weights_of_a_configured_model_a_directory_or_another_program_stay():
    configured = replace(make_model("mine"), path=TINY.path)
    assert deleted(LIBRARY, "org/tiny", configured) == Library()
    for entry in (Fetched("org/tiny", "/x"), Fetched("org/tiny", "/x", "org/tiny", "ab12", by_us=False)):
        assert deleted(Library(models=(entry,))) == Library()
    full = Library(models=(TINY,), dropped=tuple(Dropped("org/o", str(n)) for n in range(DROPPED_MAX)))
    assert DROP not in deleted(full).dropped


def test_a_copied_name_inherits():
    library = Library(models=(TINY,), aliases={"one": "org/tiny", "two": "org/tiny", "three": "a"})
    after = deleted(library)
    assert [model.name for model in after.models] == ["one"] and after.models[0].path == TINY.path
    assert after.aliases == {"two": "one", "three": "a"} and after.dropped == ()


def test_a_name_may_be_new_or_that_of_a_pulled_model():
    config = with_library(make_config("a"), Library(models=(TINY,), aliases={"copy": "org/tiny"}))
    assert why_not_new("org/new", config) is None and why_not_new("ORG/tiny", config) is None
    for taken in ("a", "a-alias", "copy", "org-tiny", "org.tiny"):
        assert why_not_new(taken, config).code == "invalid_request"
