"""Pulls: who hears what, one downloader for a source, killed when nobody is left, and how each end is told."""

import pytest

from control.library import Fetched, Library
from gateway import keys, protocol
from gateway.pulls import LISTENERS_MAX, PULLS_MAX, SAY_AGAIN_S
from tests.support.gateway_world import World
from tests.support.library_world import LibraryWorld
from workers import fetch_lines
from workers.fetch_lines import Done, Failed, Progress

DIGEST = "ab" * 32
HALF = Progress(fetch_lines.PULLING, "model.safetensors", DIGEST, 10, 5)
DONE = Done("/cache/tiny", "ab12", True, 7)


def told(world: LibraryWorld, request_id: str) -> list[protocol.Fetching]:
    return [event for event in world.events(request_id) if isinstance(event, protocol.Fetching)]


def test_a_pull_is_told_piece_by_piece_and_ends_when_the_model_can_be_asked():
    world = LibraryWorld("a")
    world.pull("p", "hf.co/Org/Tiny:latest")
    assert world.fetches[0].words == ("pull", "Org/Tiny")
    world.says(HALF)
    last = told(world, "p")[-1]
    assert (last.status, last.file, last.digest, last.total_bytes, last.completed_bytes) == tuple(
        getattr(HALF, name) for name in ("status", "file", "digest", "total", "completed"))
    world.says(DONE)
    assert not world.ended("p") and world.d.config.find("org/tiny") is not None
    world.tells()
    done = protocol.decode_pull(world.end_of("p").value)
    assert (done.model, done.path, done.bytes) == ("Org/Tiny", "/cache/tiny", 7)


def test_who_asks_for_the_same_meanwhile_hears_the_same_from_where_it_is():
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.says(HALF)
    world.pull("q", "org/tiny", client=b"c2")
    assert len(world.fetches) == 1 and told(world, "q")[0].completed_bytes == HALF.completed
    world.says(DONE)
    world.tells()
    for request_id in "pq":
        assert isinstance(world.end_of(request_id), protocol.Result)


@pytest.mark.parametrize("leave", ["cancel", "lost"])
def test_the_downloader_is_killed_when_the_last_who_asked_has_left(leave):
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.pull("q", "org/tiny", client=b"c2")
    world.client_says(b"c1", protocol.Cancel("p"))
    assert not world.fetches[0].killed
    if leave == "cancel":
        world.client_says(b"c2", protocol.Cancel("q"))
    else:
        world.d.pulls.forget_client(b"c2")
    assert world.fetches[0].killed
    world.turn()
    world.pull("r", "org/tiny")
    assert len(world.fetches) == 2 and not world.fetches[1].killed


def test_a_silent_downloader_is_told_of_again():
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.says(HALF)
    before = len(told(world, "p"))
    world.pass_time(SAY_AGAIN_S + 1)
    assert told(world, "p")[before:] == [told(world, "p")[-1]]


def test_a_failure_is_told_as_it_is_and_one_without_a_word_too():
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.says(Failed("model_not_found", "the hub has no org/tiny"))
    assert (world.end_of("p").code, world.end_of("p").message) == ("model_not_found", "the hub has no org/tiny")
    world.pull("q", "org/tiny")
    world.fetches[-1].ended = True
    world.turn()
    assert world.end_of("q").code == "internal" and "pull again" in world.end_of("q").message
    world.pull("r", "org/tiny")
    world.says(Failed("of another version", "what?"))
    assert world.end_of("r").code == "internal"


def test_there_are_never_more_than_a_few_at_once():
    world = LibraryWorld("a")
    for n in range(PULLS_MAX):
        world.pull(f"p{n}", f"org/m{n}")
    world.pull("more", "org/more")
    assert world.end_of("more").code == "queue_full" and world.end_of("more").retry_after_s > 0
    for n in range(LISTENERS_MAX - 1):
        world.pull(f"l{n}", "org/m0")
    world.pull("full", "org/m0")
    assert world.end_of("full").code == "queue_full" and len(world.fetches) == PULLS_MAX


def test_a_machine_without_room_for_a_process_says_so():
    world = LibraryWorld("a")
    world.no_processes = True
    world.pull("p", "org/tiny")
    assert world.end_of("p").code == "internal" and "temporarily unavailable" in world.end_of("p").message


def test_what_is_configured_is_there_at_once():
    world = LibraryWorld("a")
    for n, name in enumerate(("a", "A:latest", "a-alias")):
        world.pull(str(n), name)
        assert protocol.decode_pull(world.end_of(str(n)).value).model == "a"
    assert not world.fetches


