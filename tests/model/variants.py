"""The design with one rule taken away, and what that breaks: for each, the invariant that must fall and small bounds.

The bounds are within those for which the design holds (`test_design.py`), so it is the missing rule that does it. The
first seven are those of DESIGN 3. A search of a variant looks for its own invariant only, so that the counterexample
shows the damage and not the first trifle on the way to it. Pure.
"""

from typing import NamedTuple

from tests.model.checker import STUCK, Model
from tests.model.protocol import SERVING, make_model
from tests.model.rules import DESIGN
from tests.model.world import Bounds

CUT, LEAVER, TWO = "answer_cut_by_quit", "job_sent_to_a_leaver", "two_processes"
GATE, MEMORY = "gate_open_behind_a_fence", "memory_not_set_aside"
ONE = Bounds(evictions=1, starts=1)
CONTROL_DIES = ONE._replace(control_crashes=1)
CONTROL_DIES_TWICE = ONE._replace(control_crashes=2)
GATEWAY_DIES = ONE._replace(gateway_crashes=1)


class Variant(NamedTuple):
    """`without`: the rule that is taken away. `shows`: what its counterexample must contain."""

    name: str
    without: str
    breaks: str
    bounds: Bounds
    shows: str = ""
    from_down: bool = False

    def make(self) -> Model:
        stuck = self.breaks == STUCK
        return make_model(self.bounds, DESIGN._replace(**{self.without: False}), stuck=stuck,
                          start=None if self.from_down else SERVING, invariants=() if stuck else (self.breaks,))


SEVEN = (
    Variant("no fence", "control_asks_the_gateway", CUT, ONE),
    Variant("a worker that loads by itself after a crash", "workers_load_when_told", TWO,
            ONE._replace(worker_crashes=1, starts=2), "starts again by itself"),
    Variant("a fence that expires", "fences_outlast_time", CUT, ONE, "waits no longer for the worker"),
    Variant("no settling after control restarts", "control_settles_first", CUT, CONTROL_DIES, "CRASH of control"),
    Variant("fence only in the gateway's memory", "gate_reads_the_table", CUT, GATEWAY_DIES, "CRASH of the gateway"),
    Variant("fence word written after the answer", "word_before_asking", CUT, ONE),
    Variant("edge-triggered gate", "gate_is_level_triggered", STUCK, CONTROL_DIES, "CRASH of control"),
)
MORE = (
    Variant("Fenced is said before the gate is shut", "gateway_shuts_in_the_same_turn", CUT, ONE),
    Variant("a worker that does not look at its hands", "worker_checks_its_hands", CUT, ONE, from_down=True),
    Variant("a worker that forgets which fence it refused", "worker_remembers_refusals", CUT, ONE, "again",
            from_down=True),
    Variant("a worker that obeys dead control processes", "worker_obeys_the_newest", CUT, CONTROL_DIES,
            "Quit 1 of control 1"),
    Variant("a late Welcome turns the epoch back", "welcomes_only_raise_the_epoch", CUT, CONTROL_DIES_TWICE),
    Variant("a Load of a dead control process is obeyed", "old_loads_are_void", MEMORY, CONTROL_DIES, from_down=True),
    Variant("a worker that answers a Welcome after Quitting", "leavers_stay_silent", LEAVER, CONTROL_DIES),
    Variant("any Fenced is taken for the one asked for", "answers_name_the_fence", CUT, ONE._replace(evictions=2)),
    Variant("GateBusy clears the fence after Quit", "quits_cannot_be_taken_back", CUT, GATEWAY_DIES),
    Variant("a predecessor's eviction is continued", "control_finishes_its_own", CUT, CONTROL_DIES),
    Variant("a new fence over an unsettled one", "no_fence_over_a_fence", CUT, CONTROL_DIES._replace(evictions=2)),
    Variant("Quitting is taken for the end", "the_end_is_the_process_gone", TWO, ONE._replace(starts=2)),
    Variant("Quitting of another incarnation is believed", "words_name_the_incarnation", STUCK,
            ONE._replace(starts=2)),
    Variant("an unreadable row counts as not fenced", "unreadable_rows_are_fenced", CUT,
            CONTROL_DIES._replace(evictions=2, torn_rows=True), "in the middle of writing"),
    Variant("a hello of a dead process is believed", "only_the_living_are_greeted", MEMORY,
            ONE._replace(starts=2, worker_crashes=1), "an old hello"),
    Variant("a Welcome is said once", "welcomes_are_repeated", STUCK, CONTROL_DIES._replace(breaks=1), "BREAK"),
    Variant("a Quit is said once", "quits_are_repeated", STUCK, ONE._replace(breaks=1), "BREAK"),
)
