"""`python -m gateway.http`: an HTTP process, from its listening socket to the end of its last answer.

supervisord hands the socket on as descriptor 0, shared by all http processes, so that it stays open while they are
restarted one by one; started by hand, the process binds the configured address itself. TERM: no new connections,
answers under way are finished within GRACEFUL_S; those that are not get an error in their dialect LAST_WORDS_S before.

Exit codes: 0 stopped by TERM, 2 the configuration or the address cannot work (not retried).
"""

import asyncio
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from control.config import Config, ConfigError, load_config
from control.home import Home, HomeRefused, home_from_env, prepare_home, read_http_secret
from control.journal import Journal, get_journal
from gateway.client import GatewayClient
from gateway.garbage import settle_garbage
from gateway.http.app import make_app
from gateway.http.call import STOPPING, Services
from gateway.http.connection import Connection
from gateway.http.dashboard_feed import Feed
from gateway.http.table_reader import TableReader
from gateway.http.tracing import make_tracing
from gateway.key_file import refuse_open_without_keys
from gateway.keys import KeysRefused

GRACEFUL_S = 25  # less than stopwaitsecs in supervisor.conf
LAST_WORDS_S = 3  # of GRACEFUL_S: time in which callers read the error that ends their answer
KEEP_ALIVE_S = 30
BACKLOG_MAX = 1024  # connections that wait to be accepted


class Server(uvicorn.Server):
    """uvicorn, but TERM is a normal end: exit code 0 instead of dying of the signal once all is done.

    And no answer is cut: what is not finished in time ends with an error while it can still be sent.
    """

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._client, self._feed = services.client, services.feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.stop()  # it has no end of its own
        timer = asyncio.get_running_loop().call_later(GRACEFUL_S - LAST_WORDS_S, self._client.give_up, *STOPPING)
        await super().shutdown(sockets)
        timer.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


class JournalHandler(logging.Handler):
    """What uvicorn logs as an error becomes a line of the journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self._journal.error("http_error", reason=record.getMessage().strip(), exc_info=record.exc_info)


def main() -> int:
    try:
        config = load_config(os.environ, Path.cwd(), models_must_be_whole=False)
        home = home_from_env(os.environ)
        prepare_home(home)
        listener = inherited_socket() or bind(config, home)
    except (ConfigError, HomeRefused, KeysRefused, CannotListen) as problem:
        print(problem, file=sys.stderr)
        return 2
    journal = get_journal("http")
    server = make_server(config, home, journal)
    settle_garbage()
    journal.info("http_up", address="{}:{}".format(*listener.getsockname()[:2]), pid=os.getpid())
    server.run(sockets=[listener])
    journal.info("http_down", pid=os.getpid())
    return 0


class CannotListen(Exception):
    """One line with the setting and the remedy."""


def inherited_socket() -> socket.socket | None:
    """The listening socket that supervisord left at descriptor 0, if it did."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        return None
    listener = socket.socket(fileno=os.dup(0))
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.close()
        return None
    return listener


def bind(config: Config, home: Home) -> socket.socket:
    """Raises: CannotListen; HomeRefused or KeysRefused for an address that others can reach while there is no key."""
    refuse_open_without_keys(config.is_reachable, config.host, home)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise CannotListen(f"{config.source}: port: cannot listen on {config.host} port {config.port} "
                           f"({error.strerror}); stop what uses it, or set another port in [server] or WARDEN_PORT"
                           ) from None
    return listener


def make_server(config: Config, home: Home, journal: Journal) -> Server:
    secret = read_http_secret(home) or "not there"  # the gateway takes us for nobody then, and not for a local person
    table = TableReader(home.table)
    services = Services(config, GatewayClient(home.endpoint("clients"), config.body_max_bytes, secret=secret),
                        table, journal.info, Feed(config, table.snapshot, home.logs),
                        make_tracing(os.environ, journal.warning))
    log = logging.getLogger("uvicorn.error")
    log.addHandler(JournalHandler(journal))
    log.propagate = False
    return Server(uvicorn.Config(
        make_app(services), http=Connection, loop="uvloop", ws="none", lifespan="on", interface="asgi3",
        log_config=None, log_level=logging.ERROR, access_log=False, server_header=False, proxy_headers=False,
        backlog=BACKLOG_MAX, timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=GRACEFUL_S), services)


if __name__ == "__main__":
    sys.exit(main())
