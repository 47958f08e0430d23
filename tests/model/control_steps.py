"""What control does, step by step: chooses, writes, asks, tells to leave, settles, starts and loads.

Each step is atomic: it reads, writes at most one word of the row or sends. Where the product sends right after it
writes, the model does so in one step as well, except for the fence: a message that was never sent and one that never
arrives make no difference to anybody. Pure.
"""

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.world import (
    ALIVE,
    ASKED,
    BORN,
    CHOSEN,
    CLEARED,
    DOWN,
    EMPTY,
    IDLE,
    LOADING,
    READY,
    STARTING,
    STOPPING,
    TOLD,
    UNKNOWN,
    Bounds,
    Message,
    Worker,
    World,
    arriving,
    is_repeatable,
    under_way,
)

Steps = Iterator[tuple[str, World]]


def choices(w: World, rules: Rules, bounds: Bounds) -> Steps:
    """Key 1: a victim, whatever its phase. A reading of the table chooses it, and readings are old."""
    t = w.table
    may = w.control.up and w.control.stage == IDLE and t.phase == ALIVE and t.fence_id < bounds.evictions
    if not may or (t.fenced and rules.no_fence_over_a_fence):
        return
    fence = t.fence_id + 1
    if not rules.control_asks_the_gateway:
        if not w.gateway.held:
            seen = w._replace(table=t._replace(fence_id=fence, fence_cleared=fence))
            yield f"control reads in the table that nothing is unfinished and says Quit {fence}", _say_quit(seen)
    elif not rules.word_before_asking:
        yield f"control chooses the model as victim, fence {fence}", _stage(w, CHOSEN)
    else:
        standing = t._replace(fence_id=fence, answered=False)
        yield f"control writes the fence word {fence}", _stage(w, CHOSEN)._replace(table=standing)


def control_steps(w: World, rules: Rules, bounds: Bounds) -> Steps:
    if w.control.up:
        yield from _asks(w, rules)
        yield from _sees_the_end(w, bounds)
        yield from _greets_and_loads(w, rules)
        for message, rest in arriving(w.control_gateway):
            yield from _hears_the_gateway(w._replace(control_gateway=rest), message, rules)
        for message, rest in arriving(w.control_worker):
            yield from _hears_the_worker(w._replace(control_worker=rest), message, rules)


def _asks(w: World, rules: Rules) -> Steps:
    t, c = w.table, w.control
    fence = t.fence_id if rules.word_before_asking else t.fence_id + 1
    if c.stage in (CHOSEN, ASKED):
        if w.gateway.up and is_repeatable(w.gateway_control, "Fence", t.control_epoch, w.control_gateway, 1):
            asks = Message("Fence", t.control_epoch, fence, t.incarnation)
            again = " again (a closing fence)" if c.stage == ASKED else ""
            yield (f"control says Fence {fence} to the gateway{again}",
                   _stage(w, ASKED)._replace(gateway_control=(*w.gateway_control, asks)))
        yield "control waits no longer for the gateway and clears the fence", _clear(w, rules)
    elif c.stage == TOLD:
        again = is_repeatable(w.worker_control, "Quit", t.control_epoch, w.control_worker, 1)
        if again and rules.quits_are_repeated and w.worker.lives:
            yield f"control says Quit {t.fence_id} again", _say_quit(w)
        if not rules.fences_outlast_time:
            yield "control waits no longer for the worker and clears the fence", _clear(w, rules)
    elif c.stage == CLEARED:
        opens = Message("Cleared", t.control_epoch)
        yield "control tells the gateway to open", _stage(w, IDLE)._replace(gateway_control=(*w.gateway_control, opens))
    elif t.fenced and t.phase == ALIVE and (c.heard or not rules.control_settles_first):
        yield "control clears the fence that its predecessor left", _clear(w, rules)


def _sees_the_end(w: World, bounds: Bounds) -> Steps:
    """What it sees is the process itself (pid and start time), so this is never wrong about the one it knows."""
    t = w.table
    if t.phase != DOWN and (w.worker.wild or not w.worker.lives):
        ended = t._replace(phase=DOWN, share=False)
        yield "control sees that the process is gone", w._replace(table=ended, control=w.control._replace(heard=False))
    elif t.phase == DOWN and t.fenced:
        yield "control clears the fence of the process that is gone", _stage(
            w._replace(table=t._replace(fence_cleared=t.fence_id, answered=False)), IDLE)
    elif t.phase == DOWN and w.control.stage == IDLE and w.worker.incarnation < bounds.starts:
        born = Worker(BORN, w.worker.incarnation + 1, twin=w.worker.lives)
        starting = t._replace(phase=STARTING, incarnation=born.incarnation)
        yield f"control starts process {born.incarnation}", w._replace(
            table=starting, worker=born, worker_control=(), worker_gateway=())


