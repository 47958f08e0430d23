"""A stack between a scripted Ollama and a scripted Victoria, for tests of what goes wrong: `shared` and `scene`.

Its chains are short, so that a test chooses by the kind of work who is asked: tasks go to Ollama alone, batches to
Ollama and then to MLX, chats with Victoria to her and then to MLX.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from control.states import Breaker
from tests.support.door import Door
from tests.support.http_answers import HttpAnswer
from tests.support.live_stack import LiveStack
from tests.support.relay_fixtures import ScriptedProcess, started_script
from tests.support.supervisor_home import wait_until

SETTINGS = """
[control]
prewarm = 0
default_model = "open"
[limits]
rate_limit_max = 0
[routing]
chain_task = ["ollama"]
chain_batch = ["ollama", "mlx"]
chain_agent = ["agents"]
[relays]
ollama_url = "{ollama}"
victoria_url = "{victoria}"
relay_first_byte_s = 1.5
relay_idle_s = 1.5
relay_connect_s = 0.5
relay_probe_every_s = 0.1
[models.open]
engine = "echo"
aliases = ["llama3.2:1b"]
preload = true
[models.broken]
engine = "echo"
[models.small]
engine = "echo"
audience = "agents"
aliases = ["tiny:1b"]
[categories]
routing = "small"
quick = "broken"
"""
WORDS = "one two three"  # of the scripted servers
ANSWER = "t0 t1 t2"  # of MLX
ALONE, THEN_MLX = "task", "batch"  # the chains of SETTINGS: Ollama alone, and Ollama before MLX
ENDLESS = "#tokens=1000000 #rate=20"


class Scene(NamedTuple):
    stack: LiveStack
    ollama: ScriptedProcess
    victoria: ScriptedProcess
    door: Door  # before Ollama

    def ask(self, chain: str, path: str = "/api/chat", **body: object) -> HttpAnswer:
        said = {"messages": [{"role": "user", "content": "#tokens=3"}], "stream": True} | body
        return HttpAnswer(self.stack.url, path, said, X_Warden_Kind=chain)

    def breaker(self) -> Breaker:
        return Breaker(self.stack.row("relay-ollama").worker.breaker)

    def wait_breaker(self, *, closed: bool) -> None:
        wait_until("the breaker", lambda: (self.breaker() is Breaker.CLOSED) is closed)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, door = tmp_path_factory.mktemp("relays"), Door()
    with started_script("ollama", folder) as ollama, started_script("victoria", folder) as victoria:
        door.lead_to(ollama.port)
        stack = LiveStack(folder / "stack", SETTINGS.format(ollama=door.url, victoria=victoria.url))
        try:
            stack.up()
            stack.load("open")
            made = Scene(stack, ollama, victoria, door)
            chat = {"content": "#tokens=3"}
            wait_until("Victoria", lambda: HttpAnswer(stack.url, "/chat/send", chat).wait_end().backend == "victoria")
            wait_until("Ollama", lambda: made.ask(THEN_MLX).wait_end().backend == "ollama")
            yield made
        finally:
            stack.end()
            door.shut()


@pytest.fixture
def scene(shared: Scene) -> Scene:
    """As new: both servers are up, and no failure counts any more."""
    shared.door.shut()
    shared.wait_breaker(closed=False)
    for server in (shared.ollama, shared.victoria):
        server.be()
        server.forget()
    shared.door.lead_to(shared.ollama.port)
    shared.wait_breaker(closed=True)
    return shared


def check(answer: HttpAnswer, route: str, reason: str, text: str) -> None:
    told = (answer.status, answer.route, answer.reason, answer.text, answer.error)
    assert told == (200, route, reason, text, None) and answer.ended_well, told
