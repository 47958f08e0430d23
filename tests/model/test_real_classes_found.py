"""What the machine has found, step by step, so that it stays mended. Each ends with everybody answered."""

from tests.model.real_gateway import AFTER_GATES
from tests.model.real_machine import NEVER, AnyOrder
from tests.model.real_wire import ALL


def begun(*asked: str) -> AnyOrder:
    """Models are loaded and idle."""
    runs = AnyOrder()
    runs.begins(asked=list(asked), busy=False)
    return runs


def settles(runs: AnyOrder) -> None:
    runs.nothing_is_broken()
    runs.teardown()


def asks(runs: AnyOrder, slug: str, at_once: bool = True, **more) -> None:
    runs.somebody_asks(slug, **{"tokens": 2, "priority": "high", "keep_alive_s": None, "at_once": at_once} | more)
    runs.nothing_is_broken()


def test_in_a_table_made_anew_a_loaded_model_counts_for_what_it_was_given():
    runs = begun("b")
    runs.something_is_lost("table")
    asks(runs, "a")
    runs.all_is_well(3.0, False)
    assert runs.world.row("a").share_bytes + runs.world.row("b").share_bytes < runs.world.total_bytes
    settles(runs)


def test_in_a_table_made_anew_a_model_that_is_loading_is_not_joined_by_another():
    runs = begun()
    asks(runs, "a", at_once=False, priority="low")
    runs.gateway_turn(ALL, NEVER, ALL)
    runs.control_turn(ALL)
    runs.worker_turn("a", ALL)
    assert runs.world.workers["a"].is_loading
    runs.is_stopped("a")
    runs.something_is_lost("table")
    asks(runs, "b")
    runs.all_is_well(1.2, True)
    runs.nothing_is_broken()
    settles(runs)


def test_the_words_of_a_dead_process_are_not_the_memory_of_the_next():
    """Else what the other model gives back is taken for leaked."""
    runs = begun("b")
    runs.an_operator_does_something_else("b", "stop")
    asks(runs, "a")
    runs.all_is_well(3.0, False)
    runs.is_stopped("b")
    runs.an_operator_does_something_else("b", "start")
    runs.an_operator_evicts("a", True)
    runs.is_stopped(NEVER)
    runs.all_is_well(0.05, False)  # its first words come while the memory of a is awaited
    settles(runs)
    assert runs.world.seen["evicted"] and not runs.world.seen["leak_suspected"]


def test_a_gateway_that_had_given_a_worker_up_takes_it_back():
    runs = begun("a")
    runs.something_is_lost("table")
    runs.time_passes(5.5)
    runs.control_turn(ALL)
    runs.the_dead_come_back()
    runs.gateway_turn([], "", ALL)
    runs.time_passes(2.5)
    runs.gateway_turn([], "", ALL)
    assert runs.world.seen["worker_lost"]
    settles(runs)


def test_who_has_said_that_it_leaves_greets_no_new_control_process():
    runs = begun("a")
    runs.is_stopped("b")
    runs.an_operator_evicts("b", True)
    runs.killed("control", None, False)
    settles(runs)


def test_an_operator_starts_a_model_whose_memory_is_not_back_yet():
    runs = begun("a")
    runs.an_operator_evicts("a", True)
    runs.an_operator_does_something_else("a", "start")
    runs.all_is_well(0.1, False)
    settles(runs)


def test_epochs_of_control_grow_also_across_a_table_made_anew_within_the_second():
    runs = AnyOrder()
    runs.killed("control", None, False)
    runs.the_dead_come_back()
    runs.gateway_turn(ALL, AFTER_GATES, ALL)
    runs.something_is_lost("table")
    settles(runs)


def test_a_drained_worker_whose_gateway_died_leaves():
    runs = begun("b")
    asks(runs, "b")
    runs.killed("gateway", None, False)
    runs.an_operator_does_something_else("b", "stop")
    settles(runs)


def test_a_load_that_died_with_control_is_off_the_books_and_off_the_table():
    runs = begun()
    runs.world.client.order("load", "a")
    runs.killed("control", 1, False)
    asks(runs, "b")
    runs.all_is_well(1.2, False)
    runs.nothing_is_broken()
    settles(runs)


def test_a_stop_that_a_worker_does_not_hear_is_said_again_and_not_all_the_time():
    runs = begun("a")
    runs.is_stopped("a")
    runs.an_operator_does_something_else("a", "stop")
    runs.all_is_well(3.0, False)
    assert 1 <= runs.world.seen["term_again"] <= 4
    settles(runs)
