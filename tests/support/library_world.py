"""A dispatcher with a library in memory, and downloaders that say what a test lets them say."""

from control import messages
from control.config import with_library
from control.library import Fetched, Library
from control.library_file import LibraryNotWritten
from gateway import protocol
from gateway.dispatcher import Dispatcher
from gateway.library_orders import Store
from tests.support.gateway_world import BOOT, EPOCH, SECRET, World
from workers import fetch_lines

PATH = "/cache/tiny"
PULLED = Library(models=(Fetched("org/tiny", PATH, "org/tiny", "ab12", True, 5),))


class ScriptedFetch:
    """A downloader of which only the words are real."""

    def __init__(self, *words: str) -> None:
        self.words, self.pid = words, 4242
        self.says: list[fetch_lines.Line] = []
        self.ended = self.killed = False

    def read(self) -> list[fetch_lines.Line]:
        said, self.says = self.says, []
        return said

    def kill(self) -> None:
        self.killed = self.ended = True


class LibraryWorld(World):
    def __init__(self, *slugs, library: Library = Library(), **settings) -> None:
        super().__init__(*slugs, **{"pull_from": ("*",)} | settings)
        self.written = [library]
        self.disk_full = self.no_processes = False
        self.fetches: list[ScriptedFetch] = []
        self.base = self.d.config
        self.gateway_starts()

    def gateway_starts(self) -> None:
        """Another gateway, of the configuration as the file says it and the library as it stands."""
        config = with_library(self.base, self.written[-1])
        store = Store(lambda: self.written[-1], self._write, self._start)
        self.d = Dispatcher(config, EPOCH, self.fanout, self, lambda: 5, SECRET, store)
        self.d.boot_id = BOOT

    def _write(self, library: Library) -> None:
        if self.disk_full:
            raise LibraryNotWritten("library.json: cannot be written (No space left on device)")
        self.written.append(library)

    def _start(self, *words: str) -> ScriptedFetch:
        if self.no_processes:
            raise OSError(11, "Resource temporarily unavailable")
        self.fetches.append(ScriptedFetch(*words))
        return self.fetches[-1]

    @property
    def library(self) -> Library:
        """As it stands on disk."""
        return self.written[-1]

    def says(self, *lines: fetch_lines.Line, fetch: int = -1) -> None:
        """The downloader says this; one that says its last word ends."""
        it = self.fetches[fetch]
        it.says += lines
        it.ended = it.ended or not isinstance(lines[-1], fetch_lines.Progress)
        self.turn()

    def asks(self) -> list[messages.Ask]:
        """What control was asked for the library, newest last."""
        return [frame for frame in self.control_frames if isinstance(frame, messages.Ask)]

    def tells(self, code: str = "", text: str = "", *, about: messages.Ask | None = None) -> None:
        """Control answers what it was asked last, or `about`."""
        ask = about or self.asks()[-1]
        self.d.on_control(messages.Told(messages.VERSION, ask.id, code, text), self.now)
        self.turn()

    def pull(self, request_id: str, model: str, *, client: bytes = b"c1", **fields: str) -> None:
        self.client_says(client, protocol.Pull(request_id, model, **fields))

    def fetched(self, request_id: str = "p", model: str = "org/tiny", path: str = PATH, *,
                by_us: bool = True) -> None:
        """A pull from its beginning to its end."""
        self.pull(request_id, model)
        self.says(fetch_lines.Done(path, "ab12", by_us, 5))
        self.tells()


def world_with_model(library: Library = PULLED, *slugs, **settings) -> LibraryWorld:
    """The gateway has begun, and control has the same library."""
    world = LibraryWorld(*(slugs or ("a",)), library=library, **settings)
    world.turn()
    world.tells()
    return world


def copy(world: LibraryWorld, request_id: str, model: str, to: str) -> None:
    world.client_says(b"c", protocol.Copy(request_id, model, to))


def delete(world: LibraryWorld, request_id: str, model: str) -> None:
    world.client_says(b"c", protocol.Delete(request_id, model))
