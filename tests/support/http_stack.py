"""The real HTTP face on an ephemeral port, in a thread, in front of a fake gateway; and a table to read."""

import threading
from collections.abc import Mapping
from pathlib import Path

import httpx
import uvicorn

from control.config import Config, load_config
from control.table import Table
from gateway.client import GatewayClient
from gateway.http.app import make_app
from gateway.http.call import Services
from gateway.http.connection import Connection
from gateway.http.dashboard_feed import Feed
from gateway.http.table_reader import TableReader
from gateway.http.tracing import make_tracing
from tests.support.fake_gateway import FakeGateway

WAIT_S = 5.0
TOML = """
[server]
allowed_hosts = ["chat.example"]
allowed_origins = ["app://obsidian.md", "chrome-extension://*"]
body_max_bytes = 200_000
[models.tiny]
engine = "echo"
aliases = ["small:1b"]
[models.other]
engine = "echo"
"""


def make_config(folder: Path, text: str = TOML) -> Config:
    (folder / "warden.toml").write_text(text)
    return load_config({"WARDEN_HOME": str(folder)}, folder)


class HttpStack:
    """`url`, `port`, `client` (httpx), `gateway` (fake), `notes` (what would stand in the journal)."""

    def __init__(self, folder: Path, text: str = TOML, env: Mapping[str, str] = {}) -> None:
        self.folder = folder
        self.config = make_config(folder, text)
        self.notes: list[tuple[str, dict[str, object]]] = []
        self.gateway = FakeGateway(f"ipc://{folder}/c.ipc")
        self.table_path = folder / "table"
        self.logs = folder / "logs"
        table = TableReader(self.table_path)
        services = Services(self.config, GatewayClient(self.gateway.endpoint, self.config.body_max_bytes),
                            table, lambda event, **facts: self.notes.append((event, facts)),
                            Feed(self.config, table.snapshot, self.logs),
                            make_tracing(env, lambda event, **facts: self.notes.append((event, facts))))
        self._started = threading.Event()
        self._server = ServerThatTells(uvicorn.Config(
            make_app(services), http=Connection, loop="uvloop", ws="none", lifespan="on", host=self.config.host, port=0,
            log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=1), self._started)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> "HttpStack":
        self.gateway.__enter__()
        self._thread.start()
        assert self._started.wait(WAIT_S), "the HTTP face did not start"
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(WAIT_S)
        self.gateway.__exit__()

    def reset(self) -> None:
        """As new for the next test."""
        self.gateway.reset()
        self.notes.clear()

    def make_table(self, boot_id: int = 7) -> Table:
        return Table.create(self.table_path, boot_id)


class ServerThatTells(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._event = started

    async def startup(self, sockets: list | None = None) -> None:
        await super().startup(sockets)
        self._event.set()
