"""The rules of the design that can be taken away one at a time. All of them True is the design.

Each is one sentence of the protocol, and stands in the code where the process obeys it. What breaks without it is in
`variants.py`. Pure.
"""

from typing import NamedTuple


class Rules(NamedTuple):
    # The seven of DESIGN 3
    control_asks_the_gateway: bool = True  # a reading of its counters is not enough
    workers_load_when_told: bool = True  # a crashed worker does not come back and load by itself
    fences_outlast_time: bool = True  # once Quit was said, no time limit clears the fence
    control_settles_first: bool = True  # a new control process clears an old fence only when no old Quit can be obeyed
    gate_reads_the_table: bool = True  # and not what the gateway remembers of the last fence
    word_before_asking: bool = True  # the fence stands in the table before the gateway is asked
    gate_is_level_triggered: bool = True  # worked out from facts at each look, not opened by a message
    # Others that turned out to carry weight
    gateway_shuts_in_the_same_turn: bool = True  # as it says Fenced
    worker_checks_its_hands: bool = True  # key 3: with work in hand, or loading, it is Busy
    worker_remembers_refusals: bool = True  # a fence that it refused once is refused for ever
    worker_obeys_the_newest: bool = True  # a Quit of an older control epoch than the newest that welcomed it is void
    welcomes_only_raise_the_epoch: bool = True  # a late Welcome of an older control process changes nothing
    old_loads_are_void: bool = True  # a Load of an older control epoch likewise
    leavers_stay_silent: bool = True  # after Quitting a worker answers no Welcome and takes nothing
    answers_name_the_fence: bool = True  # Fenced counts only for the fence that stands
    quits_cannot_be_taken_back: bool = True  # GateBusy counts only before Quit was said
    control_finishes_its_own: bool = True  # a fence of a dead control process is settled, never continued with Quit
    no_fence_over_a_fence: bool = True  # a new eviction waits until the old fence was settled
    the_end_is_the_process_gone: bool = True  # and not its word that it leaves
    words_name_the_incarnation: bool = True  # Quitting counts only for the incarnation of the row
    unreadable_rows_are_fenced: bool = True  # what control cannot read may have been a fence with a Quit under way
    only_the_living_are_greeted: bool = True  # a hello counts if its sender's pid and start time name a process
    welcomes_are_repeated: bool = True  # until the worker has answered
    quits_are_repeated: bool = True  # until Busy or the end


DESIGN = Rules()
