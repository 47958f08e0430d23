"""The model verbs of supervisorctl: `models`, `load`, `unload`, `evict`, `pin`, `unpin`.

supervisorctl knows processes; these verbs know models. They are one section of the rendered supervisor.conf,

    [ctlplugin:warden]
    supervisor.ctl_factory=control.ctl_plugin:make_plugin
    home=...

and so they are there in `warden ctl` and in plain `supervisorctl -c $WARDEN_HOME/run/supervisor.conf` alike, also when
the gateway is down: `models` reads the table, the others ask control (`Ask` and `Told` on control.ipc). A model is
meant by its name, an alias, or the name of its process, as `status` shows it; `all` means every model.

Guarantees: nothing is decided here, so nothing that answers or loads can be stopped from here; each verb ends within
its limit and says so if control was silent; a verb that failed for any of its models gives supervisorctl an exit status
other than 0. Heavy imports wait for the first verb, so that `status` pays for none of them.
"""

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from supervisor.supervisorctl import Controller, ControllerPluginBase, LSBInitExitStatuses

from control.home import Home
from control.states import HAS_PROCESS, Breaker, is_fresh
from control.table import Row, Snapshot, Table, TableRefused

CONNECT_WITHIN_S = 5.0
ANSWER_WITHIN_S = 10.0
EVICT_WITHIN_S = 60.0  # it is answered when the process has ended
ALL = "all"
LEAVES = ("unload", "evict")
MIB = 1024 * 1024
COLUMNS = ("NAME", "STATE", "PID", "MEMORY", "SHARE", "PINNED", "REASON")
RELAY_COLUMNS = ("RELAY", "STATE", "PID", "BREAKER", "REASON")
WHY_SILENT = "`status` shows whether control runs"
NO_WORD = "no fresh word from control or the worker"


class Silent(Exception):
    """Control did not take the question, or did not answer it in time; one line."""


class Control:
    """One connection to control, for as long as one verb takes."""

    def __init__(self, home: Home) -> None:
        import zmq

        from control.messages import FRAME_MAX_BYTES
        from control.sockets import open_dealer

        self._context = zmq.Context()
        identity = f"ctl-{os.getpid()}-{secrets.token_hex(8)}".encode()
        self._dealer = open_dealer(self._context, home.endpoint("control"), FRAME_MAX_BYTES, identity)
        self._asked = 0

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        self._dealer.close()
        self._context.term()

    def ask(self, verb: str, model: str, within_s: float) -> tuple[str, str]:
        """Control's code ("" if it was done) and its one line. Raises: Silent."""
        import zmq

        from control import messages

        if not self._dealer.poll(int(CONNECT_WITHIN_S * 1000), zmq.POLLOUT):
            raise Silent(f"control does not answer; {WHY_SILENT}")
        self._asked += 1
        self._dealer.send(messages.encode(messages.Ask(messages.VERSION, self._asked, verb, model)))
        give_up_at = time.monotonic() + within_s
        while (left_s := give_up_at - time.monotonic()) > 0:
            if not self._dealer.poll(int(left_s * 1000) + 1):
                continue
            try:
                told = messages.decode_from_control(self._dealer.recv())
            except messages.MALFORMED:
                continue
            if isinstance(told, messages.Told) and told.id == self._asked:
                return told.code, told.text
        raise Silent(f"control did not answer within {within_s:g} s; {WHY_SILENT}")


