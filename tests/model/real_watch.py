"""What must never be, looked for while the real classes run. The words are those of `invariants.py`.

Each rule has a name; whoever breaks it raises `Broken` with that name and what happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control import messages
from control.states import Phase
from control.table import ControlWords, RowControl
from gateway import protocol
from workers import protocol as jobs

if TYPE_CHECKING:
    from tests.model.real_gateway import GatewayProcess
    from tests.model.real_worker import WorkerProcess
    from tests.model.real_world import RealWorld


class Broken(AssertionError):
    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule


class Watch:
    """`evictions`, `refusals`, `faults`: what a run has seen, so that a test can say that it saw something."""

    def __init__(self, world: RealWorld) -> None:
        self.world = world
        self._said_quitting: set[int] = set()  # incarnations
        self._fenced: dict[str, int] = {}  # what the living gateway has said Fenced to

    # -- at the moment ---------------------------------------------------------------------------------------

    def on_quitting(self, worker: WorkerProcess) -> None:
        """A worker obeys a Quit."""
        runtime, gateway = worker.runtime, self.world.gateway
        self._said_quitting.add(runtime.incarnation)
        if runtime.phase is Phase.LOADING:
            raise Broken("answer_cut_by_quit", f"{worker} was loading")
        if runtime.hand.jobs:
            raise Broken("answer_cut_by_quit", f"{worker} held {len(runtime.hand.jobs)} jobs")
        if gateway is not None:
            unfinished = [r.id for r in gateway.dispatcher.requests.values() if r.worker == worker.identity]
            if unfinished:
                raise Broken("answer_cut_by_quit", f"{worker} had been sent {unfinished}")

    def on_job_sent(self, gateway: GatewayProcess, job: jobs.Job) -> None:
        slug = gateway.dispatcher.requests[job.job].ticket.target
        if job.incarnation in self._said_quitting:
            raise Broken("job_sent_to_a_leaver", f"{job.job} to incarnation {job.incarnation} of {slug}")
        self._look_at_gate(gateway, slug)

    def on_fenced(self, gateway: GatewayProcess, fenced: messages.Fenced) -> None:
        self._fenced[fenced.slug] = fenced.fence

    def on_new_gateway(self) -> None:
        self._fenced.clear()

    def on_gates(self, gateway: GatewayProcess) -> None:
        """They were worked out just now."""
        for slug in gateway.dispatcher.opened_at:
            row = gateway.read_row(slug)
            if row.fence_id != row.fence_cleared:
                raise Broken("gate_open_behind_a_fence", f"{slug} has fence {row.fence_id}, and is open after a look")

    def _look_at_gate(self, gateway: GatewayProcess, slug: str) -> None:
        row = gateway.read_row(slug)
        stands = row is not None and row.fence_id != row.fence_cleared
        if stands and self._fenced.get(slug) == row.fence_id:
            raise Broken("gate_open_behind_a_fence", f"{slug}: Fenced was said to {row.fence_id}, and it is open")

    # -- after each step -------------------------------------------------------------------------------------

    def check(self) -> None:
        self._check_gateway()
        self._check_shares()
        loading = [worker for worker in self.world.workers.values() if worker.is_loading]
        if len(loading) > 1:
            raise Broken("one_load_at_a_time", str(loading))

    def _check_gateway(self) -> None:
        gateway = self.world.gateway
        if gateway is None:
            return
        for slug in gateway.dispatcher.opened_at:
            self._look_at_gate(gateway, slug)
        lost = gateway.dispatcher.counters.lost_to_eviction
        if lost and not self.world.drained:
            raise Broken("lost_to_eviction", str(lost))

    def _check_shares(self) -> None:
        """What control counts, and what the living workers were told."""
        table = self.world.table
        words = table.read(ControlWords) if table is not None else None
        if words is None or not words.ceiling_bytes:
            return
        rows = [table.read(RowControl, index) for index in range(len(self.world.slugs))]
        known = [row for row in rows if row is not None and row.fence_id == row.fence_cleared]
        counted = sum(row.share_bytes for row in known if row.phase != Phase.STARTING)  # that is a guess, or little
        told = sum(worker.runtime.share_bytes for worker in self.world.workers.values())
        for name, total in (("counted", counted), ("told", told)):
            if total > words.ceiling_bytes:
                raise Broken("memory_not_set_aside", f"{name}: {total} of {words.ceiling_bytes} bytes")

    def on_event(self, events: list[object]) -> None:
        """A client heard one more about one of its requests."""
        positions = [event.position for event in events if isinstance(event, protocol.Tokens)]
        if positions != list(range(len(positions))):
            raise Broken("no_token_lost", str(positions))
        ends = [event for event in events if isinstance(event, protocol.TERMINAL)]
        if len(ends) > 1:
            raise Broken("one_terminal_event", str(ends))
