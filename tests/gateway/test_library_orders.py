"""Changes of the library: in which order they happen, who is refused, and that the file is the truth."""

import pytest

from control.config import MODELS_MAX
from control.library import ALIASES_MAX, Dropped, Fetched, Library
from control.states import Phase
from gateway import protocol
from gateway.library_orders import CHANGES_MAX, TELL_AGAIN_S, WITHIN_S
from tests.support.gateway_world import make_model
from tests.support.library_world import PATH, PULLED, LibraryWorld, copy, delete, world_with_model
from workers.fetch_lines import Done


def names(world: LibraryWorld) -> list[str]:
    found = world.ask("list", f"l{len(world.client_frames)}")
    return [name for each in found for name in (each["name"], *each["aliases"])]


# A pulled model.

def test_the_file_is_written_first_then_we_know_it_then_control_is_told():
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.says(Done(PATH, "ab12", True, 5))
    assert world.library == PULLED and "org/tiny" in names(world) and not world.ended("p")
    assert [(ask.verb, ask.model) for ask in world.asks()] == [("reread", "")]
    world.submit("r", model="org/tiny")
    assert isinstance(world.events("r")[0], protocol.Accepted)  # it waits, as for any model that is not loaded
    world.tells()
    assert world.ended("p") and not world.ended("r")
    world.worker_up("org-tiny", b"w")
    assert world.jobs_sent(b"w")


def test_a_library_that_cannot_be_written_changes_nothing():
    world = LibraryWorld("a")
    world.disk_full = True
    world.pull("p", "org/tiny")
    world.says(Done(PATH))
    assert world.end_of("p").code == "internal" and "No space left" in world.end_of("p").message
    assert world.d.config.find("org/tiny") is None and not world.asks()


def test_what_control_refuses_is_taken_back():
    world = LibraryWorld("a")
    world.pull("p", "org/tiny")
    world.says(Done(PATH, "ab12"))
    world.tells("internal", "the table is full")
    assert world.end_of("p").message == "the table is full"
    assert world.library == Library() and world.d.config.find("org/tiny") is None


def test_control_that_is_away_is_told_when_it_is_back():
    world = LibraryWorld("a")
    world.control_is_away = True
    world.pull("p", "org/tiny")
    world.says(Done(PATH, "ab12", True, 5))
    world.pass_time(WITHIN_S + 1)
    assert "and will" in protocol.decode_pull(world.end_of("p").value).text
    assert world.library == PULLED and not world.asks()
    world.control_is_away = False
    world.pass_time(TELL_AGAIN_S + 1)
    assert world.asks()[-1].verb == "reread"
    world.tells()
    asked = len(world.asks())
    world.pass_time(10 * TELL_AGAIN_S)
    assert len(world.asks()) == asked


def test_a_gateway_that_begins_tells_control_once_what_it_may_have_missed():
    world = LibraryWorld("a", library=PULLED)
    world.turn()
    assert [ask.verb for ask in world.asks()] == ["reread"]
    world.tells()
    world.pass_time(10 * TELL_AGAIN_S)
    assert len(world.asks()) == 1 and not LibraryWorld("a").asks()


def test_there_is_a_limit_and_a_name_is_given_once():
    world = LibraryWorld(*(f"m{n}" for n in range(MODELS_MAX)))
    world.pull("p", "org/tiny")
    assert world.end_of("p").code == "invalid_request" and str(MODELS_MAX) in world.end_of("p").message
    world = LibraryWorld(make_model("org-tiny", name="other"))
    world.pull("p", "org/tiny")
    assert world.end_of("p").code == "invalid_request" and "worker-org-tiny" in world.end_of("p").message
    world.pull("q", "other", source="/models/x")
    assert isinstance(world.end_of("q"), protocol.Result)  # it is there


# A further name.

def test_a_copy_is_a_further_name_that_lasts():
    world = LibraryWorld("a")
    copy(world, "c", "a", "mine:latest")
    world.tells()
    assert world.end_of("c") and world.library.aliases == {"mine": "a"} and names(world) == ["a", "a-alias", "mine"]
    world.worker_up("a")
    world.submit("r", model="MINE")
    assert world.jobs_sent()
    world.gateway_starts()
    assert "mine" in names(world)
    copy(world, "again", "mine", "mine")
    world.tells()
    assert isinstance(world.end_of("again"), protocol.Result) and world.library.aliases == {"mine": "a"}


@pytest.mark.parametrize("to, why", [("b", "is a name of b already"), ("b-alias", "is a name of b"),
                                     ("a b", "cannot be"), ("x" * 97, "cannot be"), ("ü", "cannot be"),
                                     (":latest", "cannot be")])
def test_a_name_that_is_taken_or_ill_formed_is_refused(to, why):
    world = LibraryWorld("a", "b")
    copy(world, "c", "a", to)
    assert world.end_of("c").code == "invalid_request" and why in world.end_of("c").message
    assert world.library == Library()


def test_a_reserved_model_stays_reserved_under_every_name():
    world = LibraryWorld("a", make_model("agents", audience="agents"))
    face = world.http()
    world.client_says(face, protocol.Copy("c", "agents", "mine"))
    assert world.end_of("c").code == "model_reserved"
    copy(world, "op", "agents", "mine")  # the operator of this machine may
    world.client_says(b"op", protocol.Hello())
    world.client_says(b"op", protocol.Copy("op2", "agents", "mine"))
    world.tells()
    assert world.library.aliases == {"mine": "agents"}
    world.submit("r", client=face, model="mine")
    assert world.end_of("r").code == "model_reserved"