class WardenPlugin(ControllerPluginBase):
    """What supervisorctl calls: `do_<verb>` with the rest of the line, `help_<verb>` for its help."""

    name = "warden"

    def __init__(self, controller: Controller, home: Home) -> None:
        super().__init__(controller)
        self._home = home
        for verb in ("models", "load", "unload", "evict", "pin", "unpin"):
            # supervisorctl asks every plugin for help on a word, and its own says "No help" to one it does not know
            setattr(controller.options.plugins[0], f"help_{verb}", getattr(self, f"help_{verb}"))

    def do_help(self, arg: str) -> None:  # without a docstring, or `help` would be one of our commands
        if not arg:
            super().do_help(arg)  # the list; help on one of them is given as said above

    def do_models(self, arg: str) -> None:
        if arg:
            self._fail("Error: models accepts no arguments", LSBInitExitStatuses.INVALID_ARGS)
            return
        try:
            table, now_ns = read_table(self._home), time.monotonic_ns()
        except TableRefused as refused:
            self._fail(f"models: ERROR ({refused})", LSBInitExitStatuses.NOT_RUNNING)
            return
        models = models_of(table)
        for line in aligned([COLUMNS, *(described(row, now_ns) for row in models)]):
            self.ctl.output(line)
        relays = [relay_described(row, now_ns) for row in table.rows if row not in models]
        for line in aligned([RELAY_COLUMNS, *relays]) if relays else ():
            self.ctl.output(line)
        if table.warning:
            self.ctl.output(f"warning: {table.warning}")
        if table.control is None or not is_fresh(table.control.heartbeat_ns, now_ns):
            self._fail(f"control is silent, this is what was last written; {WHY_SILENT}", LSBInitExitStatuses.GENERIC)

    def help_models(self) -> None:
        self.ctl.output("models\t\t\tShow every model and relay: state, memory, share of the budget, why it is so")

    def do_load(self, arg: str) -> None:
        self._each("load", arg)

    def help_load(self) -> None:
        self.ctl.output("load <name>\t\tLoad a model, making room for it if that needs it; does not wait for the end")
        self.ctl.output("load <name> <name>\tLoad several models")
        self.ctl.output("load all\t\tLoad every model, as far as there is room")

    def do_unload(self, arg: str) -> None:
        self._each("unload", arg)

    def help_unload(self) -> None:
        self.ctl.output("unload <name>\t\tUnload a model as soon as it is idle and nobody waits for it")
        self.ctl.output("unload all\t\tUnload every model as soon as it is idle")

    def do_evict(self, arg: str) -> None:
        self._each("evict", arg)

    def help_evict(self) -> None:
        self.ctl.output("evict <name>\t\tUnload a model now, or not at all: one that answers or loads is refused")
        self.ctl.output("evict all\t\tEvict every model that is idle now")

    def do_pin(self, arg: str) -> None:
        self._each("pin", arg)

    def help_pin(self) -> None:
        self.ctl.output("pin <name>\t\tNever unload a model, until `unpin` or `warden down`")
        self.ctl.output("pin all\t\t\tPin every model")

    def do_unpin(self, arg: str) -> None:
        self._each("unpin", arg)

    def help_unpin(self) -> None:
        self.ctl.output("unpin <name>\t\tLet a pinned model be unloaded again")
        self.ctl.output("unpin all\t\tUnpin every model")

    def _each(self, verb: str, arg: str) -> None:
        """Ask for each of the models in turn; one that is refused does not keep the next from being asked for."""
        help_verb: Callable[[], None] = getattr(self, f"help_{verb}")
        names = arg.split()
        if not names:
            self._fail(f"Error: {verb} requires a model name", LSBInitExitStatuses.INVALID_ARGS)
            help_verb()
            return
        try:
            names = self._all_names(verb) if ALL in names else names
            with Control(self._home) as control:
                for name in names:
                    self._ask(control, verb, name)
        except (Silent, TableRefused) as problem:
            self._fail(f"{verb}: ERROR ({problem})", LSBInitExitStatuses.NOT_RUNNING)

    def _all_names(self, verb: str) -> list[str]:
        """Of those that `verb` can mean anything to. Raises: TableRefused."""
        rows, now_ns = models_of(read_table(self._home)), time.monotonic_ns()
        if verb in LEAVES:
            rows = [row for row in rows if row.phase(now_ns) in {None, *HAS_PROCESS}]
            if not rows:
                self.ctl.output(f"{verb}: no model has a process")
        return [row.name for row in rows if row.name]

    def _ask(self, control: Control, verb: str, name: str) -> None:
        """Raises: Silent."""
        code, text = control.ask(verb, name, EVICT_WITHIN_S if verb == "evict" else ANSWER_WITHIN_S)
        if not code:
            self.ctl.output(text)
            return
        unknown = code == "model_not_found"
        self._fail(f"{name}: ERROR ({text})",
                   LSBInitExitStatuses.INVALID_ARGS if unknown else LSBInitExitStatuses.GENERIC)

    def _fail(self, line: str, exit_status: int) -> None:
        self.ctl.output(line)
        self.ctl.exitstatus = exit_status


def make_plugin(controller: Controller, home: str) -> WardenPlugin:
    """What `supervisor.ctl_factory` names; `home` stands in the same section."""
    return WardenPlugin(controller, Home(Path(home)))


def read_table(home: Home) -> Snapshot:
    """Raises: TableRefused."""
    table = Table.open(home.table)
    try:
        return table.snapshot()
    finally:
        table.close()


def models_of(table: Snapshot) -> list[Row]:
    """Relays are processes and no models: `status`, `start` and `stop` are for them."""
    from control.config import RELAYS

    return [row for row in table.rows if row.name not in RELAYS.values()]


def relay_described(row: Row, now_ns: int) -> tuple[str, ...]:
    """A relay's row under RELAY_COLUMNS. Its breaker only from a worker that beats and whose process lives."""
    phase, pid = row.phase(now_ns), row.control.pid if row.control else 0
    known = row.worker is not None and pid and row.worker_is_fresh(now_ns)
    breaker = Breaker(row.worker.breaker) if known else None
    no_answer = f"its server does not answer; `tail {row.name}` says what it does"
    reason = no_answer if row.reason == "ready" and breaker not in (None, Breaker.CLOSED) else printable(row.reason)
    return (row.name, phase.name.lower() if phase else "unknown", str(pid or "-"),
            breaker.name.lower().replace("_", "-") if breaker is not None else "-", reason if phase else NO_WORD)


def described(row: Row, now_ns: int) -> tuple[str, ...]:
    """A row of the table under COLUMNS. Memory only from a worker that beats and whose process lives."""
    phase, control = row.phase(now_ns), row.control
    pid = control.pid if control else 0
    memory_bytes = row.worker.footprint_bytes if row.worker and pid and row.worker_is_fresh(now_ns) else 0
    return (row.name, phase.name.lower() if phase else "unknown", str(pid or "-"),
            mebibytes(memory_bytes), mebibytes(control.share_bytes if control else 0),
            "yes" if control and control.pinned else "-", printable(row.reason) if phase else NO_WORD)


def printable(text: str) -> str:
    """A reason may quote what a program said; a terminal must not take it for orders."""
    return "".join(character if character.isprintable() else " " for character in text)


def mebibytes(count: int) -> str:
    return f"{count / MIB:.0f}M" if count else "-"


def aligned(lines: list[tuple[str, ...]]) -> list[str]:
    """Columns of equal width, two blanks between them."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
