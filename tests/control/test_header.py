"""What control says of all models together: true words for the table, and one warning made of all there is to say."""

from control.header import FENCE_OLD_S, header_words, warning
from control.table import ControlWords
from tests.support.control_world import GIB, World, fenced, world_with

BY_THE_LOOP = {"epoch", "heartbeat_ns", "pid", "supervisord_at_ns"}


def test_header_and_loop_together_fill_every_word():
    world = World("a")
    assert set(header_words(world.r)) | BY_THE_LOOP == set(ControlWords._fields)
    assert all(type(int(word)) is int and 0 <= word < 2**64 for word in header_words(world.r).values())


def test_the_words_are_those_of_the_books():
    world = world_with("a", total_gb=32.0)
    world.press(0.5)
    words = header_words(world.r)
    assert (words["pressure_permille"], words["pressure_level"]) == (500, 0)
    assert words["pressure_read_at_ns"] == int(world.now * 1e9)
    assert words["total_bytes"] == 32 * GIB and words["available_bytes"] == int(world.available_gb * GIB)
    assert words["reserved_bytes"] == world.r.books.reserved_bytes > 0
    assert words["ceiling_bytes"] == world.r.books.ceiling.bytes > 0
    assert (words["evictions"], words["forced_kills"], words["leaked_bytes"]) == (0, 0, 0)


def test_before_the_first_reading_nothing_is_known_of_the_memory():
    world = World("a")
    world.r = world.make_reconciler()
    words = header_words(world.r)
    assert (words["pressure_read_at_ns"], words["available_bytes"], words["total_bytes"]) == (0, 0, 0)


def test_without_trouble_there_is_no_warning():
    assert warning(world_with("a").r, 0.0) == ""


def test_several_troubles_are_one_line():
    world = world_with("a", "b")
    row = fenced(world)
    world.r.books.leaked_before = 2 * GIB
    said = warning(world.r, row.fence_at + FENCE_OLD_S + 1)
    assert "2.0 GiB did not come back" in said and f"the fence of a stands for {FENCE_OLD_S + 1:.0f} s" in said
    assert "; " in said and "\n" not in said and "fence of b" not in said
    assert "fence" not in warning(world.r, row.fence_at + FENCE_OLD_S), "so long is as long as it may take"


def test_a_fence_of_an_eviction_that_waits_for_answers_is_no_trouble():
    world = world_with("a")
    row = fenced(world, closing=True)
    assert row.is_closing and warning(world.r, row.fence_at + 10 * FENCE_OLD_S) == ""
