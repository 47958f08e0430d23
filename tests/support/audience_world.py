"""A stack with a model that is reserved for agents and every trap that could lead a person to it; backends that play.

    a      for all, the first of the file; at Ollama by its own name
    b      for all; its `ollama_model` is what the reserved one is called there
    tiny   for agents alone; an alias, and a name at Ollama

Ollama has all of it, and the models for images are reserved ones too. Nothing here is real but the gateway.
"""

from typing import NamedTuple

from control.routing import Kind
from control.states import Breaker, Phase
from gateway import protocol
from gateway.keys import Key, hash_of
from tests.support.gateway_world import World, make_model
from workers import protocol as jobs

RESERVED = {"tiny", "small:1b", "tiny:0.5b"}  # by what names it is called, here and at Ollama
AT_OLLAMA = ["a", "b", "tiny:latest", "small:1b", "tiny:0.5b", "moondream"]
FORMS = {  # how a request may name a model: fields of `Submit`
    "name": {"model": "tiny"}, "capitals": {"model": "Tiny"}, "tag": {"model": "tiny:latest"},
    "alias": {"model": "small:1b"}, "category": {"category": "fast"}, "none": {}, "other": {"model": "a"},
    "other tag": {"model": "B:latest"}, "other category": {"category": "coding"}, "unknown": {"model": "tiny:0.5b"},
}
CHAINS = {
    "as they come": {}, "agents first": dict.fromkeys(
        ("chain_task", "chain_chat", "chain_batch", "chain_chat_victoria"), ("agents", "mlx", "ollama", "victoria")),
    "ollama alone": dict.fromkeys(("chain_task", "chain_chat", "chain_batch", "chain_agent"), ("ollama",)),
}
BACKENDS = ("mlx", "agents", "ollama", "victoria")
STATES = ("up", "down", "fails")
KEYS = {"ann": "warden-ann", "only a": "warden-only-a", "bot": "warden-bot", "bot of a": "warden-bot-of-a"}
CALLERS = {"nobody": "", "junk": "ollama", **KEYS}
AGENTS = ("bot", "bot of a")
ALLOWED = {"only a": {"a"}, "bot of a": {"a", "victoria"}}  # what a key with a list may be answered by


class Given(NamedTuple):
    """What there is to ask: the state of each of BACKENDS, and what control says."""

    states: tuple[str, str, str, str] = ("up",) * 4
    chains: str = "as they come"
    default: str = ""  # `default_model`; the check of configurations would refuse "tiny"
    overloaded: bool = False


class AudienceWorld(World):
    def __init__(self, given: Given) -> None:
        super().__init__(
            make_model("a"), make_model("b", ollama_model="tiny:0.5b"),
            make_model("tiny", audience="agents", aliases=("small:1b",), ollama_model="tiny:0.5b"),
            relays=["ollama", "victoria"], categories={"fast": "tiny", "coding": "b", "default": "tiny"},
            default_model=given.default, ollama_vision_model="tiny", ollama_document_model="small:1b",
            rate_limit_max=0, **CHAINS[given.chains])
        self.d.callers.set_keys([
            Key("ann", hash_of(KEYS["ann"])), Key("only a", hash_of(KEYS["only a"]), models=["a"]),
            Key("bot", hash_of(KEYS["bot"]), audience="agent"),
            Key("bot of a", hash_of(KEYS["bot of a"]), audience="agent", models=["a", "Victoria"])])
        self.states = dict(zip(BACKENDS, given.states, strict=True))
        self.played: set[tuple[int, int]] = set()
        self.answered_by: list[str] = []  # what every job that was sent anywhere asked for
        self._begin(given)

    def _begin(self, given: Given) -> None:
        for slug in ("a", "b", "tiny"):
            backend = "agents" if slug == "tiny" else "mlx"
            if self.states[backend] == "down":
                self.set_row(slug, Phase.QUARANTINED)
            else:
                self.worker_up(slug, slug.encode())
        for name in ("ollama", "victoria"):
            self.relay_up(name, AT_OLLAMA if name == "ollama" else None)
            if self.states[name] == "down":
                self.set_breaker(name, Breaker.OPEN)
        if given.overloaded:
            self.overload(*Kind)

    def play(self) -> None:
        """Every backend answers what it was sent, or fails it, until nothing is left to do."""
        while new := [(who, job) for who, job in self.worker_frames
                      if isinstance(job, jobs.Job) and (job.job, job.attempt) not in self.played]:
            for who, job in new:
                self.played.add((job.job, job.attempt))
                name = who.decode().split(".")[0]
                self.answered_by.append(job.remote.model if job.remote else name)
                backend = {"a": "mlx", "b": "mlx", "tiny": "agents"}.get(name, name)
                if self.states[backend] == "fails":
                    self.fails(who, job, "worker_crashed" if backend in ("mlx", "agents") else "upstream_failed")
                elif job.remote:
                    self.relay_says(who, job, "one ")
                else:
                    self.answer(who, job)
            self.turn()

    def ask_all(self, caller: str, kinds: tuple[str, ...] = tuple(Kind)) -> None:
        """Every form of name in every kind of work, over a raw connection."""
        for kind in kinds:
            for form, fields in FORMS.items():
                self.submit(f"{kind} {form}", kind=kind, key=CALLERS[caller], victoria=form == "none", **fields)
                self.play()

    def wrongly_answered(self, caller: str) -> list[str]:
        """What answered this caller and should not have."""
        allowed = ALLOWED.get(caller)
        plain = [name.lower().removesuffix(":latest") for name in self.answered_by]
        return [name for name in plain if (caller not in AGENTS and name in RESERVED)
                or (allowed is not None and name not in allowed)]


def is_ended_once(world: World) -> bool:
    ids = {event.id for _, event in world.client_frames if isinstance(event, protocol.Accepted | protocol.Error)}
    return not world.d.requests and all(world.ended(each) and world.end_of(each) for each in ids)
