"""A stage for chains of backends: one stack whose MLX models, Ollama and Victoria are as a test asks for them.

    mlx       up, down (held by an operator), busy (its place is taken, others wait, nobody is paused), before and after
              (its worker dies before the first word, twice, for it is tried again; or after it)
    ollama    up: a second stack of ours with the model `guide`; down: nobody listens; before, after: scripted
    victoria  scripted
    -         nobody is to ask it: it is up, and scripted, so that it would show

Both relays ask a door (tests/support/door.py), which leads to whoever plays them. A request carries the name of
its row, so scripts know who asked them.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from control.routing import Kind
from control.states import Breaker
from tests.support.door import Door
from tests.support.http_answers import END_WITHIN_S, HttpAnswer
from tests.support.live_stack import LiveStack
from tests.support.relay_fixtures import ScriptedProcess, started_script
from tests.support.supervisor_home import wait_until
from workers.breaker import FAILURES_MAX

RELAY_STATES = ("up", "down", "before", "after")
MLX_STATES = ("up", "down", "busy", "before", "after")
FAR = '[control]\nprewarm = 0\n[models.guide]\npath = "guide"\npreload = true\n'
LOAD = 4  # who waits for MLX while it is busy: more than spill_after_queued
NEVER, ENDLESS, SHORT = "#tokens=4 #rate=0.01", "#tokens=1000000 #rate=50", "#tokens=4"
VICTORIA_CHAT = "chat with Victoria"


class Row(NamedTuple):
    """One request and the states of the backends."""

    chain: str
    work: str
    mlx: str
    ollama: str
    victoria: str

    @property
    def relays(self) -> tuple[str, str]:
        return self.ollama, self.victoria

    @property
    def mark(self) -> str:
        return f"<{', '.join(self)}>"

    @property
    def model(self) -> str:
        known = {"up": "fine", "-": "fine", "down": "held", "busy": "busy"}
        return known.get(self.mlx) or "-".join(("dies", *self[2:]))


class Ended(NamedTuple):
    """`waited`: it did not go anywhere until MLX had a place. `asked`: the relays that saw it, as far as scripted."""

    answer: HttpAnswer
    waited: bool
    asked: list[str]


def settings(ollama: Door, victoria: Door, models: Collection[str]) -> str:
    tables = [f'[models."{name}"]\nengine = "echo"\nollama_model = "guide"\nbatch_size = {1 if name == "busy" else 8}\n'
              for name in sorted(models)]
    return f"""