def _greets_and_loads(w: World, rules: Rules) -> Steps:
    """A worker says hello until it is welcomed; what that hello says is not modelled, only that it is answered.

    It may have been said a while ago: its sender may be on its way out by now, or dead.
    """
    t, c, worker = w.table, w.control, w.worker
    if not rules.only_the_living_are_greeted and t.phase == ALIVE and t.incarnation > 1:
        gone = w._replace(table=t._replace(phase=DOWN, share=False), control=c._replace(heard=False))
        yield f"control reads an old hello of process 1 and takes process {t.incarnation} for gone", gone
    if not worker.lives or worker.wild:
        return
    greets = not c.heard and t.phase in (STARTING, ALIVE, UNKNOWN)
    if not rules.welcomes_are_repeated:
        greets = greets and worker.obeys != t.control_epoch
    if greets and is_repeatable(w.worker_control, "Welcome", t.control_epoch, w.control_worker, 1):
        table = t._replace(phase=ALIVE)
        if t.phase == UNKNOWN:  # fences grow with the clock, so a lost one is never used again
            fence = t.fence_id + 1
            table = table._replace(fence_id=fence, fence_cleared=fence - rules.unreadable_rows_are_fenced)
        yield f"control welcomes process {worker.incarnation}", w._replace(
            table=table, worker_control=(*w.worker_control, Message("Welcome", t.control_epoch)))
    if (c.heard and c.stage == IDLE and t.phase == ALIVE and not t.fenced and worker.phase == EMPTY
            and not under_way(w.worker_control, "Load", t.control_epoch)):
        yield "control sets memory aside and says Load", w._replace(
            table=t._replace(share=True), worker_control=(*w.worker_control, Message("Load", t.control_epoch)))


def _hears_the_gateway(w: World, message: Message, rules: Rules) -> Steps:
    t, c = w.table, w.control
    name = f"control hears {message.kind} {message.number}"
    asked = t.fence_id if rules.word_before_asking else t.fence_id + 1
    current = message.number == asked and message.about == t.incarnation
    own = c.stage == ASKED or (c.stage == IDLE and t.fenced and not rules.control_finishes_its_own)
    if message.kind == "Fenced" and own and (current or not rules.answers_name_the_fence):
        if t.phase == ALIVE:
            told = w if rules.word_before_asking else w._replace(table=t._replace(fence_id=asked))
            stage = TOLD if c.stage == ASKED else c.stage
            yield f"{name} and says Quit {asked} to the worker", _stage(_say_quit(told), stage)
            return
    elif message.kind == "GateBusy" and current:
        if c.stage == ASKED:
            yield f"{name} and gives up: it clears the fence", _clear(w, rules)
            yield f"{name} and lets the fence stand (a closing fence)", w
            return
        if c.stage == TOLD and not rules.quits_cannot_be_taken_back:
            yield f"{name} and clears the fence, although it has said Quit", _clear(w, rules)
            return
    yield f"{name}, which means nothing any more", w


def _hears_the_worker(w: World, message: Message, rules: Rules) -> Steps:
    t, c = w.table, w.control
    name = f"control hears {message.kind} {message.number} of process {message.sender}"
    current = message.sender == t.incarnation
    alive = t.phase == ALIVE
    if message.kind == "Report" and current and alive and message.number == t.control_epoch and not c.heard:
        loads = message.about in (LOADING, READY)
        yield f"{name}: it obeys none older and is {message.about}", w._replace(
            control=c._replace(heard=True), table=t._replace(share=loads))
    elif message.kind == "Busy" and current and c.stage == TOLD and message.number == t.fence_id:
        yield f"{name} and clears the fence", _clear(w, rules)
    elif message.kind == "Quitting" and alive and (current or not rules.words_name_the_incarnation):
        if rules.the_end_is_the_process_gone:
            yield name, w._replace(table=t._replace(phase=STOPPING))
        else:
            yield f"{name} and takes it for the end", w._replace(table=t._replace(phase=DOWN, share=False))
    else:
        yield f"{name}, which means nothing any more", w


def _stage(w: World, stage: str) -> World:
    return w._replace(control=w.control._replace(stage=stage))


def _clear(w: World, rules: Rules) -> World:
    cleared = w._replace(table=w.table._replace(fence_cleared=w.table.fence_id, answered=False))
    return _stage(cleared, IDLE if rules.gate_is_level_triggered else CLEARED)


def _say_quit(w: World) -> World:
    says = Message("Quit", w.table.control_epoch, w.table.fence_id)
    reached = (*w.worker_control, says) if w.worker.lives else w.worker_control
    return _stage(w, TOLD)._replace(worker_control=reached)