def test_a_pulled_model_is_there_at_once_unless_its_files_are_gone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    library = Library(models=(Fetched("org/tiny", str(tmp_path), "org/tiny", "ab12"),))
    world = LibraryWorld("a", library=library)
    world.pull("p", "org/tiny")
    assert isinstance(world.end_of("p"), protocol.Result) and not world.fetches
    (tmp_path / "config.json").unlink()
    world.pull("q", "org/tiny")
    world.says(DONE)
    world.tells()
    assert world.library.find("org/tiny").path == DONE.path and len(world.library.models) == 1


def test_a_directory_is_looked_at_by_the_same_program():
    world = LibraryWorld("a")
    world.pull("p", "/models/mine")
    assert world.fetches[0].words == ("check", "/models/mine")
    world.says(Done("/models/mine", bytes=3))
    world.tells()
    assert world.library.models == (Fetched("mine", "/models/mine", bytes=3),)
    assert protocol.decode_pull(world.end_of("p").value).model == "mine"


def test_everybody_gets_the_name_that_they_asked_for():
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.pull("q", "mine", source="org/tiny", client=b"c2")
    world.pull("r", "MINE", source="hf.co/org/tiny", client=b"c3")
    assert len(world.fetches) == 1
    world.client_says(b"c3", protocol.Cancel("r"))
    world.pull("s", "a-alias-of-nobody:1b", source="org/tiny", client=b"c4")
    world.says(DONE)
    for _ in range(3):
        world.tells()
    assert [protocol.decode_pull(world.end_of(each).value).model for each in "pqs"] == [
        "org/tiny", "mine", "a-alias-of-nobody:1b"]
    assert [model.name for model in world.library.models] == ["org/tiny", "mine", "a-alias-of-nobody:1b"]
    assert {model.source for model in world.library.models} == {"org/tiny"} and not world.ended("r")
    assert world.d.config.find("mine").path == DONE.path


@pytest.mark.parametrize("limits", [{"models": ["a", "org/mine"]}, {"rate": 3}, {"audience": "agent"}])
def test_a_key_with_limits_changes_no_library(limits):
    world = LibraryWorld("a", library=Library(models=(Fetched("org/tiny", "/cache/tiny"),)))
    secret = keys.secret_of(b"k" * 16)
    world.d.callers.set_keys([keys.Key("k", keys.hash_of(secret), **limits)])
    world.pull("p", "org/mine", key=secret)
    world.client_says(b"c", protocol.Copy("c", "a", "mine", secret))
    world.client_says(b"c", protocol.Delete("d", "org/tiny", secret))
    for request_id in "pcd":
        end = world.end_of(request_id)
        assert end.code == "model_not_allowed" and "a key without limits" in end.message
    assert not world.fetches and len(world.written) == 1
    world.pull("there", "a", key=secret)  # changes nothing
    assert isinstance(world.end_of("there"), protocol.Result)


def test_a_key_without_limits_changes_it_but_names_no_directory():
    world = LibraryWorld("a")
    secret = keys.secret_of(b"k" * 16)
    world.d.callers.set_keys([keys.Key("k", keys.hash_of(secret), rate=0)])
    world.pull("d", "/models/mine", key=secret)
    assert "without a key" in world.end_of("d").message and not world.fetches
    world.pull("p", "org/tiny", key=secret)
    assert len(world.fetches) == 1


def test_only_what_is_configured_may_be_fetched():
    world = LibraryWorld("a", pull_from=("mlx-community",))
    for number, source in enumerate(("", "org/tiny")):
        world.pull(str(number), "org/tiny" if not source else "mlx-community/x", source=source)
        end = world.end_of(str(number))
        assert end.code == "model_not_allowed" and "WARDEN_PULL_FROM) allows mlx-community" in end.message
    world.pull("p", "MLX-Community/tiny")
    world.pull("q", "/models/mine")
    assert [fetch.words[0] for fetch in world.fetches] == ["pull", "check"]


def test_a_gateway_that_leaves_ends_them_with_a_word():
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.d.stop(world.now)
    world.flush()
    assert world.fetches[0].killed and world.end_of("p").code == "gateway_unavailable"


def test_without_a_library_it_is_not_offered():
    world = World("a", pull_from=("org",))
    world.client_says(b"c", protocol.Pull("p", "org/tiny"))
    assert world.end_of("p").code == "not_offered"