[control]
prewarm = 0
[limits]
max_running = 64
rate_limit_max = 0
preemption = false
[relays]
ollama_url = "{ollama.url}"
victoria_url = "{victoria.url}"
ollama_max_running = 16
victoria_max_running = 16
relay_probe_every_s = 0.1
{"".join(tables)}"""


class Relay:
    """One relay of the stage. `script` plays it, but `real` (a port) when it is up, if there is one."""

    def __init__(self, stack: LiveStack, name: str, door: Door, script: ScriptedProcess, real: int = 0) -> None:
        self.script = script
        self._stack, self._slug, self._door, self._real = stack, f"relay-{name}", door, real or script.port
        self._state, self._failures = "down", 0

    def be(self, state: str, requests: int) -> None:
        """Its breaker shows it when this returns, and `requests` that fail do not open it."""
        fresh = self._failures + requests < FAILURES_MAX
        self._failures += requests if state in ("before", "after") else 0
        if state == self._state and fresh:
            return
        if self._state != "down" and (not fresh or state == "down"):
            self._door.shut()
            self._wait(closed=False)
            self._failures = requests
        self._state = state
        if state != "down":
            self.script.be(mode={"before": "status", "after": "break_off"}.get(state, "up"), words=("remote ", "words"))
            self._door.lead_to(self._real if state == "up" else self.script.port)
            self._wait(closed=True)

    def has_seen(self, mark: str) -> bool:
        return any(mark in str(request["body"]) for request in self.script.asked())

    def _wait(self, *, closed: bool) -> None:
        def look() -> bool:
            row = self._stack.row(self._slug)
            return row is not None and row.worker is not None and (row.worker.breaker == Breaker.CLOSED) is closed

        wait_until(f"the breaker of {self._slug} to be {'closed' if closed else 'open'}", look)


class Stage:
    """`rows`: everything that will be asked. `outcome` asks what belongs together and remembers it."""

    def __init__(self, near: LiveStack, ollama: Relay, victoria: Relay, rows: list[Row]) -> None:
        self.near, self.ollama, self.victoria, self._rows = near, ollama, victoria, rows
        self._ended: dict[Row, Ended] = {}
        self._waiting: dict[Row, HttpAnswer] = {}  # at workers that will die
        self._load: list[HttpAnswer] = []

    def outcome(self, row: Row) -> Ended:
        """All that need no load were asked before the first that does, for overload takes its time to end."""
        if not self._ended:
            self._each(self._plain, "-", "up", "down")
            self._each(self._die_after_the_first_word, "after")
        if row not in self._ended and row.mlx == "busy":
            self._each(self._while_busy, "busy")
        if row not in self._ended:
            self._die_before_the_first_word()
        return self._ended[row]

    def _each(self, ask: Callable[[list[Row]], None], *mlx: str) -> None:
        for relays in dict.fromkeys(row.relays for row in self._rows):
            rows = [row for row in self._rows if row.relays == relays and row.mlx in mlx]
            if rows:
                self._relays_be(relays, len(rows))
                ask(rows)

    def _relays_be(self, relays: tuple[str, str], requests: int) -> None:
        self.ollama.be(relays[0], requests)
        self.victoria.be(relays[1], requests)

    def _keep(self, row: Row, answer: HttpAnswer, *, waited: bool = False) -> None:
        asked = [name for name in ("ollama", "victoria") if getattr(self, name).has_seen(row.mark)]
        self._ended[row] = Ended(answer, waited, asked)

    def _ask(self, row: Row) -> HttpAnswer:
        """Streamed, but for what waits for deaths: nobody shall hear a sign of life before it is known who answers."""
        prompt = f"{({'before': NEVER, 'after': ENDLESS}).get(row.mlx, SHORT)} {row.mark}"
        if row.chain in ("chat", VICTORIA_CHAT):
            return HttpAnswer(self.near.url, "/chat/send" if row.mlx == "before" else "/chat/stream", {
                "content": prompt, "model": row.model, "use_victoria": row.chain != "chat"})
        body = {"model": row.model, "messages": [{"role": "user", "content": prompt}], "stream": row.mlx != "before"}
        if row.mlx != "after":
            body["options"] = {"num_predict": 4}
        if row.work == "complex":
            body["category"] = "coding"
        headers = {"X_Warden_Kind": "batch", "X_Request_Priority": "low"} if row.chain == "batch" else {}
        return HttpAnswer(self.near.url, "/api/chat", body, **headers)

    def _plain(self, rows: list[Row]) -> None:
        for row in rows:
            wait_until("no overload", lambda: not self.near.control_words().spill)
            self._keep(row, self._ask(row).wait_end())

    def _die_after_the_first_word(self, rows: list[Row]) -> None:
        asked = {row: self._ask(row).wait_text() for row in rows}
        self.near.kill(f"worker-{rows[0].model}")
        for row, answer in asked.items():
            self._keep(row, answer.wait_end())

    # -- busy: one runs at the only place of its model, others wait for it

    def _while_busy(self, rows: list[Row]) -> None:
        for row in rows:
            if not self._load:
                self._begin_load()
            answer = self._ask(row)
            wait_until("an answer, or a place in the queue", lambda a=answer: a.ended or self._queued() > LOAD)
            if waited := not answer.ended:
                self.end()
            self._keep(row, answer.wait_end(), waited=waited)

    def _begin_load(self) -> None:
        body = {"model": "busy", "category": "coding", "messages": [{"role": "user", "content": ENDLESS}]}
        self._load = [HttpAnswer(self.near.url, "/api/chat", body, X_Request_Priority="low") for _ in range(1 + LOAD)]
        bits = sum(kind.bit for kind in Kind)
        wait_until("those who wait", lambda: self._queued() == LOAD)
        wait_until("overload for all kinds", lambda: self.near.control_words().spill == bits)

    def _queued(self) -> int:
        words = self.near.gateway_words()
        return words.queued_high + words.queued_medium + words.queued_low

    def end(self) -> None:
        """Whoever is still asked for something leaves, first those that only wait."""
        for answer in sorted((*self._waiting.values(), *self._load), key=lambda answer: bool(answer.text)):
            answer.leave()
        self._load = []

    # -- dying before the first word: all workers die once, and then once more, state of the relays by state

    def _die_before_the_first_word(self) -> None:
        rows = [row for row in self._rows if row.mlx == "before"]
        for row in rows:
            if row.chain == VICTORIA_CHAT:
                self._relays_be(row.relays, 1)
            self._waiting[row] = self._ask(row)
        counts = Counter(row.model for row in rows)
        self._wait_running(counts)
        killed = [self.near.kill(f"worker-{model}") for model in counts]
        self._wait_running(counts, killed)
        for relays in dict.fromkeys(row.relays for row in rows):
            mine = [row for row in rows if row.relays == relays]
            self._relays_be(relays, len(mine))
            self.near.kill(f"worker-{mine[0].model}")
            for row in mine:
                self._keep(row, self._waiting.pop(row).wait_end())

    def _wait_running(self, counts: Counter[str], killed: Collection[int] = ()) -> None:
        """So many run at each of these models, whose workers are others than those that were killed."""
        def look() -> bool:
            rows = {model: self.near.row(model) for model in counts}
            return all(row and row.control and row.control.pid not in (0, *killed) and row.worker
                       and row.worker.incarnation == row.control.incarnation and row.worker.active == counts[model]
                       for model, row in rows.items())

        wait_until("all to run", look, END_WITHIN_S)


@contextmanager
def staged(folder: Path, rows: list[Row]) -> Iterator[Stage]:
    doors = {"ollama": Door(), "victoria": Door()}
    far = LiveStack(folder / "far", FAR)
    near = LiveStack(folder / "near", settings(*doors.values(), {"busy", *(row.model for row in rows)}))
    try:
        far.up()
        near.up()
        with started_script("ollama", folder) as ollama, started_script("victoria", folder) as victoria:
            far.load("guide")
            near.load("fine", "held")
            near.warden("ctl", "stop", "worker-held")
            stage = Stage(near, Relay(near, "ollama", doors["ollama"], ollama, int(far.env["WARDEN_PORT"])),
                          Relay(near, "victoria", doors["victoria"], victoria), rows)
            try:
                yield stage
            finally:
                stage.end()
    finally:
        near.end()
        far.end()
        for door in doors.values():
            door.shut()
