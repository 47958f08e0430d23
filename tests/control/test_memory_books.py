"""The books: what may be given out, what is, and what was measured."""

from control.budget import Profile
from control.pressure_level import Level
from control.states import Phase
from tests.support.control_world import GIB, World


def world_with(*slugs: str, size_gb: float = 4.0, **settings) -> World:
    world = World(*slugs, **({"memory_budget_gb": 10.0} | settings))
    world.sizes_gb.update(dict.fromkeys(slugs, size_gb))
    for row in world.r.rows.values():
        world.r.books.work_out_need(row)
    world.gateway_up()
    return world


def test_free_is_the_ceiling_less_what_is_given_out():
    world = world_with("a", "b")
    before = world.r.books.free_bytes()
    world.resident("a")
    assert before == 10 * GIB and world.r.books.free_bytes() == before - world.r.rows["a"].share_bytes


def test_free_is_never_more_than_could_be_taken_without_becoming_critical():
    world = world_with("a", total_gb=32)
    world.available_gb = 5.0  # other programs have the rest
    world.read_memory()
    assert abs(world.r.books.free_bytes() - (5.0 - 0.05 * 32) * GIB) < 2


def test_a_share_that_its_process_has_not_touched_yet_is_not_given_out_twice():
    world = world_with("a", "b", memory_budget_gb=30.0)
    world.available_gb = 10.0
    world.resident("a")
    world.set_words("a", footprint_bytes=1 * GIB)
    world.read_memory()
    untouched = world.r.rows["a"].share_bytes - 1 * GIB
    assert abs(world.r.books.free_bytes() - ((10.0 - 1.6) * GIB - untouched)) < 2


def test_without_any_reading_nothing_is_given_out():
    world = world_with("a")
    world.r.books.reading = None
    assert world.r.books.free_bytes() == 0


def test_the_level_follows_the_reading_and_is_journaled_once():
    world = world_with("a")
    for used in (0.5, 0.86, 0.87, 0.96):
        world.press(used)
    assert world.r.books.level is Level.CRITICAL
    assert [facts["pressure"] for event, facts in world.notes if event == "pressure"] == ["WARN", "CRITICAL"]


def test_what_was_measured_beats_what_was_worked_out():
    world = world_with("a")
    computed = world.r.rows["a"].need_bytes
    world.resident("a")
    world.set_words("a", footprint_bytes=6 * GIB)
    world.tick(3)
    assert world.profiles["a"].loaded_bytes == world.profiles["a"].peak_bytes == 6 * GIB
    world.r.books.work_out_need(world.r.rows["a"])
    assert world.r.rows["a"].need_bytes > computed


def test_a_peak_is_written_when_it_has_grown_and_not_each_time():
    world = world_with("a")
    world.resident("a")
    world.profiles["a"] = Profile(4 * GIB, 5 * GIB, 1.0)
    world.set_words("a", footprint_bytes=5 * GIB + 1)
    world.tick(3)
    assert world.profiles["a"].peak_bytes == 5 * GIB
    world.set_words("a", footprint_bytes=6 * GIB)
    world.tick()
    assert world.profiles["a"] == Profile(4 * GIB, 6 * GIB, world.r.rows["a"].load_s)


def test_what_the_gpu_is_recommended_to_use_bounds_the_ceiling_as_soon_as_a_worker_has_said_it():
    world = world_with("a", memory_budget_gb=0.0, total_gb=32)
    assert world.r.books.ceiling.bytes == int(32 * GIB * 0.9)
    world.resident("a")
    world.set_words("a", device_bytes=21 * GIB)
    world.read_memory()
    assert world.r.books.ceiling.bytes == 21 * GIB and "GPU" in world.r.books.ceiling.why


def test_a_model_that_could_never_fit_is_explained():
    world = world_with("a", size_gb=40.0)
    assert "the budget for all models is 10.0 GiB" in world.r.books.why_never(world.r.rows["a"])
    world = world_with("a", size_gb=4.0)
    assert world.r.books.why_never(world.r.rows["a"]) == ""


def test_a_started_process_counts_before_it_says_hello():
    world = world_with("a")
    world.want("a", medium=1)
    assert world.phase("a") is Phase.STARTING
    assert world.r.books.reserved_bytes == world.r.books.empty_bytes(world.r.rows["a"]) > 0
