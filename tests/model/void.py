"""Messages that nobody will heed any more, in the design: taken away, so that equal situations become equal states.

A number that only grows has left each of them behind, or its reader is past the phase in which it would matter.
`test_design.py` shows for small bounds that a search with them comes to the same situations. Pure.
"""

from tests.model.world import ALIVE, ASKED, BORN, DOWN, EMPTY, QUITTING, TOLD, Channel, World


def drop_void(w: World) -> World:
    if w.worker_control:
        w = _kept(w, "worker_control", tuple(m for m in w.worker_control if _worker_heeds_control(w, m)))
    if w.control_worker:
        w = _kept(w, "control_worker", tuple(m for m in w.control_worker if _control_heeds_worker(w, m)))
    if w.gateway_control:
        stands = w.table.fenced
        w = _kept(w, "gateway_control", tuple(m for m in w.gateway_control if stands and m.number == w.table.fence_id))
    if w.control_gateway:
        asks = w.control.stage == ASKED
        w = _kept(w, "control_gateway", tuple(m for m in w.control_gateway if asks and m.number == w.table.fence_id))
    if w.worker_gateway:
        known = w.worker.gateway
        w = _kept(w, "worker_gateway", tuple(m for m in w.worker_gateway if m.sender >= known + (m.kind != "Job")))
    if w.gateway_worker:
        epoch = w.table.gateway_epoch + (not w.gateway.up)
        w = _kept(w, "gateway_worker", tuple(m for m in w.gateway_worker if m.number == epoch))
    return w


def _kept(w: World, name: str, channel: Channel) -> World:
    return w if channel == getattr(w, name) else w._replace(**{name: channel})


def _worker_heeds_control(w: World, message) -> bool:
    worker = w.worker
    if worker.phase == QUITTING or message.sender < worker.obeys:
        return False
    return message.kind != "Load" or worker.phase in (BORN, EMPTY)


def _control_heeds_worker(w: World, message) -> bool:
    t, c = w.table, w.control
    if message.sender != t.incarnation or t.phase == DOWN:
        return False
    if message.kind == "Report":
        return c.up and not c.heard and message.number == t.control_epoch
    if message.kind == "Busy":
        return c.stage == TOLD and message.number == t.fence_id
    return t.phase == ALIVE