def test_names_are_bounded():
    library = Library(aliases={f"n{n}": "a" for n in range(ALIASES_MAX)})
    world = world_with_model(library)
    copy(world, "c", "a", "more")
    assert str(ALIASES_MAX) in world.end_of("c").message


# Forgetting.

def test_a_copied_name_is_forgotten_and_its_model_stays():
    world = world_with_model(Library(aliases={"mine": "a"}))
    delete(world, "d", "mine:latest")
    world.tells()
    assert "mine" in protocol.decode_order(world.end_of("d").value).text
    assert names(world) == ["a", "a-alias"] and world.library == Library()


def test_what_is_configured_by_hand_is_not_deleted():
    world = LibraryWorld("a")
    for n, name in enumerate(("a", "a-alias")):
        delete(world, str(n), name)
        assert world.end_of(str(n)).code == "invalid_request"
    delete(world, "gone", "nobody")
    assert (world.end_of("gone").code, world.end_of("gone").message[:24]) == ("model_not_found",
                                                                             'model "nobody" not found')


def test_a_pulled_model_leaves_by_the_keys_and_then_its_weights_go():
    world = world_with_model()
    world.worker_up("org-tiny", b"w")
    delete(world, "d", "hf.co/org/tiny")
    assert (world.asks()[-1].verb, world.asks()[-1].model) == ("evict", "org/tiny") and world.library == PULLED
    world.submit("r", model="org/tiny")
    assert world.end_of("r").code == "model_unavailable" and "being deleted" in world.end_of("r").message
    world.set_row("org-tiny", Phase.VERIFY_FREE, 1)
    world.tells()
    assert world.library.models == () and world.library.dropped == (Dropped("org/tiny", "ab12"),)
    assert world.asks()[-1].verb == "reread" and not world.ended("d")
    world.tells("model_busy", "its memory is looked for")
    world.pass_time(1.0)
    world.tells()
    assert "org/tiny" not in names(world) and not world.ended("d")
    assert world.fetches[-1].words == ("drop", "org/tiny", "ab12")
    world.pull("soon", "org/tiny")
    assert world.end_of("soon").code == "queue_full"
    world.says(Done("", "ab12", True, 5_000_000))
    assert "5.0 MB" in protocol.decode_order(world.end_of("d").value).text and world.library == Library()
    world.submit("s", model="org/tiny")
    assert world.end_of("s").code == "model_not_found"


def test_a_model_that_is_answering_or_waited_for_is_not_deleted():
    world = world_with_model()
    world.submit("r", model="org/tiny")
    delete(world, "d", "org/tiny")
    assert world.end_of("d").code == "model_busy" and world.library == PULLED
    world.worker_up("org-tiny", b"w")
    world.answer(b"w", world.jobs_sent()[0])
    delete(world, "e", "org/tiny")
    assert world.asks()[-1].verb == "evict"
    world.tells("model_busy", "org-tiny is not evicted: it is pinned")
    assert world.end_of("e").code == "model_busy" and "pinned" in world.end_of("e").message
    world.submit("s", model="org/tiny")
    assert not world.ended("s")


def test_a_copy_of_a_deleted_model_takes_its_place():
    world = world_with_model(Library(models=PULLED.models, aliases={"mine": "org/tiny", "too": "org/tiny"}))
    delete(world, "d", "org/tiny")
    world.tells()
    assert world.ended("d") and not world.fetches
    assert names(world) == ["a", "a-alias", "mine", "too"] and world.d.config.find("too").path == PATH


def test_weights_that_somebody_else_uses_or_fetched_stay():
    mine = make_model("mine", aliases=())
    other = Fetched("other", PATH, "org/tiny", "ab12", True)
    theirs = Fetched("org/tiny", PATH, "org/tiny", "ab12", by_us=False)
    for library in (Library(models=(*PULLED.models, other)), Library(models=(theirs,))):
        world = world_with_model(library, mine)
        delete(world, "d", "org/tiny")
        world.tells()
        assert not world.fetches and world.library.dropped == ()
        assert "weights stay" in protocol.decode_order(world.end_of("d").value).text


def test_weights_whose_deletion_was_cut_short_are_deleted_at_the_next_start():
    world = LibraryWorld("a", library=Library(dropped=(Dropped("org/tiny", "ab12"),)))
    world.turn()
    assert world.fetches[0].words == ("drop", "org/tiny", "ab12")
    world.says(Done(""))
    assert world.library == Library()


def test_a_second_delete_of_the_same_finds_nothing():
    world = world_with_model()
    delete(world, "d", "org/tiny")
    delete(world, "e", "org/tiny")
    world.tells()
    world.says(Done(""))
    assert isinstance(world.end_of("d"), protocol.Result) and world.end_of("e").code == "model_not_found"


def test_control_that_does_not_answer_an_eviction_is_said_and_nothing_was_done():
    world = world_with_model()
    world.worker_up("org-tiny", b"w")
    delete(world, "d", "org/tiny")
    world.pass_time(WITHIN_S + 1)
    assert world.end_of("d").code == "gateway_unavailable" and world.library == PULLED
    world.tells(about=world.asks()[-1])  # it comes too late
    assert world.library == PULLED


def test_changes_that_wait_are_bounded():
    world = LibraryWorld("a")
    for n in range(CHANGES_MAX + 1):
        copy(world, str(n), "a", f"n{n}")
    assert world.end_of(str(CHANGES_MAX)).code == "queue_full"
    for _ in range(CHANGES_MAX):
        world.tells()
    assert len(world.library.aliases) == CHANGES_MAX and world.ended(str(CHANGES_MAX - 1))
