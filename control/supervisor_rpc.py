"""supervisord's XML-RPC over the unix socket of a home: typed values, typed errors, and a limit on every wait.

`start` and `stop` do not wait for the process: supervisord's answer means "begun". A process never started has
`start_s == 0`; STOPPED with a start time is an operator's hold, while a worker that ended by itself is EXITED.
Forced termination uses `signal`, never `stop`, which would start supervisord's own kill timer.
"""

import http.client
import re
import socket
import xmlrpc.client
from enum import IntEnum
from typing import Literal, NamedTuple
from xml.parsers.expat import ExpatError

from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from control.home import Home
from control.supervisor_conf import Credentials, read_credentials

RPC_TIMEOUT_S = 5.0
LOG_TAIL_BYTES = 16 * 1024
ENDED_BY_SIGNAL = re.compile(r"exited: (\S+) \(terminated by (SIG\w+)")


class ProcessState(IntEnum):
    """supervisord's own numbers."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000


class Fault(IntEnum):
    """The fault codes that callers tell apart; others arrive as plain numbers."""

    SHUTDOWN_STATE = 6
    BAD_NAME = 10
    SPAWN_ERROR = 50
    ALREADY_STARTED = 60
    NOT_RUNNING = 70
    ALREADY_ADDED = 90
    STILL_RUNNING = 91
    UNAUTHORIZED = 401


class ProcessFact(NamedTuple):
    """One process as supervisord sees it. Times are wall-clock seconds, 0 = never; `pid` 0 = no process.

    `exit_status` is the last one (-1: ended by a signal), meaningful once `stop_s` is set.
    """

    name: str
    state: ProcessState
    pid: int
    start_s: int
    stop_s: int
    exit_status: int


class SupervisordGone(Exception):
    """Nobody answers, or not in time: what was asked may or may not have happened."""


class SupervisordFault(Exception):
    """supervisord answered and refused. `code` is a `Fault` or another of its numbers."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Supervisord:
    """The supervisord of one home. Every call opens its own connection; nothing is kept between calls.

    Names are `control`, `worker-<slug>`; of several http processes `http:http-0`, `http:http-1`, ...
    Every method raises SupervisordGone or SupervisordFault.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def processes(self) -> dict[str, ProcessFact]:
        """Every process that supervisord knows, by name."""
        facts = (_process_fact(entry) for entry in self._call("getAllProcessInfo"))
        return {fact.name: fact for fact in facts}

    def exit_signals(self) -> dict[str, str]:
        """The signal that ended each process lately, by name: an exit status of -1 does not say which."""
        return dict(ENDED_BY_SIGNAL.findall(self._call("readLog", -LOG_TAIL_BYTES, 0)))

    def start(self, name: str) -> None:
        self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        self._call("stopProcess", name, False)

    def signal(self, name: str, signal_name: Literal["TERM", "KILL"]) -> None:
        self._call("signalProcess", name, signal_name)

    def pid(self) -> int:
        return self._call("getPID")

    def shutdown(self) -> None:
        """Ask supervisord to stop every process and exit; returns at once."""
        self._call("shutdown")

    def reload_config(self) -> None:
        """Read the rendered file again. Starts, stops and adds nothing."""
        self._call("reloadConfig")

    def add_group(self, name: str) -> None:
        """Make a program of the re-read file known; running ones are left alone."""
        self._call("addProcessGroup", name)

    def add(self, name: str) -> None:
        """The program of that name stands in the rendered file now: make it known. Twice is harmless."""
        self.reload_config()
        try:
            self.add_group(name)
        except SupervisordFault as fault:
            if fault.code != Fault.ALREADY_ADDED:
                raise

    def remove(self, name: str) -> None:
        """Forget a program; SupervisordFault STILL_RUNNING if it has a process. Twice is harmless."""
        try:
            self._call("removeProcessGroup", name)
        except SupervisordFault as fault:
            if fault.code != Fault.BAD_NAME:
                raise

    def _call(self, method: str, *args: object):
        credentials = read_credentials(self._home.supervisor_conf)
        if credentials is None:
            raise SupervisordGone(f"{self._home.supervisor_conf} is missing: this home does not run")
        transport = _Transport(str(self._home.supervisor_socket), credentials)
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*args)
        except xmlrpc.client.Fault as fault:
            raise SupervisordFault(fault.faultCode, fault.faultString) from None
        except xmlrpc.client.ProtocolError as error:
            raise SupervisordFault(error.errcode, f"supervisord refused the connection: {error.errmsg}") from None
        except TimeoutError:
            raise SupervisordGone(f"supervisord was silent for {RPC_TIMEOUT_S:g} s ({method})") from None
        except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
            raise SupervisordGone(f"supervisord does not answer: {error}") from None
        finally:
            transport.close()


class _Connection(UnixStreamHTTPConnection):
    """supervisor's own connection waits forever; ours does not."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(RPC_TIMEOUT_S)
        self.sock.connect(self.socketfile)


class _Transport(SupervisorTransport):
    def __init__(self, path: str, credentials: Credentials) -> None:
        super().__init__(credentials.username, credentials.password, f"unix://{path}")

        def get_connection() -> _Connection:
            connection = _Connection("localhost")
            connection.socketfile = path
            return connection

        self._get_connection = get_connection


def _process_fact(entry: dict) -> ProcessFact:
    name, group = entry["name"], entry["group"]
    return ProcessFact(
        name if name == group else f"{group}:{name}",
        ProcessState(entry["state"]),
        entry["pid"],
        entry["start"],
        entry["stop"],
        entry["exitstatus"],
    )
