"""The real HTTP app in front of a `World`: no port, no socket, no time; what is asked is answered before it is read."""

from pathlib import Path

from gateway.client import GatewayClient
from gateway.http.app import make_app
from gateway.http.call import Services
from gateway.http.dashboard_feed import Feed
from gateway.http.guard import Guard
from gateway.http.table_reader import TableReader
from tests.support.audience_world import AudienceWorld
from tests.support.gateway_world import SECRET


class WorldClient(GatewayClient):
    """The client of http, whose frames go straight to the gateway of a world and back."""

    def __init__(self, world: AudienceWorld) -> None:
        super().__init__("a world", secret=SECRET)
        self._world, self._busy = world, False
        self._socket = self  # it counts as started
        world.taps[b"http"] = lambda frame: self.exchange.on_frame(frame, world.now)

    def _schedule(self) -> None:
        if self._busy:
            return
        self._busy = True
        while self.exchange.outbox:
            self._world.d.on_client(b"http", self.exchange.outbox.popleft(), self._world.now)
            self._world.flush()
            self._world.play()
        self._busy = False


def make_world_app(world: AudienceWorld) -> Guard:
    client = WorldClient(world)
    table, config = TableReader(Path("/nowhere")), world.d.config
    feed = Feed(config, table.snapshot, Path("/nowhere"))
    return make_app(Services(config, client, table, lambda event, **facts: None, feed))
